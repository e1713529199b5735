/**
 * What an explanation says, in plain values: the admin API sends them as they are, and the command
 * line prints them. Texts are for people; everything a program compares has a field of its own.
 */
import type { Direction, RuleVerdict, Tier } from "../rule.ts";
import type { Identity, PolicySubject } from "../types.ts";

/** A port of one protocol, as a packet carries it. */
export interface TracedPort {
  /** IPPROTO_* */
  protocol: number;
  /** Host order; ICMP: type << 8. */
  port: number;
  /** Such as `80/TCP`. */
  text: string;
}

/** One end of a traced connection, with all that policies may ask of it. */
export interface TraceEnd {
  /** As the answer names it. */
  name: string;
  /** `pod` and `node` have policies of their own, what is `outside` has none. */
  kind: "pod" | "node" | "outside";
  /** Of an endpoint of this node. */
  endpoint?: number;
  identity: Identity;
  /** No such identity is known: its number stands for nothing outside this explanation. */
  isHypothetical: boolean;
  namespace: string;
  pod?: string;
  namedPorts: PolicySubject["namedPorts"];
  /** What its L3/L4 policy denies passes all the same, and is told. False if absent. */
  isAudited?: boolean;
}

export interface EndView {
  name: string;
  kind: TraceEnd["kind"];
  endpoint?: number;
  /** Absent: nothing has these labels now. */
  identity?: number;
  labels: string[];
}

export interface L7View {
  plugin: string;
  version?: string;
  mode: string;
  failure: string;
  /** One is enough; `*` lets everything through. */
  rules: string[];
}

/** One allow, deny or pass of a policy. */
export interface ItemView {
  verdict: RuleVerdict;
  tier: Tier;
  priority: number;
  peers: string[];
  /** Empty: every protocol and port. */
  ports: string[];
  matchesPeer: boolean;
  matchesPort: boolean;
  /** Its verdict is the one that counts, alone or with others. */
  decides: boolean;
  l7?: L7View;
}

/** What one rule of a policy that selects the subject says about a direction. */
export interface RuleView {
  policy: string;
  /** It turns default deny on. */
  closes: boolean;
  items: ItemView[];
}

/** What happened at one level, in the order in which they decide. */
export interface StepView {
  tier: Tier | "default";
  priority: number;
  verdict: "allow" | "deny" | "pass";
  policies: string[];
}

export interface MapEntryView {
  /** 0 any peer. Absent: that of the peer, which has no number yet. */
  identity?: number;
  protocol: number;
  port: number;
  portPrefix: number;
  precedence: number;
  action: "allow" | "deny" | "redirect" | "default-deny";
  /** Those that flows name; an entry may also stand for others that say the same. */
  policies: string[];
}

/**
 * `drop` is default deny (133), `deny` an explicit one (181), `no-plugin` an allow whose L7 rules
 * nobody can serve (222). `error`: the policies contradict each other, so the subject keeps the
 * policy it had.
 */
export type DirectionVerdict = "allow" | "redirect" | "deny" | "drop" | "no-plugin" | "error";

export interface DirectionView {
  direction: Direction;
  /** Whose policies decide. */
  subject: string;
  verdict: DirectionVerdict;
  /** Why, in one sentence. */
  reason: string;
  /** What no rule allows is denied. */
  isEnforced: boolean;
  /** It is denied, but audit mode lets it pass. Absent is no. */
  isAudited?: true;
  rules: RuleView[];
  /** Policies that are for pods no NetworkPolicy isolates; absent: none. */
  setAside?: string[];
  steps: StepView[];
  /** Policies behind the verdict. */
  decidedBy: string[];
  /** As policy verdict events name it. */
  match: string;
  l7?: L7View;
  /** The row of the policy map that a packet finds; absent: none. */
  entry?: MapEntryView;
  /** What the kernel's map has for such a packet; absent where it was not asked. */
  installed?: { entry?: MapEntryView };
  /** The kernel decides otherwise, or the parts of this explanation do not agree: a fault. */
  fault?: string;
}

export interface PortView {
  port: string;
  verdict: "allowed" | "denied" | "error";
  egress: DirectionView;
  ingress: DirectionView;
}

export interface TraceView {
  source: EndView;
  destination: EndView;
  ports: PortView[];
  /** Of all ports together: denied if one is. */
  verdict: PortView["verdict"];
}
