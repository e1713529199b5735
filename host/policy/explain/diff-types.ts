/** What a change of policies would allow or deny that is not so now, in plain values. */
import type { Direction } from "../rule.ts";
import type { L7View } from "./types.ts";

/** What one side of a comparison says. */
export interface Effect {
  verdict: "allow" | "redirect" | "deny" | "drop";
  policies: string[];
  l7?: L7View;
}

/** `l7`: it is handed over with other rules, or now and not before; requests may fare otherwise. */
export type ChangeKind = "allowed" | "denied" | "l7";

/** Some peers on some ports, for whom the verdict differs. */
export interface ChangedAccess {
  change: ChangeKind;
  direction: Direction;
  /** Peers that fare alike; the first of them, each by its labels. */
  peers: string[];
  /** How many they are. */
  peersCount: number;
  /** Such as `80/TCP` or `8000-8999/TCP`. */
  ports: string[];
  before: Effect;
  after: Effect;
}

export interface EndpointDiff {
  endpoint: number;
  name: string;
  /** Entries of its policy map; absent: its policies contradict each other. */
  entriesBefore?: number;
  entriesAfter?: number;
  /** The direction is closed to what no rule allows. */
  isEnforcedBefore: Record<Direction, boolean>;
  isEnforcedAfter: Record<Direction, boolean>;
  changes: ChangedAccess[];
  /** Left out of `changes`, over the limit. */
  changesLeftOut: number;
  /** Why the new policies would not be in force for it: a contradiction, or too many entries. */
  trouble?: string;
}

/** Connections that were seen, and would fare otherwise. */
export interface FlowChange {
  change: ChangeKind;
  direction: Direction;
  source: string;
  destination: string;
  port: string;
  /** Flows of the ring. */
  count: number;
  /** RFC 3339, of the newest. */
  lastSeen: string;
  before: Effect;
  after: Effect;
}

export interface DiffView {
  /** Most frequent first. */
  flows: FlowChange[];
  /** How many flows were looked at. */
  flowsSeen: number;
  /** Those for which something changes. */
  endpoints: EndpointDiff[];
  /** How many there are. */
  endpointsCount: number;
  isDifferent: boolean;
}
