/** Identities by address prefix, looked up as the kernel's ipcache does: the longest one counts. */
import { parseAddress, parsePrefix } from "../identity/cidr.ts";
import { PrefixMap } from "../identity/prefix-map.ts";
import { IDENTITY } from "../identity/reserved.ts";

const WORLD = { 4: IDENTITY.worldIpv4, 6: IDENTITY.worldIpv6 } as const;

export class PrefixTable {
  readonly #identities = new PrefixMap<number>();

  constructor(rows: Iterable<{ prefix: string; identity: number }>) {
    for (const { prefix, identity } of rows) {
      const parsed = parsePrefix(prefix);
      if (parsed === undefined || this.#identities.get(parsed) !== undefined) continue;
      this.#identities.set(parsed, identity);
    }
  }

  /** Of equal prefixes the first one given counts. An address in none is of the world. */
  identityOf(address: string): number {
    const own = parseAddress(address);
    if (own === undefined) return IDENTITY.unknown;
    return this.#identities.longest(own) ?? WORLD[own.family];
  }
}
