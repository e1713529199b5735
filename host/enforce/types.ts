/** What enforcing needs of its neighbours, declared narrowly, and what it reports. */
import type { ProxyState } from "../../runtime/contract/control.ts";
import type { PolicyChange, PolicyRows, RowPacker } from "../datapath/policy-rows.ts";
import type { FilledPolicy, PolicyPlacement } from "../datapath/policy-writer.ts";
import type { PolicyOrigin, PolicySubject } from "../policy/types.ts";

/** The proxy as the enforcer sees it; host/proxy/supervisor.ts. */
export interface ProxySide {
  setState(state: ProxyState): Promise<void>;
  reevaluate(endpoints: number[]): Promise<void>;
}

/** The kernel as the enforcer sees it; host/datapath. */
export interface KernelSide {
  fillPolicy(rows: PolicyRows): Promise<FilledPolicy>;
  placePolicies(placements: readonly PolicyPlacement[]): Promise<void>;
  changePolicy(endpoint: number, change: PolicyChange): Promise<void>;
  removePolicy(endpoint: number): void;
  bumpEpoch(): void;
}

/** Prefixes that policies name; host/ipcache. */
export interface PrefixSide {
  upsert(source: "generated", prefix: string, identity: number): unknown;
  delete(source: "generated", prefix: string): unknown;
}

/** What a policy map is to hold (map-content.ts); endpoints of one policy share it. */
export interface PolicyContent {
  /** Rows. */
  readonly count: number;
  /** Where its versions are from: those of another are not to be compared with them. */
  readonly lineage: object;
  /** Equal only for equal rows, also of other contents of the lineage. */
  readonly version: number;
  /** All rows, into a buffer for as many as a map holds; valid until it is used again. */
  pack(buffer: RowPacker): PolicyRows;
  /** From the rows of a version to these; undefined: only the whole will do. */
  changeFrom(version: number): PolicyChange | undefined;
  /** Everybody who has rows of this content has these now. */
  settle(): void;
}

/** One endpoint's policy map, ready to be written. */
export interface EndpointPlan {
  endpoint: number;
  content: PolicyContent;
  /** Rule sets that its entries name. */
  ruleSets: ReadonlySet<number>;
}

/** Everything one revision puts in force; computing it changes nothing. */
export interface Plan {
  endpoints: readonly EndpointPlan[];
  /** Without any policy, so they have no map: the node when no rule is for it. */
  unpoliced?: readonly number[];
  /** All that entries name. */
  ruleSets: ReadonlySet<number>;
  /** Prefixes with the identity that stands for each. An equal map is mostly the same object. */
  prefixes: ReadonlyMap<string, number>;
}

/** An endpoint whose policy has more entries than a map holds. */
export interface Overflow {
  endpoint: number;
  entries: number;
  entriesMax: number;
  /** Its map is empty, so everything of it is dropped; else it keeps the last one it had. */
  isLockedDown: boolean;
}

export interface Enforcement {
  /** Revision of the policies in force on this node. */
  revision: number;
  /** Set when a newer revision could not be put in force; what is in force stayed. */
  trouble?: string;
}

/** A rule set or verdict cookie, back to the policies behind it. */
export interface OriginLookup {
  originsOf(cookie: number): readonly PolicyOrigin[];
}

/** How the policy service names an endpoint to people. */
export function subjectName({ scope, namespace, name, endpoint }: PolicySubject): string {
  if (scope === "node") return "the node";
  return name === undefined ? `endpoint ${endpoint}` : `endpoint ${namespace}/${name}`;
}
