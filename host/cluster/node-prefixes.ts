/**
 * The addresses of other nodes, and of the Kubernetes API, in the ipcache. What is the API and no
 * node is an address of the world with one label more. Semantics: policy-semantics.md 2.4, 3.
 */
import {
  cidrLabels,
  formatPrefix,
  isWorldLabel,
  type Prefix,
  parseAddress,
} from "../identity/cidr.ts";
import { reservedLabel, SOURCE_NODE, SOURCE_RESERVED } from "../identity/label.ts";
import { IDENTITY } from "../identity/reserved.ts";
import type { Ipcache } from "../ipcache/ipcache.ts";
import type { Label } from "../policy/types.ts";
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
      const held = await this.#hold(labels);
      if (held) next.set(prefix, held);
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

  /**
   * When it can have no identity of its own the trouble is told; a node is then one like any other,
   * and an address of the world stays what it is without us.
   */
  async #hold(labels: readonly Label[]): Promise<Held | undefined> {
    const fixed = fixedIdentity(labels);
    if (fixed !== undefined) return { id: fixed, acquired: false };
    try {
      return { id: (await this.#deps.identities.acquire(labels)).id, acquired: true };
    } catch (error) {
      this.#trouble = error instanceof Error ? error.message : String(error);
      const id = fixedIdentity(labels.filter(({ source }) => source === SOURCE_RESERVED));
      return labels.some(isWorldLabel) || id === undefined ? undefined : { id, acquired: false };
    }
  }

  /** Labels by prefix. */
  #wanted(): Map<string, readonly Label[]> {
    const { state, node: self, nodeLabels } = this.#deps;
    const apiServers = new Set(prefixesOf(state.apiServers()).map(formatPrefix));
    const wanted = new Map<string, readonly Label[]>();
    const own = new Set<string>();
    for (const node of state.nodes()) {
      for (const prefix of prefixesOf(node.addresses)) {
        const text = formatPrefix(prefix);
        if (node.name === self) own.add(text);
        else wanted.set(text, labelsOf(node, { isApi: apiServers.has(text), nodeLabels }));
      }
    }
    for (const prefix of prefixesOf(state.apiServers())) {
      const text = formatPrefix(prefix);
      if (wanted.has(text) || own.has(text)) continue;
      wanted.set(text, [reservedLabel(KUBE_APISERVER), ...cidrLabels(prefix)]);
    }
    return wanted;
  }
}

const KUBE_APISERVER = "kube-apiserver";

function labelsOf(
  { labels }: ClusterNode,
  { isApi, nodeLabels }: { isApi: boolean; nodeLabels: boolean },
): Label[] {
  const reserved = [
    reservedLabel("remote-node"),
    ...(isApi ? [reservedLabel(KUBE_APISERVER)] : []),
  ];
  if (!nodeLabels) return reserved;
  const own = Object.entries(labels).map(([key, value]) => ({ source: SOURCE_NODE, key, value }));
  return [...reserved, ...own];
}

/** Nodes without labels have fixed numbers. */
function fixedIdentity(labels: readonly Label[]): number | undefined {
  if (labels.some(({ source }) => source !== SOURCE_RESERVED)) return undefined;
  return labels.some(({ key }) => key === KUBE_APISERVER)
    ? IDENTITY.kubeApiserver
    : IDENTITY.remoteNode;
}

function prefixesOf(addresses: readonly string[]): Prefix[] {
  return addresses.map(parseAddress).filter((prefix) => prefix !== undefined);
}
