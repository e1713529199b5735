/**
 * The control protocol between agent (client) and proxy (server): one JSON message a line over the
 * unix stream socket `<run-dir>/proxy.sock`. Every request has a `seq` and gets exactly one reply
 * with that `seq`, in order. The proxy goes on from its last confirmed state when the agent is
 * away.
 */
import type { Manifest } from "./manifest.ts";

export const CONTROL_PROTOCOL = 2;

/**
 * How verdicts count. `enforce`: as given. `audit`: everything passes, what would have been denied
 * is reported as AUDIT. `observe`: everything passes, rules are not asked, messages are reported.
 */
export type RuleMode = "enforce" | "audit" | "observe";

/** What becomes of a connection whose plugin cannot serve it: refused, or passed on unseen. */
export type FailurePolicy = "closed" | "open";

/** What one version's `compile` made of the rules. */
export interface RuleForm {
  /** Of the version. */
  digest: string;
  /** Base64. */
  compiled: string;
  /**
   * RE2 sources behind the `match` handles this form uses. Handles are unique over all rule sets of
   * the agent, because an instance holds several and `match` names only the handle.
   */
  patterns: { handle: number; source: string }[];
}

/**
 * Given by content and immutable: the id is never used for another reference, mode, failure policy
 * or other rules (assigned by the agent; decision 0009). Forms come and go with versions.
 */
export interface RuleSet {
  /** 1.. 2^32-1; the id that policy map entries and handoff rows carry. */
  id: number;
  /** What the policy asks for: `NAME`, or `NAME@VERSION` (pinned). Names a service. */
  plugin: string;
  mode: RuleMode;
  failure: FailurePolicy;
  /** One for each version of the service that may serve. */
  forms: RuleForm[];
}

export interface PluginVersion {
  /** `sha256:<hex>` (package.ts). */
  digest: string;
  manifest: Manifest;
  /** Absolute path of the package. */
  path: string;
  /**
   * Milliseconds since 1970. Serves no new connections; those it has are closed then, each at a
   * message boundary.
   */
  drainUntil?: number;
}

/** A version that is tried beside the one that serves. */
export interface Trial {
  /** Unique over the agent's life. */
  id: string;
  /**
   * `shadow`: sees the bytes of connections that the active version serves, after the verdict.
   * `canary`: serves a share of new connections itself, shadowed by the active version.
   */
  kind: "shadow" | "canary";
  digest: string;
  /** Of new connections, in thousandths, 0..1000. */
  share: number;
  /** Rule sets it applies to; empty: all of the service. */
  ruleSets: number[];
  /** What ends the trial in a worker at once, without asking: whichever comes first. */
  stopOn: {
    faults: number;
    differences: number;
    /** Fuel of the tried version over that of the active one on the same bytes; 0: not judged. */
    fuelRatio: number;
    /** Mean microseconds of a call of the tried version; 0: not judged. */
    callMicros: number;
  };
}

/** Which version serves a reference. */
export interface Service {
  /** `NAME` or `NAME@VERSION`; unique in a state. */
  plugin: string;
  /** Digest; null: there is none, and connections meet the failure policy. */
  active: string | null;
  trial?: Trial;
}

/** Connections whose bytes the workers keep, to tell of those that end badly (records.ts, case). */
export interface Recording {
  /** A connection with one of them is recorded. */
  ruleSets: number[];
  /** Milliseconds since 1970. */
  until: number;
  /** Of each direction of a connection; 1..RECORDED_BYTES_MAX. */
  bytesMax: number;
}

/** A case of that many bytes a direction still fits into one frame of the record stream. */
export const RECORDED_BYTES_MAX = 65_536;

/** Whole desired state, sent on connect and on every change; the proxy works out the difference. */
export interface ProxyState {
  /** Rises with every change. */
  revision: number;
  plugins: PluginVersion[];
  services: Service[];
  ruleSets: RuleSet[];
  /** Absent: nothing is recorded. */
  recordings?: Recording[];
}

export type ControlRequest =
  | { seq: number; kind: "hello"; protocol: number }
  /**
   * Answered when every worker has the state; rule sets no longer named are dropped once unused.
   */
  | { seq: number; kind: "state"; state: ProxyState }
  /**
   * Live connections of these endpoints look their verdict up again in the policy map. Those of
   * `relabelled` addresses end: identities chose their rules and their sandbox.
   */
  | { seq: number; kind: "reevaluate"; endpoints: number[]; relabelled?: string[] | undefined }
  | { seq: number; kind: "status" }
  | { seq: number; kind: "instances" }
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

/** A version in this proxy, summed over its workers. */
export interface VersionStatus {
  digest: string;
  /**
   * Why it cannot serve, and at which stage that showed. A state with such a version is confirmed
   * all the same: its connections meet their failure policy.
   */
  unavailable?: { stage: "read" | "verify" | "compile" | "start"; message: string };
  /** Served by it, not those it only shadows. */
  connections: number;
  instances: number;
  memoryBytes: number;
  calls: number;
  bytes: number;
  fuel: number;
  faults: number;
}

/** Where tried and active version went apart; only the first of a connection is reported. */
export interface TrialDifference {
  /** Milliseconds since 1970. */
  time: number;
  connection: number;
  ruleSets: number[];
  direction: "request" | "response";
  /** Bytes from the direction's start. */
  offset: number;
  /** What went apart: an operation's kind or length, injected bytes, a verdict, a field. */
  what: "operation" | "length" | "bytes" | "verdict" | "record" | "close";
  active: string;
  tried: string;
}

export interface TrialStatus {
  id: string;
  /** Set once a worker has ended the trial for itself. */
  stopped?: "faults" | "differences" | "fuel" | "latency";
  connections: number;
  /** Calls whose outcome was compared. */
  compared: number;
  /** Connections or bytes that were not compared (load, bytes moved unseen), and why. */
  skipped: Record<string, number>;
  differences: number;
  faults: number;
  /** Of both on the same bytes. */
  fuelActive: number;
  fuelTried: number;
  /** Mean of the tried version's calls, microseconds. */
  callMicros: number;
  /** The first few. */
  samples: TrialDifference[];
  /** Message of the last fault, or empty. */
  lastFault: string;
}

/** One sandbox of a worker. */
export interface InstanceStatus {
  worker: number;
  digest: string;
  /** Worker's key of the tenant: identities of both ends, with a bucket where one is many. */
  tenant: string;
  connections: number;
  memoryBytes: number;
  fuel: number;
  calls: number;
  /** Milliseconds. */
  ageMs: number;
  idleMs: number;
}

export interface ProxyStatus extends ProxyHello {
  connections: number;
  instances: number;
  /** Bytes resident. */
  rss: number;
  counters: Record<string, number>;
  versions: VersionStatus[];
  trials: TrialStatus[];
}

export type ControlReply =
  | {
      seq: number;
      ok: true;
      hello?: ProxyHello;
      status?: ProxyStatus;
      instances?: InstanceStatus[];
    }
  | { seq: number; ok: false; error: string };
