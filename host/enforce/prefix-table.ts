/** Identities by address prefix, looked up as the kernel's ipcache does: the longest one counts. */
import { type Prefix, parseAddress, parsePrefix } from "../identity/cidr.ts";
import { IDENTITY } from "../identity/reserved.ts";

const ADDRESS_BITS = { 4: 32, 6: 128 } as const;
const WORLD = { 4: IDENTITY.worldIpv4, 6: IDENTITY.worldIpv6 } as const;

export class PrefixTable {
  /** By family and length, the longest first. */
  readonly #levels: { family: 4 | 6; length: number; identities: Map<bigint, number> }[] = [];

  constructor(rows: Iterable<{ prefix: string; identity: number }>) {
    for (const { prefix, identity } of rows) {
      const parsed = parsePrefix(prefix);
      if (parsed === undefined) continue;
      const { identities } = this.#level(parsed);
      if (!identities.has(parsed.address)) identities.set(parsed.address, identity);
    }
    this.#levels.sort((a, b) => b.length - a.length);
  }

  /** Of equal prefixes the first one given counts. An address in none is of the world. */
  identityOf(address: string): number {
    const own = parseAddress(address);
    if (own === undefined) return IDENTITY.unknown;
    for (const { family, length, identities } of this.#levels) {
      if (family !== own.family) continue;
      const hostBits = BigInt(ADDRESS_BITS[family] - length);
      const identity = identities.get((own.address >> hostBits) << hostBits);
      if (identity !== undefined) return identity;
    }
    return WORLD[own.family];
  }

  #level({ family, length }: Prefix): { identities: Map<bigint, number> } {
    const known = this.#levels.find((one) => one.family === family && one.length === length);
    if (known !== undefined) return known;
    const level = { family, length, identities: new Map<bigint, number>() };
    this.#levels.push(level);
    return level;
  }
}
