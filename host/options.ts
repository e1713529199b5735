/** Options of the agent, with the defaults that its command line, its docs and uninstall share. */
import { join } from "node:path";
import type { ProxyRuntime } from "./proxy/process.ts";

/** The admin API over TCP, which is served with TLS only. */
export interface TcpApiOptions {
  host: string;
  port: number;
  /** PEM files: the certificate with its chain, and its key. */
  certFile: string;
  keyFile: string;
}

export interface AgentOptions {
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
  ipv4Pool: string;
  ipv6Pool: string;
  /** Interfaces to the outside, whose traffic to local endpoints is policed. */
  devices: string[];
  /** Interfaces with the prefilter; none: those of `devices`. */
  prefilterDevices: string[];
  /** At most one drop event of the prefilter in this time, on each CPU. */
  prefilterEventMs: number;
  /** Folder of policy files to keep in force, or undefined. */
  policyDir: string | undefined;
  runtime: ProxyRuntime;
  workers: number;
  logLevel: string;
}

export const AGENT_DEFAULTS = {
  runDir: "/var/run/imker",
  stateDir: "/var/lib/imker",
  bpffs: "/sys/fs/bpf/imker",
  cluster: "default",
  ipv4Pool: "10.244.0.0/24",
  ipv6Pool: "fd00:244::/112",
} as const;

export const databaseFile = (stateDir: string): string => join(stateDir, "imker.db");
export const auditFile = (stateDir: string): string => join(stateDir, "audit.log");
export const agentPidFile = (runDir: string): string => join(runDir, "agent.pid");
