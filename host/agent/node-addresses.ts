/**
 * The node's own addresses: in the ipcache they are the identity `host`. They come and go while the
 * agent runs, so it looks again now and then.
 */
import { networkInterfaces } from "node:os";
import { IDENTITY } from "../identity/reserved.ts";
import type { Ipcache } from "../ipcache/ipcache.ts";

export class NodeAddresses {
  readonly #ipcache: Pick<Ipcache, "upsert" | "delete">;
  readonly #addresses: () => string[];
  #known: ReadonlySet<string> = new Set();

  /** `addresses`: prefixes of the node as it is now. */
  constructor(
    ipcache: Pick<Ipcache, "upsert" | "delete">,
    addresses: () => string[] = nodePrefixes,
  ) {
    this.#ipcache = ipcache;
    this.#addresses = addresses;
  }

  refresh(): void {
    const present = new Set(this.#addresses());
    for (const prefix of present) {
      if (!this.#known.has(prefix)) this.#ipcache.upsert("node", prefix, IDENTITY.host);
    }
    for (const prefix of this.#known) {
      if (!present.has(prefix)) this.#ipcache.delete("node", prefix);
    }
    this.#known = present;
  }
}

/** Prefixes of full length, without loopback and link-local ones (which never leave a machine). */
function nodePrefixes(): string[] {
  return Object.values(networkInterfaces())
    .flatMap((addresses) => addresses ?? [])
    .filter(({ internal, address }) => !internal && !/^(fe80:|169\.254\.)/i.test(address))
    .map(({ address, family }) => `${address}/${family === "IPv4" ? 32 : 128}`);
}
