/**
 * The one form all policy languages are translated into, and that the resolver understands:
 * a subject, what default deny it asks for, and items that allow or deny peers on ports.
 */
import type { Selector } from "./selector.ts";
import type { L7Rules, PolicyOrigin } from "./types.ts";

export const PROTOCOL = { any: 0, icmp: 1, tcp: 6, udp: 17, icmpv6: 58, sctp: 132 } as const;

export type Direction = "ingress" | "egress";
export const DIRECTIONS = ["ingress", "egress"] as const satisfies readonly Direction[];

/** Ports of one protocol. Host order, inclusive; 0 to 65535 is all of them. */
export interface PortRange {
  kind: "range";
  protocol: number;
  first: number;
  last: number;
}

/** A container port by its name (lower case): of the subject on ingress, of the peer on egress. */
export interface NamedPort {
  kind: "name";
  protocol: number;
  name: string;
}

export type PortMatch = PortRange | NamedPort;

export interface RuleL7 {
  rules: L7Rules;
  /** 1-126, lower wins: which redirect decides where several meet. */
  priority: number;
}

/** Ports that share their L7 rules. */
export interface RulePorts {
  matches: readonly PortMatch[];
  l7?: RuleL7;
}

/**
 * In the order in which they decide. Policies that are not in a tier by their own word are
 * `normal`; what no tier decides is left to the default.
 */
export const TIERS = ["admin", "normal", "baseline"] as const;
export type Tier = (typeof TIERS)[number];

/**
 * `pass` leaves what it matches to the next tier. `watch` allows and denies nothing: what is
 * allowed anyway is handed over with these L7 rules.
 */
export type RuleVerdict = "allow" | "deny" | "pass" | "watch";

export interface RuleItem {
  direction: Direction;
  verdict: RuleVerdict;
  /** Among items of one tier the lowest decides; equal ones together. 0 if absent. */
  priority?: number;
  /** ORed; empty selects nobody. */
  peers: readonly Selector[];
  /** ORed; undefined is every protocol and port. */
  ports: readonly RulePorts[] | undefined;
}

export interface Rule {
  origin: PolicyOrigin;
  /** `normal` if absent. */
  tier?: Tier;
  /** What `subject` selects among: pods, or (`node`) the node itself. Pods if absent. */
  scope?: "endpoint" | "node";
  subject: Selector;
  /** Name of the one endpoint it is for, among those that `subject` selects. */
  endpoint?: string;
  defaultDeny: Readonly<Record<Direction, boolean>>;
  /** Where it turns default deny on, rules with `unlessIsolated` do not count. */
  isolates?: true;
  unlessIsolated?: true;
  items: readonly RuleItem[];
}
