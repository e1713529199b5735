/**
 * The node's own addresses: in the ipcache they are the identity `host`. They are what the kernel
 * delivers to the node, which is more than its interfaces show: also addresses on `lo` or on a link
 * without carrier, broadcast and anycast addresses, whole prefixes. They come and go while the
 * agent runs, so it looks again now and then.
 */
import { networkInterfaces } from "node:os";
import { IDENTITY } from "../identity/reserved.ts";
import type { Native } from "../native/index.ts";

/** host/ipcache. */
interface Rows {
  upsert(source: "local", prefix: string, identity: number): unknown;
  delete(source: "local", prefix: string): unknown;
}

type Routes = Pick<Native, "localRoutes">;

const FAMILIES = [2, 10] as const;
/** RTN_LOCAL, RTN_BROADCAST, RTN_ANYCAST. */
const DELIVERED = [2, 3, 4];
const ONE_ADDRESS = /^[^:]*\/32$|\/128$/;
/**
 * Loopback and IPv6's link-local addresses: no packet with the former leaves a machine, and the
 * programs know the latter. All addresses: what marks packets for a proxy.
 */
const NOT_OF_THE_NODE = /^(127\.|::1\/|fe[89ab].:)|\/0$/i;

export class NodeAddresses {
  readonly #ipcache: Rows;
  readonly #routes: Routes;
  #known: ReadonlySet<string> = new Set();
  #list: readonly string[] = [];
  #changed: () => void = () => {};

  constructor(ipcache: Rows, routes: Routes) {
    this.#ipcache = ipcache;
    this.#routes = routes;
  }

  /** As of the last look, without prefix lengths; those that others use to reach the node first. */
  list(): readonly string[] {
    return this.#list;
  }

  /** `listener` is told when the node has other addresses than at the last look. */
  onChange(listener: () => void): void {
    this.#changed = listener;
  }

  /**
   * True when there are others than at the last look.
   * @throws what the kernel says; what was known stays.
   */
  refresh(): boolean {
    const routes = FAMILIES.flatMap((family) => this.#routes.localRoutes(family)).filter(
      ([type, prefix]) => DELIVERED.includes(type) && !NOT_OF_THE_NODE.test(prefix),
    );
    const present = new Set(routes.map(([, prefix]) => prefix));
    for (const prefix of present) {
      if (!this.#known.has(prefix)) this.#ipcache.upsert("local", prefix, IDENTITY.host);
    }
    for (const prefix of this.#known) {
      if (!present.has(prefix)) this.#ipcache.delete("local", prefix);
    }
    const isChanged =
      present.size !== this.#known.size || [...present].some((one) => !this.#known.has(one));
    this.#known = present;
    // Link-local ones are on every node, and name none.
    const own = routes
      .filter(([type, prefix]) => type === DELIVERED[0] && ONE_ADDRESS.test(prefix))
      .filter(([, prefix]) => !prefix.startsWith("169.254."))
      .map(([, prefix]) => withoutLength(prefix));
    this.#list = [...new Set([...interfaceAddresses().filter((one) => own.includes(one)), ...own])];
    if (isChanged) this.#changed();
    return isChanged;
  }
}

/** The address under which other nodes know this one: the first that is no loopback. */
export function nodeAddress(): string {
  return interfaceAddresses()[0] ?? "";
}

const withoutLength = (prefix: string): string => prefix.replace(/\/\d+$/, "");

/** Those of interfaces that others can be behind, without link-local ones. */
function interfaceAddresses(): string[] {
  return Object.values(networkInterfaces())
    .flatMap((addresses) => addresses ?? [])
    .filter(({ internal, address }) => !internal && !/^(fe80:|169\.254\.)/i.test(address))
    .map(({ address }) => address);
}
