/**
 * Which identity an address prefix has, when several parts of the agent have a say: a pod's address
 * stays the pod's even if a policy names the same prefix as a CIDR. The kernel's map holds only the
 * winner of each prefix.
 */
import { formatPrefix, parsePrefix } from "../identity/cidr.ts";

/**
 * Highest first, as Cilium's: the API server's own address; this node's pods and addresses; pods of
 * other nodes, and those nodes, as their agents say; … ; prefixes that policies name (`generated`);
 * what an agent before this one left.
 */
const SOURCES = [
  "kube-apiserver",
  "local",
  "kvstore",
  "kvstore-node",
  "custom-resource",
  "k8s",
  "clustermesh",
  "directory",
  "api",
  "generated",
  "restored",
] as const;
export type IpcacheSource = (typeof SOURCES)[number];

/** Lower is stronger. */
export function sourceRank(source: IpcacheSource): number {
  return SOURCES.indexOf(source);
}

/** The kernel's map; host/datapath. */
export interface IpcacheMap {
  upsertIpcache(prefix: string, identity: number): void;
  deleteIpcache(prefix: string): void;
  listIpcache(): { prefix: string; identity: number }[];
}

interface Row {
  claims: Map<IpcacheSource, number>;
  /** What the kernel has: a write that failed has changed nothing, and the next makes up for it. */
  written: number | undefined;
}

export class Ipcache {
  readonly #map: IpcacheMap;
  readonly #rows = new Map<string, Row>();
  /** Rows of an earlier agent that nobody has claimed yet. */
  readonly #left: Map<string, number>;

  constructor(map: IpcacheMap) {
    this.#map = map;
    this.#left = new Map(
      map.listIpcache().map(({ prefix, identity }) => [canonical(prefix), identity]),
    );
  }

  /** True when the kernel's row has changed. @throws what the kernel says; the claim stands. */
  upsert(source: IpcacheSource, prefix: string, identity: number): boolean {
    const key = canonical(prefix);
    const row = this.#rows.get(key) ?? { claims: new Map(), written: this.#left.get(key) };
    this.#rows.set(key, row);
    this.#left.delete(key);
    row.claims.set(source, identity);
    return this.#write(key, row);
  }

  /** What the source did not claim is not an error. True when the kernel's row has changed. */
  delete(source: IpcacheSource, prefix: string): boolean {
    const key = canonical(prefix);
    const row = this.#rows.get(key);
    if (row === undefined || !row.claims.delete(source)) return false;
    return this.#write(key, row);
  }

  #write(key: string, row: Row): boolean {
    const wanted = winner(row.claims);
    const changes = wanted !== row.written;
    if (changes && wanted !== undefined) this.#map.upsertIpcache(key, wanted);
    if (changes && wanted === undefined) this.#map.deleteIpcache(key);
    row.written = wanted;
    if (wanted === undefined) this.#rows.delete(key);
    return changes;
  }

  /** Removes what an earlier agent left in the kernel and nobody claims. Once, when all have. */
  prune(): number {
    const stale = [...this.#left.keys()];
    this.#left.clear();
    for (const prefix of stale) this.#map.deleteIpcache(prefix);
    return stale.length;
  }
}

function winner(claims: ReadonlyMap<IpcacheSource, number>): number | undefined {
  for (const source of SOURCES) {
    const identity = claims.get(source);
    if (identity !== undefined) return identity;
  }
  return undefined;
}

function canonical(prefix: string): string {
  const parsed = parsePrefix(prefix);
  if (parsed === undefined) throw new Error(`Cannot use the prefix "${prefix}": not a CIDR`);
  return formatPrefix(parsed);
}
