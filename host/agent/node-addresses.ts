/**
 * The node's own addresses: in the ipcache they are the identity `host`. They come and go while the
 * agent runs, so it looks again now and then.
 */
import { networkInterfaces } from "node:os";
import { IDENTITY } from "../identity/reserved.ts";

/** host/ipcache. */
interface Rows {
  upsert(source: "local", prefix: string, identity: number): unknown;
  delete(source: "local", prefix: string): unknown;
}

export class NodeAddresses {
  readonly #ipcache: Rows;
  readonly #addresses: () => string[];
  #known: ReadonlySet<string> = new Set();
  #list: readonly string[] = [];
  #changed: () => void = () => {};

  /** `addresses`: prefixes of the node as it is now. */
  constructor(ipcache: Rows, addresses: () => string[] = nodePrefixes) {
    this.#ipcache = ipcache;
    this.#addresses = addresses;
  }

  /** As of the last look, without prefix lengths. */
  list(): readonly string[] {
    return this.#list;
  }

  /** `listener` is told when the node has other addresses than at the last look. */
  onChange(listener: () => void): void {
    this.#changed = listener;
  }

  /** True when there are others than at the last look. */
  refresh(): boolean {
    const present = new Set(this.#addresses());
    for (const prefix of present) {
      if (!this.#known.has(prefix)) this.#ipcache.upsert("local", prefix, IDENTITY.host);
    }
    for (const prefix of this.#known) {
      if (!present.has(prefix)) this.#ipcache.delete("local", prefix);
    }
    const isChanged =
      present.size !== this.#known.size || [...present].some((one) => !this.#known.has(one));
    this.#known = present;
    this.#list = [...present].map((prefix) => prefix.replace(/\/\d+$/, ""));
    if (isChanged) this.#changed();
    return isChanged;
  }
}

/** The address under which other nodes know this one: the first that is no loopback. */
export function nodeAddress(): string {
  return nodePrefixes()[0]?.replace(/\/\d+$/, "") ?? "";
}

/** Prefixes of full length, without loopback and link-local ones (which never leave a machine). */
function nodePrefixes(): string[] {
  return Object.values(networkInterfaces())
    .flatMap((addresses) => addresses ?? [])
    .filter(({ internal, address }) => !internal && !/^(fe80:|169\.254\.)/i.test(address))
    .map(({ address, family }) => `${address}/${family === "IPv4" ? 32 : 128}`);
}
