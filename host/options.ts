/** Options of the agent, with the defaults that its command line, its docs and uninstall share. */
import { join } from "node:path";
import type { CtTimeouts } from "./datapath/abi.ts";
import type { EnforcementMode } from "./policy/subject-policy.ts";
import type { PrefilterOptions } from "./prefilter/options.ts";
import type { ProxyRuntime } from "./proxy/process.ts";

/** The admin API over TCP, which is served with TLS only. */
export interface TcpApiOptions {
  host: string;
  port: number;
  /** PEM files: the certificate with its chain, and its key. */
  certFile: string;
  keyFile: string;
}

/** A shared store for what the agents of a cluster must agree on. */
export interface EtcdStoreOptions {
  /** Such as `https://10.0.0.1:2379`. */
  endpoints: string[];
  /** PEM files: this agent's certificate and its key, and who signs the servers'. */
  certFile: string | undefined;
  keyFile: string | undefined;
  caFile: string | undefined;
  /** With a file that holds the password. */
  user: string | undefined;
  passwordFile: string | undefined;
}

export interface IdentityOptions {
  /** Undefined: the embedded store; the node is alone. */
  etcd: EtcdStoreOptions | undefined;
  /** Label filter rules, after the default ones. */
  labels: string[];
  /** 0: the cluster is in no mesh. */
  clusterId: number;
  maxConnectedClusters: 255 | 511;
  /** `128=name,…`, or undefined. */
  fixedMapping: string | undefined;
  /** How long a relabelled pod keeps its identity. */
  gracePeriodMs: number;
}

/** What policies mean on this node. */
export interface PolicyOptions {
  /** Whether endpoints that no policy selects are open. */
  enablePolicy: EnforcementMode;
  /** Whether the node reaches its own pods unless a rule denies it; `auto` is `always`. */
  allowLocalhost: "auto" | "always" | "policy";
  /** What a pod is told of packets that its own egress policy denies. */
  denyResponse: "none" | "icmp";
  /** ICMPv4 "fragmentation needed" passes every policy. */
  allowIcmpFragNeeded: boolean;
  /** An endpoint whose policy does not fit into its map is closed; else it keeps the last one. */
  endpointLockdownOnPolicyOverflow: boolean;
  /** Entries that a policy map holds. */
  policyEntriesMax: number;
  /** Identities of other nodes carry the nodes' labels. */
  nodeSelectorLabels: boolean;
  /** CIDRs select nodes by their addresses, not the world only. */
  cidrMatchesNodes: boolean;
  /** Peers that name no cluster are pods of this one; else of any. */
  defaultLocalCluster: boolean;
  /** Protocols without ports are policed, and a port may be left out. */
  extendedIpProtocols: boolean;
}

export interface AgentOptions extends PolicyOptions {
  /** Sockets and logs. */
  runDir: string;
  /** Database and proxy state; survives restarts. */
  stateDir: string;
  /** Where maps, links and programs are pinned. */
  bpffs: string;
  /** Unix socket of the admin API. */
  socket: string;
  /** Undefined: on the unix socket only. */
  tcpApi: TcpApiOptions | undefined;
  node: string;
  cluster: string;
  identity: IdentityOptions;
  ipv4Pool: string;
  ipv6Pool: string;
  /** Interfaces to the outside, whose traffic to local endpoints is policed. */
  devices: string[];
  prefilter: PrefilterOptions;
  /** What L3/L4 policy denies passes and is told as audited; L7 is enforced all the same. */
  policyAuditMode?: boolean;
  /** Enforce policies with a `nodeSelector`, and track the node's connections from the start. */
  hostFirewall?: boolean;
  /** The node's own, besides those of its Node object; policies select nodes by them. */
  nodeLabels: Readonly<Record<string, string>>;
  /** Folder of policy files to keep in force, or undefined. */
  policyDir: string | undefined;
  /** File or folder with objects of the cluster, or undefined. */
  clusterState: string | undefined;
  /** How long the kernel knows connections. */
  ctTimeouts: CtTimeouts;
  runtime: ProxyRuntime;
  workers: number;
  logLevel: string;
}

export const AGENT_DEFAULTS = {
  runDir: "/var/run/imker",
  stateDir: "/var/lib/imker",
  bpffs: "/sys/fs/bpf/imker",
  cluster: "default",
  clusterId: 0,
  maxConnectedClusters: 255,
  gracePeriodMs: 5_000,
  ipv4Pool: "10.244.0.0/24",
  ipv6Pool: "fd00:244::/112",
} as const;

export const databaseFile = (stateDir: string): string => join(stateDir, "imker.db");
export const auditFile = (stateDir: string): string => join(stateDir, "audit.log");
export const agentPidFile = (runDir: string): string => join(runDir, "agent.pid");
