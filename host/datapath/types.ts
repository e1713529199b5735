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
  /** 1..65535 */
  id: number;
  identity: number;
  /** Host side of the veth pair. */
  ifname: string;
  ifindex: number;
  podMac: string;
  hostMac: string;
  ipv4?: string;
  ipv6?: string;
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
  listIpcache(): { prefix: string; identity: number }[];
  /** Writes both endpoint rows and attaches the pod programs to the interface. */
  upsertEndpoint(endpoint: DatapathEndpoint): void;
  deleteEndpoint(id: number): void;
  listEndpoints(): DatapathEndpoint[];
  /** Program of the node's own interfaces (traffic from outside). */
  attachNetdev(ifname: string): void;
  /** Replaces the endpoint's whole policy map at once. */
  setPolicy(endpoint: number, entries: readonly PolicyMapEntry[]): void;
  /** The same in two steps, for many maps at once; the rows must be left alone meanwhile. */
  fillPolicy(rows: PolicyRows): Promise<FilledPolicy>;
  /** No epoch is raised. */
  placePolicies(placements: readonly PolicyPlacement[]): Promise<void>;
  /** Row by row in the map in force; no epoch is raised. Throws when it has none or is full. */
  changePolicy(endpoint: number, change: PolicyChange): Promise<void>;
  listPolicy(endpoint: number): (PolicyMapEntry & { packets?: number })[];
  listCt(): CtRow[];
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
