/** The node's own addresses: in the ipcache they are the identity `host`. */
import { networkInterfaces } from "node:os";

/** Prefixes of full length, without loopback and link-local ones (which never leave a machine). */
export function nodePrefixes(): string[] {
  return Object.values(networkInterfaces())
    .flatMap((addresses) => addresses ?? [])
    .filter(({ internal, address }) => !internal && !/^(fe80:|169\.254\.)/i.test(address))
    .map(({ address, family }) => `${address}/${family === "IPv4" ? 32 : 128}`);
}
