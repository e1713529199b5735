/** What the plugin and key resources of the admin API ask of the agent (host/plugin/backend.ts). */
import type { Case } from "../../runtime/contract/case.ts";
import type { CaseView, RecordingRequest, RecordingView } from "./case-schema.ts";
import type {
  ActivationRequest,
  ActivationView,
  GrantedCapability,
  InstanceView,
  KeyRequest,
  KeyView,
  LogLineView,
  PluginView,
  PromoteRequest,
  TrialRequest,
  TrialView,
  VersionView,
} from "./plugin-schema.ts";

/** Throws errors that carry an HTTP `status` for what the client or the state of things caused. */
export interface PluginBackend {
  list(): PluginView[];
  get(name: string): PluginView;
  install(
    file: Uint8Array,
    granted: GrantedCapability[] | undefined,
  ): { view: VersionView; created: boolean };
  version(name: string, version: string): VersionView;
  package(name: string, version: string): Uint8Array;
  remove(name: string, version: string): Promise<VersionView>;
  activation(name: string): ActivationView;
  /** These settle when it is in force on every worker. */
  activate(name: string, request: ActivationRequest): Promise<ActivationView>;
  rollBack(name: string, drainSeconds: number): Promise<ActivationView>;
  trials(name: string): TrialView[];
  trial(name: string, id: string): Promise<TrialView>;
  startTrial(name: string, request: TrialRequest): Promise<TrialView>;
  promote(name: string, id: string, request: PromoteRequest): Promise<TrialView>;
  abort(name: string, id: string): Promise<TrialView>;
  instances(): Promise<InstanceView[]>;
  /** The last `last` lines, and with `follow` what comes until `signal`. */
  logs(
    name: string,
    query: { last: number; follow: boolean },
    signal: AbortSignal,
  ): AsyncIterable<LogLineView>;
  recordings: {
    list(name: string): RecordingView[];
    /** These settle when it is in force on every worker. */
    start(name: string, request: RecordingRequest): Promise<RecordingView>;
    stop(name: string): Promise<RecordingView[]>;
  };
  /** By id, or by the uuid of the flow that shows it. */
  cases: {
    list(): CaseView[];
    get(reference: string): Case;
    remove(reference: string): CaseView;
  };
  keys: {
    list(): KeyView[];
    trust(request: KeyRequest): { view: KeyView; created: boolean };
    revoke(name: string): KeyView;
    remove(name: string): KeyView;
  };
  /** Prometheus text format, version 0.0.4. */
  metrics(): Promise<string>;
}
