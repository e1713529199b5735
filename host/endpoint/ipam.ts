/**
 * Pod addresses of this node: the lowest free one of a pool, or a wanted one if it is free. The
 * network, the gateway-like first address and (IPv4) the broadcast address are never given out.
 */
import {
  formatPrefix,
  type Prefix,
  parseAddress,
  parsePrefix,
  prefixContains,
} from "../identity/cidr.ts";

export class AddressError extends Error {
  override readonly name = "AddressError";
}

/** How many addresses are tried before a pool counts as full. */
const SCAN_MAX = 65_536;

export class AddressPool {
  readonly cidr: string;
  readonly #network: Prefix;
  readonly #first: bigint;
  readonly #last: bigint;
  readonly #used = new Set<string>();

  /** @param cidr Such as `10.244.0.0/24` or `fd00:244::/112`. Throws AddressError. */
  constructor(cidr: string) {
    const network = parsePrefix(cidr);
    const width = network?.family === 4 ? 32 : 128;
    if (network === undefined || network.length > width - 2) {
      throw new AddressError(
        `Cannot use the pool "${cidr}": expected a CIDR such as 10.244.0.0/24 or fd00:244::/112`,
      );
    }
    this.cidr = cidr;
    this.#network = network;
    const size = 1n << BigInt(width - network.length);
    this.#first = network.address + 2n;
    this.#last = network.address + size - (network.family === 4 ? 2n : 1n);
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
    const { family } = this.#network;
    const parsed = parseAddress(wanted);
    if (parsed?.family !== family) {
      throw new AddressError(`Cannot use "${wanted}": not an IPv${family} address`);
    }
    const address = this.#text(parsed.address);
    if (!prefixContains(this.#network, parsed)) {
      throw new AddressError(`Cannot use ${address}: it is outside the pool ${this.cidr}`);
    }
    if (parsed.address < this.#first || parsed.address > this.#last) {
      throw new AddressError(`Cannot use ${address}: the pool ${this.cidr} keeps it back`);
    }
    if (this.#used.has(address)) throw new AddressError(`Cannot use ${address}: it is taken`);
    return address;
  }

  #lowestFree(): string {
    const end = this.#first + BigInt(SCAN_MAX);
    for (let value = this.#first; value <= this.#last && value < end; value++) {
      const address = this.#text(value);
      if (!this.#used.has(address)) return address;
    }
    throw new AddressError(`Cannot find a free address: the pool ${this.cidr} is full`);
  }

  #text(address: bigint): string {
    const { family } = this.#network;
    const text = formatPrefix({ family, address, length: family === 4 ? 32 : 128 });
    return text.slice(0, text.indexOf("/"));
  }
}
