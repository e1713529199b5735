/**
 * The addresses of other nodes in the ipcache; those with the Kubernetes API are told from the
 * rest. Semantics: policy-semantics.md 2.4, 3.
 */
import { formatPrefix } from "../identity/cidr.ts";
import { reservedLabel, SOURCE_NODE, SOURCE_RESERVED } from "../identity/label.ts";
import { IDENTITY } from "../identity/reserved.ts";
import type { Ipcache } from "../ipcache/ipcache.ts";
import type { Label } from "../policy/types.ts";
import { API_SERVER_LABEL, prefixesOf } from "./api-servers.ts";
import type { ClusterState } from "./state.ts";
import type { ClusterNode } from "./types.ts";

export interface NodePrefixesDeps {
  /** Name of this node: its addresses are `host`, and not ours to name. */
  node: string;
  state: Pick<ClusterState, "nodes" | "apiServers">;
  ipcache: Pick<Ipcache, "upsert" | "delete">;
  identities: {
    acquire(labels: Iterable<Label>): Promise<{ id: number }>;
    release(id: number): Promise<void>;
  };
  /** Settles when policy maps know every identity of now: only then may an address have one. */
  settled: () => Promise<void>;
  /** Identities of nodes carry their labels, so that policies can choose among nodes. */
  nodeLabels: boolean;
}

/** A number that was acquired has to be released; a fixed one has not. */
interface Held {
  id: number;
  acquired: boolean;
}

export class NodePrefixes {
  readonly #deps: NodePrefixesDeps;
  #held: ReadonlyMap<string, Held> = new Map();
  #tail: Promise<void> = Promise.resolve();
  #trouble: string | undefined;

  constructor(deps: NodePrefixesDeps) {
    this.#deps = deps;
  }

  /** Undefined when every node has the identity it should have. */
  get trouble(): string | undefined {
    return this.#trouble;
  }

  /** Brings the ipcache to what the state says now. */
  refresh(): Promise<void> {
    const done = this.#tail.then(() => this.#refresh());
    this.#tail = done.catch(() => {});
    return done;
  }

  async #refresh(): Promise<void> {
    const { ipcache, identities, settled } = this.#deps;
    this.#trouble = undefined;
    const next = new Map<string, Held>();
    for (const [prefix, labels] of this.#wanted()) {
      next.set(prefix, await this.#hold(labels));
    }
    try {
      await settled();
    } catch (error) {
      for (const { id, acquired } of next.values()) if (acquired) await identities.release(id);
      throw error;
    }
    for (const [prefix, { id }] of next) ipcache.upsert("custom-resource", prefix, id);
    for (const prefix of this.#held.keys()) {
      if (!next.has(prefix)) ipcache.delete("custom-resource", prefix);
    }
    const before = this.#held;
    this.#held = next;
    for (const { id, acquired } of before.values()) if (acquired) await identities.release(id);
  }

  /** If it can have no identity of its own the trouble is told, and it is a node like any other. */
  async #hold(labels: readonly Label[]): Promise<Held> {
    const fixed = fixedIdentity(labels);
    if (fixed !== undefined) return { id: fixed, acquired: false };
    try {
      return { id: (await this.#deps.identities.acquire(labels)).id, acquired: true };
    } catch (error) {
      this.#trouble = error instanceof Error ? error.message : String(error);
      return { id: reservedIdentity(labels), acquired: false };
    }
  }

  /** Labels by prefix. */
  #wanted(): Map<string, readonly Label[]> {
    const { state, node: self, nodeLabels } = this.#deps;
    const apiServers = new Set(prefixesOf(state.apiServers()).map(formatPrefix));
    const wanted = new Map<string, readonly Label[]>();
    for (const node of state.nodes()) {
      if (node.name === self) continue;
      for (const prefix of prefixesOf(node.addresses)) {
        const text = formatPrefix(prefix);
        wanted.set(text, labelsOf(node, { isApi: apiServers.has(text), nodeLabels }));
      }
    }
    return wanted;
  }
}

function labelsOf(
  { labels }: ClusterNode,
  { isApi, nodeLabels }: { isApi: boolean; nodeLabels: boolean },
): Label[] {
  const reserved = [reservedLabel("remote-node"), ...(isApi ? [API_SERVER_LABEL] : [])];
  if (!nodeLabels) return reserved;
  const own = Object.entries(labels).map(([key, value]) => ({ source: SOURCE_NODE, key, value }));
  return [...reserved, ...own];
}

/** Nodes without labels have fixed numbers. */
function fixedIdentity(labels: readonly Label[]): number | undefined {
  const isPlain = labels.every(({ source }) => source === SOURCE_RESERVED);
  return isPlain ? reservedIdentity(labels) : undefined;
}

function reservedIdentity(labels: readonly Label[]): number {
  const isApi = labels.some(
    ({ source, key }) => source === SOURCE_RESERVED && key === API_SERVER_LABEL.key,
  );
  return isApi ? IDENTITY.kubeApiserver : IDENTITY.remoteNode;
}
