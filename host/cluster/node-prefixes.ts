/**
 * The addresses of other nodes, and of the Kubernetes API, in the ipcache. What is the API and no
 * node is an address of the world with one label more. Semantics: policy-semantics.md 2.4, 3.
 */
import {
  cidrLabel,
  cidrLabels,
  formatPrefix,
  isWorldLabel,
  type Prefix,
  parseAddress,
} from "../identity/cidr.ts";
import { reservedLabel, SOURCE_NODE, SOURCE_RESERVED } from "../identity/label.ts";
import { IDENTITY } from "../identity/reserved.ts";
import type { Ipcache, IpcacheSource } from "../ipcache/ipcache.ts";
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
  /** The kernel's rows of these addresses have changed: live connections are judged again. */
  changed: (addresses: string[]) => Promise<void>;
  /** Identities of nodes carry their labels, so that policies can choose among nodes. */
  nodeLabels: boolean;
  /** Identities of nodes carry their addresses, so that CIDRs select them. */
  cidrMatchesNodes: boolean;
}

/** What an address should be, and who says so. */
interface Wanted {
  source: IpcacheSource;
  labels: readonly Label[];
}

/** A number that was acquired has to be released; a fixed one has not. */
interface Held {
  id: number;
  acquired: boolean;
}

type Row = Held & Pick<Wanted, "source">;

export class NodePrefixes {
  readonly #deps: NodePrefixesDeps;
  #held: ReadonlyMap<string, Row> = new Map();
  /** Addresses of rows that have changed and were not told of yet. */
  readonly #untold = new Set<string>();
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
    const { identities, settled, changed } = this.#deps;
    this.#trouble = undefined;
    const next = new Map<string, Row>();
    for (const [prefix, { labels, source }] of this.#wanted()) {
      const held = await this.#hold(labels);
      if (held) next.set(prefix, { ...held, source });
    }
    try {
      await settled();
    } catch (error) {
      for (const { id, acquired } of next.values()) if (acquired) await identities.release(id);
      throw error;
    }
    this.#write(next);
    const before = this.#held;
    this.#held = next;
    for (const { id, acquired } of before.values()) if (acquired) await identities.release(id);
    await changed([...this.#untold]);
    this.#untold.clear();
  }

  #write(next: ReadonlyMap<string, Row>): void {
    const { ipcache } = this.#deps;
    const tell = (prefix: string, isChanged: boolean): void => {
      if (isChanged) this.#untold.add(prefix.replace(/\/\d+$/, ""));
    };
    for (const [prefix, { id, source }] of next) tell(prefix, ipcache.upsert(source, prefix, id));
    for (const [prefix, { source }] of this.#held) {
      if (next.get(prefix)?.source !== source) tell(prefix, ipcache.delete(source, prefix));
    }
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

  /** By prefix; what a node says itself comes after what files say, and takes its place. */
  #wanted(): Map<string, Wanted> {
    const { state, node: self } = this.#deps;
    const apiServers = new Set(prefixesOf(state.apiServers()).map(formatPrefix));
    const wanted = new Map<string, Wanted>();
    const own = new Set<string>();
    const nodes = state.nodes();
    for (const node of [...nodes.filter(isFromFile), ...nodes.filter((one) => !isFromFile(one))]) {
      const source = isFromFile(node) ? "custom-resource" : "kvstore-node";
      for (const prefix of prefixesOf(node.addresses)) {
        const text = formatPrefix(prefix);
        if (node.name === self) own.add(text);
        else {
          wanted.set(text, { source, labels: this.#labelsOf(node, prefix, apiServers.has(text)) });
        }
      }
    }
    for (const prefix of prefixesOf(state.apiServers())) {
      const text = formatPrefix(prefix);
      if (wanted.has(text) || own.has(text)) continue;
      const labels = [reservedLabel(KUBE_APISERVER), ...cidrLabels(prefix)];
      wanted.set(text, { source: "custom-resource", labels });
    }
    return wanted;
  }

  #labelsOf({ labels }: ClusterNode, prefix: Prefix, isApi: boolean): Label[] {
    const { nodeLabels, cidrMatchesNodes } = this.#deps;
    const own = Object.entries(nodeLabels ? labels : {});
    return [
      reservedLabel("remote-node"),
      ...(isApi ? [reservedLabel(KUBE_APISERVER)] : []),
      ...(cidrMatchesNodes ? [cidrLabel(prefix)] : []),
      ...own.map(([key, value]) => ({ source: SOURCE_NODE, key, value })),
    ];
  }
}

const isFromFile = ({ isShared }: ClusterNode): boolean => isShared !== true;

const KUBE_APISERVER = "kube-apiserver";

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
