/** What is asked to be explained: a connection, or what a change of policies would come to. */
import type { DiffView } from "../policy/explain/diff-types.ts";
import type { EndpointPolicyView } from "../policy/explain/endpoint-policy.ts";
import type { TraceView } from "../policy/explain/types.ts";
import type { PolicyFile, PolicyFileError } from "./types.ts";

export interface PolicyKey {
  kind: string;
  /** Empty for a policy without one. */
  namespace: string;
  name: string;
}

export interface PolicyChange {
  files: PolicyFile[];
  deletes: PolicyKey[];
}

export interface TraceRequest extends PolicyChange {
  /** Ends as host/policy/explain/end.ts reads them. */
  source: string;
  destination: string;
  /** As host/policy/explain/port.ts reads them. */
  ports: string[];
}

/** With an error there is no answer: half of a change explains nothing. */
export type Explained<T> =
  | { errors: []; warnings: PolicyFileError[]; view: T }
  | { errors: PolicyFileError[]; warnings: PolicyFileError[]; view?: undefined };

/** Of an endpoint: what policies want for it and what it has. */
export interface EndpointPolicy extends EndpointPolicyView {
  /** Of the policies; the endpoint's own is in its view. */
  revision: number;
  entriesInstalled: number;
}

/** Of the admin backend. */
export interface ExplainBackend {
  trace(request: TraceRequest): Explained<TraceView>;
  diff(change: PolicyChange): Promise<Explained<DiffView>>;
  /** Throws EndpointError when there is no such endpoint. */
  endpoint(reference: string): EndpointPolicy;
}
