/**
 * What a row of the L7 table is: something that can be started between client and server, on a
 * core and in a cgroup of its own, and that says afterwards whether it did the whole of its work.
 */
import type { LoadReport } from "../load.ts";
import type { Placement } from "../process.ts";
import type { Topology } from "../topology.ts";

/** Where the tree and its built parts are, and how to say what is going on. */
export interface BenchPaths {
  root: string;
  /** `.build/bench`: binaries, the Envoy venv. */
  build: string;
  progress(line: string): void;
}

export interface ProxySetting {
  paths: BenchPaths;
  topology: Topology;
  /** Core, namespace and cgroup of the proxy. */
  placement: Placement;
  /** For what belongs to the load, not to the proxy: the core that client and server share. */
  loadCpu: number;
  /** Empty folder for configuration, sockets and logs; removed with the run. */
  folder: string;
  /** ADDRESS:PORT of the server. */
  upstream: string;
  /** Of the server's response, for a row that brings its own server. */
  bodyBytes: number;
}

export interface RunningProxy {
  /** ADDRESS:PORT the client connects to. */
  target: string;
  /** Namespace the client runs in, when it is not that of the topology. */
  client?: string;
  /** Rejects when the proxy's own account of the run differs from the client's. */
  verify?(requests: { allowed: number; denied: number; report: LoadReport }): Promise<void>;
  /** Lines about the run that belong under the table (memory, records per request). */
  notes?(): Promise<string[]>;
  stop(): Promise<void>;
}

export interface ProxyRow {
  name: string;
  /** False for the relay, which forwards everything. */
  enforces: boolean;
  /** Builds and installs what the row needs, or says what is missing. */
  prepare(paths: BenchPaths): Promise<void>;
  start(setting: ProxySetting): Promise<RunningProxy>;
}
