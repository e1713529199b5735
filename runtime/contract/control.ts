/**
 * The control protocol between agent (client) and proxy (server): one JSON message a line over the
 * unix stream socket `<run-dir>/proxy.sock`. Every request has a `seq` and gets exactly one reply
 * with that `seq`, in order. The proxy goes on from its last confirmed state when the agent is
 * away.
 */
import type { Manifest } from "./manifest.ts";

export const CONTROL_PROTOCOL = 1;

/**
 * Content-addressed and immutable: the id is never used for other bytes (assigned by the agent).
 */
export interface RuleSet {
  /** 1.. 2^32-1; the id that policy map entries and handoff rows carry. */
  id: number;
  /** Digest of the plugin that compiled it. */
  plugin: string;
  /** Base64 of what the plugin's `compile` returned. */
  compiled: string;
  /**
   * RE2 sources behind the `match` handles this rule set uses. Handles are unique over all rule
   * sets of the agent, because an instance holds several and `match` names only the handle.
   */
  patterns: { handle: number; source: string }[];
}

export interface PluginVersion {
  /** `sha256:<hex>` of the component file. */
  digest: string;
  manifest: Manifest;
  /** Absolute path of the component file. */
  path: string;
}

/** Whole desired state, sent on connect and on every change; the proxy works out the difference. */
export interface ProxyState {
  /** Rises with every change. */
  revision: number;
  plugins: PluginVersion[];
  ruleSets: RuleSet[];
}

export type ControlRequest =
  | { seq: number; kind: "hello"; protocol: number }
  /**
   * Answered when every worker has the state; rule sets no longer named are dropped once unused.
   */
  | { seq: number; kind: "state"; state: ProxyState }
  /** Live connections of these endpoints look their verdict up again in the policy map. */
  | { seq: number; kind: "reevaluate"; endpoints: number[] }
  | { seq: number; kind: "status" }
  /** Stop accepting, serve open connections at most this long, then exit. */
  | { seq: number; kind: "drain"; timeoutMs: number };

export interface ProxyHello {
  protocol: number;
  build: string;
  runtime: "node" | "deno";
  runtimeVersion: string;
  pid: number;
  /** Milliseconds since 1970. */
  startedAt: number;
  workers: number;
  revision: number;
}

export interface ProxyStatus extends ProxyHello {
  connections: number;
  instances: number;
  /** Bytes resident. */
  rss: number;
  counters: Record<string, number>;
}

export type ControlReply =
  | { seq: number; ok: true; hello?: ProxyHello; status?: ProxyStatus }
  | { seq: number; ok: false; error: string };
