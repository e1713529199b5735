/**
 * Pod addresses of this node: the lowest free one of a pool, or a wanted one if it is free. The
 * network, the gateway-like first address and (IPv4) the broadcast address are never given out.
 */
import { BlockList, isIP, isIPv4 } from "node:net";

export class AddressError extends Error {
  override readonly name = "AddressError";
}

/** How many addresses are tried before a pool counts as full. */
const SCAN_MAX = 65_536;

export function parseAddress(text: string): bigint {
  if (isIPv4(text)) {
    return text.split(".").reduce((value, part) => (value << 8n) | BigInt(part), 0n);
  }
  if (isIP(text) !== 6) throw new AddressError(`Cannot read the address "${text}"`);
  const [head = "", tail] = text.split("::") as [string, string | undefined];
  const groups = (part: string | undefined): string[] => (part ? part.split(":") : []);
  const left = groups(head);
  const right = groups(tail);
  const zeros = Array<string>(tail === undefined ? 0 : 8 - left.length - right.length).fill("0");
  return [...left, ...zeros, ...right].reduce(
    (value, group) => (value << 16n) | BigInt(`0x${group}`),
    0n,
  );
}

/** RFC 5952 text of an IPv6 address, dotted quad of an IPv4 one. */
export function formatAddress(value: bigint, family: 4 | 6): string {
  if (family === 4) {
    return [24n, 16n, 8n, 0n].map((shift) => (value >> shift) & 255n).join(".");
  }
  const groups = Array.from({ length: 8 }, (_, index) =>
    ((value >> BigInt(112 - index * 16)) & 0xffffn).toString(16),
  );
  // The URL parser of the platform knows the zero-compression rules of RFC 5952.
  return new URL(`http://[${groups.join(":")}]/`).hostname.slice(1, -1);
}

export class AddressPool {
  readonly cidr: string;
  readonly #family: 4 | 6;
  readonly #first: bigint;
  readonly #last: bigint;
  readonly #block = new BlockList();
  readonly #used = new Set<string>();

  /** @param cidr Such as `10.244.0.0/24` or `fd00:244::/112`. Throws AddressError. */
  constructor(cidr: string) {
    const [network = "", length] = cidr.split("/") as [string, string | undefined];
    const family = isIP(network);
    const width = family === 4 ? 32 : 128;
    const bits = Number(length ?? Number.NaN);
    if (family === 0 || !Number.isInteger(bits) || bits < 0 || bits > width - 2) {
      throw new AddressError(
        `Cannot use the pool "${cidr}": expected a CIDR such as 10.244.0.0/24 or fd00:244::/112`,
      );
    }
    this.cidr = cidr;
    this.#family = family === 4 ? 4 : 6;
    const size = 1n << BigInt(width - bits);
    const base = (parseAddress(network) / size) * size;
    this.#first = base + 2n;
    this.#last = base + size - (family === 4 ? 2n : 1n);
    this.#block.addSubnet(network, bits, family === 4 ? "ipv4" : "ipv6");
  }

  /** Takes `wanted`, or the lowest free address. Throws AddressError when that is not possible. */
  take(wanted?: string): string {
    const address = wanted === undefined ? this.#lowestFree() : this.#checked(wanted);
    this.#used.add(address);
    return address;
  }

  /** Marks an address that is in use already (an adopted endpoint's); it may be of any network. */
  occupy(address: string): void {
    this.#used.add(address);
  }

  release(address: string): void {
    this.#used.delete(address);
  }

  #checked(wanted: string): string {
    const family = isIP(wanted);
    if (family !== this.#family) {
      throw new AddressError(`Cannot use "${wanted}": not an IPv${this.#family} address`);
    }
    const address = formatAddress(parseAddress(wanted), this.#family);
    if (!this.#block.check(address, this.#family === 4 ? "ipv4" : "ipv6")) {
      throw new AddressError(`Cannot use ${address}: it is outside the pool ${this.cidr}`);
    }
    if (this.#used.has(address)) throw new AddressError(`Cannot use ${address}: it is taken`);
    return address;
  }

  #lowestFree(): string {
    const end = this.#first + BigInt(SCAN_MAX);
    for (let value = this.#first; value <= this.#last && value < end; value++) {
      const address = formatAddress(value, this.#family);
      if (!this.#used.has(address)) return address;
    }
    throw new AddressError(`Cannot find a free address: the pool ${this.cidr} is full`);
  }
}
