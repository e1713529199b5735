/** What the admin API asks of the agent, and the shapes it answers with. */
import type { ProxyHello, ProxyStatus } from "../../runtime/contract/control.ts";
import type { CtStatus } from "../agent/ct-collector.ts";
import type { CtRow, Feature, PolicyMapEntry, PolicyQuestion, Tuple } from "../datapath/types.ts";
import type { Endpoint, EndpointSpec } from "../endpoint/types.ts";
import type { CutConnection } from "../enforce/lockout-guard.ts";
import type { ApplyOptions, ChangeOptions } from "../enforce/policies.ts";
import type { IdentityKind } from "../identity/ranges.ts";
import type { PrefilterChange, PrefilterStatus } from "../prefilter/prefilter.ts";
import type { ExplainBackend } from "./explain-types.ts";

export interface PolicyFile {
  /** Shown in errors; a path or `-`. */
  file: string;
  text: string;
}

export interface PolicyFileError {
  file: string;
  /** Counts from 0. */
  document: number;
  /** Such as `spec.ingress[0].toPorts[0].ports[0].port`; empty for the whole document. */
  path: string;
  message: string;
  expected: string;
  line?: number | undefined;
  column?: number | undefined;
}

export interface AppliedPolicy {
  kind: string;
  namespace: string;
  name: string;
  revision: number;
}

export interface ApplyResult {
  applied: AppliedPolicy[];
  errors: PolicyFileError[];
  /** Accepted, but not in force as written: a plugin that is not installed. */
  warnings: PolicyFileError[];
  /** Open connections into the node that it would cut; not applied then. */
  cuts?: CutConnection[];
  /** When it is undone unless it is confirmed, RFC 3339. */
  confirmBy?: string;
}

export interface PolicyView extends AppliedPolicy {
  /** `api`, or the file it came from. */
  source: string;
  /** The object as it was given. */
  object: unknown;
  /** What keeps it from being in force as written; empty when all is well. */
  conditions: { type: string; plugin?: string; message: string }[];
}

export interface IdentityView {
  id: number;
  kind: IdentityKind;
  labels: string[];
  /** Local endpoints that have it. */
  endpoints: number;
}

export interface AgentStatus {
  agent: {
    version: string;
    pid: number;
    /** RFC 3339. */
    startedAt: string;
    node: string;
    policyRevision: number;
    /** Revision in force in kernel and proxy. */
    enforcedRevision: number;
    endpoints: number;
    policies: number;
    /** Bytes resident. */
    /** Endpoints whose policies do not fit into their maps. */
    policyOverflows: number;
    rss: number;
  };
  /** `startedAt` is RFC 3339. */
  proxy: (Omit<ProxyStatus, "startedAt"> & { startedAt: string }) | undefined;
  features: Feature[];
  conntrack: CtStatus;
  /** What does not work as it should, in words; empty when all is well. */
  degraded: string[];
}

export interface PrefilterBackend {
  status(): PrefilterStatus;
  add(prefixes: readonly string[]): Promise<PrefilterChange>;
  delete(prefixes: readonly string[]): Promise<PrefilterChange>;
  /** Replaces the list by a text of one prefix a line. */
  load(text: string): Promise<PrefilterChange>;
  /** The list as such a text. */
  text(): Promise<string>;
}

/** What of an endpoint can be changed while it lives. */
export interface EndpointOptions {
  policyAuditMode: boolean;
}

export interface AdminBackend {
  status(): Promise<AgentStatus>;
  endpoints: {
    list(): Endpoint[];
    get(reference: string): Endpoint;
    create(spec: EndpointSpec): Promise<Endpoint>;
    /** Undefined removes a label. Settles when the identity that follows is in force. */
    relabel(
      reference: string,
      changes: Readonly<Record<string, string | undefined>>,
    ): Promise<Endpoint>;
    delete(reference: string): Promise<Endpoint>;
    configure(reference: string, options: EndpointOptions): Endpoint;
  };
  policies: {
    list(): Promise<PolicyView[]>;
    /** `forApply`: what is not enforced is an error, otherwise a warning. */
    validate(files: PolicyFile[], forApply: boolean): ApplyResult;
    /** Settles when kernel and proxy enforce it (`wait`) or when it is accepted. */
    apply(files: PolicyFile[], options: ApplyOptions): Promise<ApplyResult>;
    confirm(): Promise<AppliedPolicy[]>;
    delete(
      kind: string,
      namespace: string,
      name: string,
      options: ChangeOptions,
    ): Promise<AppliedPolicy>;
  };
  explain: ExplainBackend;
  identities(): IdentityView[];
  /** GetFlowsResponse protojson, one a line. `query` is `last`, `follow`, `since`, `until`. */
  flows(query: FlowQuery, signal: AbortSignal): AsyncIterable<string>;
  kernel: {
    policy(endpoint: number): (PolicyMapEntry & { allowedBy: string[] })[];
    ct(): CtRow[];
    ipcache(): { prefix: string; identity: number }[];
    lookupPolicy(
      endpoint: number,
      question: PolicyQuestion,
    ): (PolicyMapEntry & { allowedBy: string[] }) | undefined;
    lookupCt(tuple: Tuple): CtRow | undefined;
    lookupIpcache(address: string): number | undefined;
    /** Deletes what has expired. */
    collectCt(): Promise<CtStatus>;
  };
  prefilter: PrefilterBackend;
  upgradeProxy(drainSeconds: number): Promise<ProxyHello>;
  /** Stops the agent, as SIGTERM does; with `proxy` it stops the proxy too (uninstall). */
  stop(withProxy: boolean): void;
}

export interface FlowQuery {
  last: number | undefined;
  follow: boolean;
  /** RFC 3339, or undefined. */
  since: string | undefined;
  until: string | undefined;
}
