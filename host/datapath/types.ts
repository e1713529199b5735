/** What the agent sees of the kernel. `host/datapath/index.ts` implements it over libbpf. */

import type { PolicyChange, PolicyRows } from "./policy-rows.ts";
import type { FilledPolicy, PolicyPlacement } from "./policy-writer.ts";

export interface DatapathOptions {
  /** Where maps, programs and links are pinned, e.g. /sys/fs/bpf/imker. */
  bpffs: string;
  /** Folder of the built BPF objects. */
  objects: string;
}

export interface DatapathEndpoint {
  /** 1..65534; the node itself is ENDPOINT_HOST. */
  id: number;
  identity: number;
  /** Host side of the veth pair. */
  ifname: string;
  ifindex: number;
  podMac: string;
  hostMac: string;
  ipv4?: string;
  ipv6?: string;
  /** Audit mode: what L3/L4 policy denies passes and is told as audited. False if absent. */
  audit?: boolean;
}

export interface PolicyMapEntry {
  identity: number;
  direction: "ingress" | "egress";
  protocol: number;
  port: number;
  /** 0..16; ignored when protocol is 0. */
  portPrefix: number;
  precedence: number;
  deny: boolean;
  redirect: boolean;
  /** Of a redirect; 0: its plugin is not there, what the entry matches is dropped. */
  ruleSet: number;
  /**
   * With `redirect`: the proxy only watches. A connection that it cannot have goes on past it.
   * False if absent.
   */
  watch?: boolean;
  cookie: number;
}

export interface Tuple {
  source: string;
  destination: string;
  sourcePort: number;
  destinationPort: number;
  protocol: number;
}

/** struct event of bpf/abi/abi.h, decoded. */
export interface DatapathEvent {
  /** Nanoseconds since 1970. */
  time: bigint;
  type: number;
  subType: number;
  direction: "ingress" | "egress";
  reason: number;
  verdict: number;
  sourceIdentity: number;
  destinationIdentity: number;
  ifindex: number;
  cookie: number;
  length: number;
  endpoint: number;
  tcpFlags: number;
  isReply: boolean | undefined;
  tuple: Tuple;
  sourceMac: string;
  destinationMac: string;
  /** Of a policy verdict 0: policy denied it, audit mode let it pass. False if absent. */
  audited?: boolean;
}

export interface CtRow extends Tuple {
  expiresInSeconds: number;
  proxied: boolean;
  seenReply: boolean;
  closing: boolean;
  sourceIdentity: number;
  destinationIdentity: number;
  packets: [number, number];
  bytes: [number, number];
}

/** What policy is asked: a peer, a direction, a protocol, a port. */
export interface PolicyQuestion {
  identity: number;
  direction: "ingress" | "egress";
  protocol: number;
  /** Absent for what has no ports. */
  port?: number | undefined;
}

/** One stretch of the conntrack map that was looked through. */
export interface CtSweep {
  /** Where the next stretch begins; undefined: that was the last. */
  next: Uint8Array | undefined;
  alive: CtCounts;
  deleted: CtCounts;
}

/** Conntrack entries by address family and protocol. */
export interface CtCounts {
  ipv4Tcp: number;
  ipv4Other: number;
  ipv6Tcp: number;
  ipv6Other: number;
}

export interface Feature {
  name: string;
  available: boolean;
  /** When not available: what is missing and how to get it. */
  detail: string;
}

export interface Datapath {
  /** Load or adopt: reuse compatible pinned maps, create the others, keep running links. */
  start(): void;
  /**
   * Switch running programs to the ones loaded by `start` (bpf_link_update). Called once the maps
   * hold the full desired state, so a changed map layout never opens a gap.
   */
  commit(): void;
  features(): Feature[];
  upsertIpcache(prefix: string, identity: number): void;
  deleteIpcache(prefix: string): void;
  /** What the kernel takes an address for; undefined: no prefix covers it. */
  lookupIpcache(address: string): number | undefined;
  listIpcache(): { prefix: string; identity: number }[];
  /** Writes both endpoint rows and attaches the pod programs to the interface. */
  upsertEndpoint(endpoint: DatapathEndpoint): void;
  deleteEndpoint(id: number): void;
  listEndpoints(): DatapathEndpoint[];
  /** Audit mode of a pod, or of the node's own policy (ENDPOINT_HOST). False: no such pod. */
  setAudit(endpoint: number, audit: boolean): boolean;
  /**
   * Programs of a node's own interface: traffic with the outside, the node's own included. False:
   * they were there. @throws DatapathError `no-interface`.
   */
  attachNetdev(ifname: string): boolean;
  /** Takes them off again; false: they were not there. */
  detachNetdev(ifname: string): boolean;
  /**
   * Takes the endpoint's map away: a pod is closed then, the node (ENDPOINT_HOST) is open. The
   * node's policy is for its processes and the pods that share its network, on attached interfaces
   * and towards its own pods.
   */
  removePolicy(endpoint: number): void;
  /** A whole map, to be put in place; the rows must be left alone meanwhile. */
  fillPolicy(rows: PolicyRows): Promise<FilledPolicy>;
  /**
   * Each replaces the whole map in force at once. No epoch is raised, unless the node's own
   * connections were not tracked before.
   */
  placePolicies(placements: readonly PolicyPlacement[]): Promise<void>;
  /** Row by row in the map in force; no epoch is raised. Throws when it has none or is full. */
  changePolicy(endpoint: number, change: PolicyChange): Promise<void>;
  listPolicy(endpoint: number): (PolicyMapEntry & { packets?: number })[];
  /** The entry that decides, found as the kernel finds it; undefined: none, so it is denied. */
  lookupPolicy(endpoint: number, question: PolicyQuestion): PolicyMapEntry | undefined;
  listCt(): CtRow[];
  /** The connection of that tuple, given from either end. */
  lookupCt(tuple: Tuple): CtRow | undefined;
  /** Deletes expired entries of one stretch of the conntrack map, from `from` or the start. */
  sweepCt(from?: Uint8Array): CtSweep;
  /** Entries the conntrack map can hold. */
  ctCapacity(): number;
  /** Forces a policy re-check of every live connection. */
  bumpEpoch(): void;
  /** Drains at most `max` events; returns how many were delivered. */
  readEvents(max: number, deliver: (event: DatapathEvent) => void): number;
  /** Events the kernel could not put into the ring so far. */
  lostEvents(): number;
  /** Closes file descriptors. Everything in the kernel stays in force. */
  close(): void;
  /** Removes links, programs, maps, rules and routes; says what it removed. */
  uninstall(): string[];
}
