/**
 * The addresses of other nodes in the ipcache; those with the Kubernetes API are told from the
 * rest. Semantics: policy-semantics.md 2.4, 3.
 */
import { cidrLabel, formatPrefix, type Prefix } from "../identity/cidr.ts";
import { reservedLabel, SOURCE_NODE, SOURCE_RESERVED } from "../identity/label.ts";
import { IDENTITY } from "../identity/reserved.ts";
import type { Ipcache, IpcacheSource } from "../ipcache/ipcache.ts";
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
      next.set(prefix, { ...(await this.#hold(labels)), source });
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

  /** By prefix; what a node says itself comes after what files say, and takes its place. */
  #wanted(): Map<string, Wanted> {
    const { state, node: self } = this.#deps;
    const apiServers = new Set(prefixesOf(state.apiServers()).map(formatPrefix));
    const wanted = new Map<string, Wanted>();
    const nodes = state.nodes().filter(({ name }) => name !== self);
    for (const node of [...nodes.filter(isFromFile), ...nodes.filter((one) => !isFromFile(one))]) {
      const source = isFromFile(node) ? "custom-resource" : "kvstore-node";
      for (const prefix of prefixesOf(node.addresses)) {
        const text = formatPrefix(prefix);
        wanted.set(text, { source, labels: this.#labelsOf(node, prefix, apiServers.has(text)) });
      }
    }
    return wanted;
  }

  #labelsOf({ labels }: ClusterNode, prefix: Prefix, isApi: boolean): Label[] {
    const { nodeLabels, cidrMatchesNodes } = this.#deps;
    const own = Object.entries(nodeLabels ? labels : {});
    return [
      reservedLabel("remote-node"),
      ...(isApi ? [API_SERVER_LABEL] : []),
      ...(cidrMatchesNodes ? [cidrLabel(prefix)] : []),
      ...own.map(([key, value]) => ({ source: SOURCE_NODE, key, value })),
    ];
  }
}

const isFromFile = ({ isShared }: ClusterNode): boolean => isShared !== true;

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
