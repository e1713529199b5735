/**
 * Nodes through the shared store: each agent publishes its node's own addresses and labels there,
 * with its lease, and learns those of the others. Keys and JSON are Cilium's. What other nodes say
 * of themselves is never more than a node: an address of this one stays this one's.
 */
import type { Logger } from "pino";
import { z } from "zod";
import { formatPrefix, parseAddress, parsePrefix } from "../identity/cidr.ts";
import type { LeasedKeys } from "../store/leased-keys.ts";
import { LINGER_MS, Mirror } from "../store/mirror.ts";
import type { SharedEvent, SharedStore } from "../store/shared-store.ts";
import type { Store } from "../store/store.ts";
import { NODE_ADDRESS_TYPES } from "./schema.ts";
import type { ClusterNode } from "./types.ts";

const PREFIX = "cilium/state/nodes/v1/";
/** Of one node and of all; a record beyond is not taken up, and the log says so. */
const ADDRESSES_PER_NODE_MAX = 256;
const NODES_MAX = 10_000;

/** This node, as others are to know it. */
export interface OwnNode {
  /** Without prefix lengths; the first of a family is the one to reach it by. */
  addresses: readonly string[];
  labels: Readonly<Record<string, string>>;
}

export interface SharedNodesDeps {
  store: SharedStore;
  leased: Pick<LeasedKeys, "holdLater">;
  log: Logger;
  node: string;
  cluster: string;
  clusterId: number;
  /** CIDRs of the pods' addresses. */
  ipv4Pool: string;
  ipv6Pool: string;
  /** Changes with every start of the machine. */
  bootId: string;
  /** Gets all other nodes, on each change. */
  replace: (nodes: readonly ClusterNode[]) => void;
  /** As of MirrorDeps. */
  memory?: Store | undefined;
  /** As of MirrorDeps; default LINGER_MS. */
  lingerMs?: number;
}

/** Cilium's Node, as far as it is read here. */
const record = z.looseObject({
  Name: z.string().min(1),
  Cluster: z.string(),
  IPAddresses: z
    .array(z.looseObject({ Type: z.string(), IP: z.string() }))
    .max(ADDRESSES_PER_NODE_MAX)
    .nullish(),
  Labels: z.record(z.string(), z.string()).nullish(),
});

export class SharedNodes {
  readonly #deps: SharedNodesDeps;
  readonly #log: Logger;
  readonly #mirror: Mirror;
  readonly #nodes = new Map<string, ClusterNode>();
  readonly #prefix: string;
  readonly #ownKey: string;
  #published: string | undefined;

  constructor(deps: SharedNodesDeps) {
    this.#deps = deps;
    this.#log = deps.log.child({ part: "nodes" });
    this.#prefix = `${PREFIX}${deps.cluster}/`;
    this.#ownKey = this.#prefix + deps.node;
    const { store, log, memory, lingerMs = LINGER_MS } = deps;
    const onChange = (events: readonly Pick<SharedEvent, "key" | "value">[]): void =>
      this.#heard(events);
    this.#mirror = new Mirror({ store, log, prefix: this.#prefix, onChange, memory, lingerMs });
  }

  /** False: the store did not answer when it was asked last. */
  get isCurrent(): boolean {
    return this.#mirror.isCurrent;
  }

  /** Settles when `replace` has what others have published, or the store did not answer. */
  start(): Promise<void> {
    return this.#mirror.start();
  }

  /** Writes only what is different from the last time; a store that is away gets it later. */
  async publish(own: OwnNode): Promise<void> {
    const value = JSON.stringify(this.#recordOf(own));
    if (value === this.#published) return;
    this.#published = value;
    const key = this.#ownKey;
    await this.#deps.leased.holdLater(key, async (lease) => {
      await this.#deps.store.commit({ put: [{ key, value, lease }] });
    });
  }

  close(): void {
    this.#mirror.close();
  }

  #heard(events: readonly Pick<SharedEvent, "key" | "value">[]): void {
    for (const { key, value } of events) {
      if (key === this.#ownKey) continue;
      const node = value === undefined ? undefined : this.#read(key, value);
      if (node === undefined) this.#nodes.delete(key);
      else this.#nodes.set(key, node);
    }
    this.#deps.replace([...this.#nodes.values()]);
  }

  /** Undefined for what no node can have written; what it said before is gone all the same. */
  #read(key: string, value: string): ClusterNode | undefined {
    const parsed = record.safeParse(parseJson(value));
    const isFull = this.#nodes.size >= NODES_MAX && !this.#nodes.has(key);
    // A key's tail is its node's name; anything else would let a record speak for another node.
    if (!parsed.success || isFull || key !== this.#prefix + parsed.data.Name) {
      this.#log.warn({ key, isFull }, "a node in the shared store cannot be taken up");
      return undefined;
    }
    const { Name, IPAddresses, Labels } = parsed.data;
    const own = (IPAddresses ?? []).filter(({ Type }) => NODE_ADDRESS_TYPES.includes(Type));
    return {
      kind: "node",
      name: Name,
      labels: Labels ?? {},
      addresses: own.map(({ IP }) => IP).filter((ip) => parseAddress(ip) !== undefined),
      isShared: true,
    };
  }

  /** Cilium's Node with every field that its own agents write. */
  #recordOf({ addresses, labels }: OwnNode): object {
    const { node, cluster, clusterId, ipv4Pool, ipv6Pool, bootId } = this.#deps;
    return {
      ...{ Name: node, Cluster: cluster, ClusterID: clusterId, Source: "local" },
      IPAddresses: addresses
        .slice(0, ADDRESSES_PER_NODE_MAX)
        .map((IP) => ({ Type: "InternalIP", IP })),
      ...{ IPv4AllocCIDR: networkOf(ipv4Pool), IPv4SecondaryAllocCIDRs: null },
      ...{ IPv6AllocCIDR: networkOf(ipv6Pool), IPv6SecondaryAllocCIDRs: null },
      ...{ IPv4HealthIP: "", IPv6HealthIP: "", IPv4IngressIP: "", IPv6IngressIP: "" },
      ...{ EncryptionKey: 0, Labels: labels, Annotations: null },
      ...{ NodeIdentity: 0, WireguardPubKey: "", BootID: bootId },
    };
  }
}

function parseJson(text: string): unknown {
  try {
    return JSON.parse(text) as unknown;
  } catch {
    return undefined;
  }
}

/** Go's net.IPNet as JSON: the mask's bytes in base64. */
function networkOf(cidr: string): { IP: string; Mask: string } | null {
  const prefix = parsePrefix(cidr);
  if (prefix === undefined) return null;
  const bytes = prefix.family === 4 ? 4 : 16;
  const mask = Buffer.alloc(bytes);
  for (let bit = 0; bit < prefix.length; bit++) {
    mask[bit >> 3] = (mask[bit >> 3] ?? 0) | (0x80 >> (bit & 7));
  }
  return { IP: formatPrefix(prefix).replace(/\/\d+$/, ""), Mask: mask.toString("base64") };
}
