/** What enforcing needs of its neighbours, declared narrowly, and what it reports. */
import type { ProxyState } from "../../runtime/contract/control.ts";
import type { PolicyMapEntry } from "../datapath/types.ts";
import type { PolicyOrigin } from "../policy/types.ts";

/** The proxy as the enforcer sees it; host/proxy/supervisor.ts. */
export interface ProxySide {
  setState(state: ProxyState): Promise<void>;
  reevaluate(endpoints: number[]): Promise<void>;
}

/** The kernel as the enforcer sees it; host/datapath. */
export interface KernelSide {
  setPolicy(endpoint: number, entries: readonly PolicyMapEntry[]): void;
  bumpEpoch(): void;
}

/** Prefixes that policies name; host/ipcache. */
export interface PrefixSide {
  upsert(source: "generated", prefix: string, identity: number): unknown;
  delete(source: "generated", prefix: string): unknown;
}

/** One endpoint's policy map, ready to be written. */
export interface EndpointPlan {
  endpoint: number;
  entries: PolicyMapEntry[];
  /** Equal text, equal map. */
  fingerprint: string;
}

/** Everything one revision puts in force; computing it changes nothing. */
export interface Plan {
  endpoints: EndpointPlan[];
  ruleSets: ReadonlySet<number>;
  /** CIDR prefixes that stand for an identity of their own. */
  prefixes: ReadonlyMap<string, number>;
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
