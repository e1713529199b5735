/**
 * What the proxy's main thread and a worker thread say to each other over a MessagePort. Requests
 * have a `seq` and get exactly one answer; notices have none.
 */

import type { InstanceStatus } from "../contract/control.ts";
import type { Engine } from "../engine/index.ts";
import type { StateChange } from "./rule-store.ts";
import type { TrialShare } from "./trial.ts";
import type { VersionShare } from "./version-tally.ts";

/** One address pair of the static kind: no datapath, identities and rule sets are given. */
export interface StaticListener {
  host: string;
  port: number;
  upstreamHost: string;
  upstreamPort: number;
  sourceIdentity: number;
  destinationIdentity: number;
  /** Rule set ids; 0 for none. */
  egressRules: number;
  ingressRules: number;
}

/** What a worker thread is started with. */
export interface WorkerConfig {
  worker: number;
  runDir: string;
  /** Folder of pinned maps; undefined: no datapath, static listeners only. */
  bpffs: string | undefined;
  listeners: StaticListener[];
  connectionsMax: number;
  instancesMax: number;
  memoryBytesMax: number;
}

export type WorkerRequest =
  | { kind: "state"; change: StateChange }
  /** Opens the listeners and, with a datapath, puts them into its socket map. */
  | { kind: "listen" }
  | { kind: "reevaluate"; endpoints: number[]; relabelled: string[] }
  | { kind: "status" }
  | { kind: "instances" }
  /** Stops accepting; an `idle` notice follows when no connection is left. */
  | { kind: "drain" }
  /** Resets what is left and ends the thread. */
  | { kind: "stop" };

export interface WorkerStatus {
  connections: number;
  instances: number;
  counters: Record<string, number>;
  versions: VersionShare[];
  trials: TrialShare[];
}

export type WorkerReply =
  | {
      kind: "done";
      seq: number;
      status?: WorkerStatus;
      instances?: InstanceStatus[];
      ports?: number[];
    }
  | { kind: "failed"; seq: number; message: string };

export type WorkerNotice =
  /** First of all: the worker is in its loop and wakes when this descriptor is written to. */
  | { kind: "started"; wakeFd: number }
  | { kind: "idle" }
  | { kind: "log"; level: "debug" | "info" | "warn" | "error"; message: string; plugin?: string };

export type NumberedRequest = WorkerRequest & { seq: number };
export type WorkerMessage = WorkerReply | WorkerNotice;

/** Opens the worker's listeners; returns the ports of the static ones. */
export type OpenListeners = (engine: Engine) => number[];
