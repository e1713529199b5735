/**
 * Why one direction of one subject lets a packet through or not. It goes through the rules one by
 * one, as a person would; the row of the policy map comes from the resolver and the kernel's
 * look-up. Both must come to the same, and a test holds them against each other; where they do not,
 * the explanation says so.
 */
import { countingRules } from "../isolation.ts";
import {
  createLookup,
  favourHost,
  type HostAccess,
  isFromHost,
  type PolicyDecision,
} from "../lookup.ts";
import { CLASS, classOf, levelOf } from "../resolve/level.ts";
import { PolicyConflictError, resolvePolicy } from "../resolver.ts";
import type { Direction, PortMatch, Rule, RuleItem } from "../rule.ts";
import { selectsSubject } from "../rule-index.ts";
import { selects, toCandidate } from "../selector.ts";
import type { EnforcementMode } from "../subject-policy.ts";
import type { PolicySubject, ResolvedEntry } from "../types.ts";
import { l7View, policyNames, portText, ruleL7View, selectorText } from "./text.ts";
import type {
  DirectionView,
  ItemView,
  MapEntryView,
  RuleView,
  StepView,
  TracedPort,
  TraceEnd,
} from "./types.ts";

export interface DirectionInput {
  direction: Direction;
  /** Whose policies decide. */
  subject: TraceEnd;
  peer: TraceEnd;
  port: TracedPort;
  rules: readonly Rule[];
  mode: EnforcementMode;
  hostAccess: HostAccess;
}

/** An item of a rule that selects the subject, held against the packet. */
interface Item {
  rule: Rule;
  item: RuleItem;
  level: number;
  matchesPeer: boolean;
  matchesPort: boolean;
}

export function subjectOf(end: TraceEnd): PolicySubject {
  const { endpoint = 0, kind, identity, namespace, pod, namedPorts } = end;
  const scope = kind === "node" ? "node" : "endpoint";
  return { endpoint, scope, identity, namespace, namedPorts, ...(pod ? { name: pod } : {}) };
}

export function explainDirection(input: DirectionInput): DirectionView {
  const { direction, subject, peer, mode, hostAccess } = input;
  const base = { direction, subject: subject.name, rules: [], steps: [], decidedBy: [] };
  if (subject.kind === "outside") {
    const reason = "policies are for pods and nodes: nothing is enforced here for what is outside";
    return { ...base, verdict: "allow", reason, isEnforced: false, match: "none" };
  }
  const resolved = resolve(input);
  const selecting = selectingRules(input);
  const counting = countingRules(selecting, direction);
  const items = counting.flatMap((rule) => itemsOf(rule, input));
  if (resolved instanceof PolicyConflictError) {
    const rules = ruleViews(counting, items, direction, () => false);
    return {
      ...{ ...base, rules, verdict: "error", reason: resolved.message, match: "none" },
      ...{ decidedBy: policyNames(resolved.policies), isEnforced: true },
    };
  }
  const { decision, isEnforced } = resolved;
  const isHost = isFromHost({ direction, identity: peer.identity.id });
  const isClosed = isEnforced && !(isHost && hostAccess === "always");
  const steps = stepsOf(mode === "never" ? items.filter(isWatch) : items, isClosed);
  const last = steps.at(-1);
  const deciding = (one: Item): boolean =>
    matches(one) && one.item.verdict === last?.verdict && one.level === last.level;
  const view: DirectionView = {
    ...base,
    verdict: decision.verdict,
    reason: reasonOf(input, selecting, resolved, last),
    isEnforced,
    ...(subject.isAudited && !isAllowed(decision) ? { isAudited: true } : {}),
    rules: ruleViews(counting, items, direction, deciding),
    ...setAside(selecting, counting),
    steps: steps.map(({ level: _, ...step }) => step),
    decidedBy: last?.policies ?? [],
    match: decision.match,
    ...(decision.entry?.l7 ? { l7: l7View(decision.entry.l7) } : {}),
    ...(resolved.entry ? { entry: entryView(resolved.entry, input.peer.isHypothetical) } : {}),
  };
  const isWithoutProxy = decision.verdict === "drop" && decision.entry !== undefined;
  const agrees = (isAllowed(decision) || isWithoutProxy) === (last?.verdict === "allow");
  return agrees ? view : { ...view, fault: "its rules and its policy map do not agree" };
}

function isAllowed({ verdict }: PolicyDecision): boolean {
  return verdict === "allow" || verdict === "redirect";
}

interface Resolved {
  decision: PolicyDecision;
  /** The row of the map that decides; the decision's own says less for a favoured peer. */
  entry: ResolvedEntry | undefined;
  /** The peer is the node, and gets more than the rules give anybody else. */
  isFavoured: boolean;
  isEnforced: boolean;
}

/** What the kernel is told, and what it then says about the packet. */
function resolve(input: DirectionInput): Resolved | PolicyConflictError {
  const { direction, peer, port, rules, mode, hostAccess } = input;
  const subject = subjectOf(input.subject);
  const options = { namedPortsOf: () => peer.namedPorts, enforcement: mode };
  try {
    const policy = resolvePolicy(rules, [peer.identity], subject, options);
    const lookup = createLookup(policy.entries);
    const identity = peer.identity.id;
    const packet = { direction, identity, protocol: port.protocol, port: port.port };
    const found = lookup(packet);
    const decision = favourHost(packet, found, hostAccess);
    const isEnforced = direction === "ingress" ? policy.ingressEnforced : policy.egressEnforced;
    return {
      decision,
      entry: found.entry,
      isEnforced,
      isFavoured: decision !== found && isAllowed(decision),
    };
  } catch (error) {
    if (error instanceof PolicyConflictError) return error;
    throw error;
  }
}

function selectingRules({ rules, subject }: DirectionInput): Rule[] {
  const candidate = toCandidate(subject.identity);
  const wanted = subjectOf(subject);
  return rules.filter((rule) => selectsSubject(rule, wanted, candidate));
}

function itemsOf(rule: Rule, { direction, subject, peer, port }: DirectionInput): Item[] {
  const candidate = toCandidate(peer.identity);
  // A name means a port of the side that is connected to.
  const named = direction === "ingress" ? subject.namedPorts : peer.namedPorts;
  return rule.items
    .filter((item) => item.direction === direction)
    .map((item) => ({
      rule,
      item,
      level: levelOf(rule.tier ?? "normal", item.priority ?? 0),
      matchesPeer: item.peers.some((selector) => selects(selector, candidate)),
      matchesPort:
        item.ports === undefined ||
        item.ports.some((one) => one.matches.some((match) => covers(match, port, named))),
    }));
}

function covers(
  match: PortMatch,
  { protocol, port }: TracedPort,
  named: PolicySubject["namedPorts"],
): boolean {
  if (match.kind === "name") {
    return (
      match.protocol === protocol &&
      named.some(
        (one) =>
          one.name.toLowerCase() === match.name &&
          one.protocol === protocol &&
          one.port === port &&
          port !== 0,
      )
    );
  }
  if (match.protocol === 0) return true;
  return match.protocol === protocol && match.first <= port && port <= match.last;
}

function matches({ matchesPeer, matchesPort }: Item): boolean {
  return matchesPeer && matchesPort;
}

function isWatch({ item }: Item): boolean {
  return item.verdict === "watch";
}

interface Step extends StepView {
  level: number;
}

const DEFAULT_STEP_LEVEL = -1;
/** In a sentence; the others are counted. */
const NAMES_MAX = 6;

/** Level by level until one allows or denies; a pass goes on behind its tier. */
function stepsOf(items: readonly Item[], isEnforced: boolean): Step[] {
  const steps: Step[] = [];
  let left = items.filter((one) => matches(one) && !isWatch(one));
  while (left.length > 0) {
    const level = Math.max(...left.map((one) => one.level));
    const here = left.filter((one) => one.level === level);
    const verdict = (["deny", "allow", "pass"] as const).find((wanted) =>
      here.some(({ item }) => item.verdict === wanted),
    );
    const first = here[0];
    if (verdict === undefined || first === undefined) break;
    const tier = first.rule.tier ?? "normal";
    const deciding = here.filter(({ item }) => item.verdict === verdict);
    const policies = policyNames(deciding.map(({ rule }) => rule.origin));
    steps.push({ tier, priority: first.item.priority ?? 0, verdict, policies, level });
    if (verdict !== "pass") return steps;
    left = left.filter((one) => one.level < level && (one.rule.tier ?? "normal") !== tier);
  }
  const verdict = isEnforced ? "deny" : "allow";
  const level = DEFAULT_STEP_LEVEL;
  return [...steps, { tier: "default", priority: 0, verdict, policies: [], level }];
}

function setAside(
  selecting: readonly Rule[],
  counting: readonly Rule[],
): Pick<DirectionView, "setAside"> {
  const others = selecting.filter((rule) => !counting.includes(rule));
  return others.length === 0 ? {} : { setAside: policyNames(others.map(({ origin }) => origin)) };
}

/** Rules that say nothing about the direction are left out. */
function ruleViews(
  selecting: readonly Rule[],
  items: readonly Item[],
  direction: Direction,
  decides: (item: Item) => boolean,
): RuleView[] {
  return selecting.flatMap((rule): RuleView[] => {
    const own = items.filter((one) => one.rule === rule);
    const closes = rule.defaultDeny[direction];
    if (own.length === 0 && !closes) return [];
    const [policy = ""] = policyNames([rule.origin]);
    return [{ policy, closes, items: own.map((one) => itemView(one, decides(one))) }];
  });
}

function itemView({ rule, item, matchesPeer, matchesPort }: Item, decides: boolean): ItemView {
  const ports = item.ports?.flatMap((one) => one.matches.map(portText)) ?? [];
  return {
    verdict: item.verdict,
    tier: rule.tier ?? "normal",
    priority: item.priority ?? 0,
    peers: item.peers.length === 0 ? ["nobody"] : item.peers.map(selectorText),
    ports: item.ports !== undefined && ports.length === 0 ? ["no port"] : ports,
    ...{ matchesPeer, matchesPort, decides },
    ...ruleL7View(item.ports?.find(({ l7 }) => l7)?.l7),
  };
}

function reasonOf(
  { direction, mode }: DirectionInput,
  selecting: readonly Rule[],
  { decision: { verdict, entry }, isFavoured }: Resolved,
  last: Step | undefined,
): string {
  const closed = policyNames(
    selecting.filter((rule) => rule.defaultDeny[direction]).map(({ origin }) => origin),
  );
  const names = fewNames(last?.policies ?? []);
  if (verdict === "deny") return `${names} denies it`;
  if (verdict === "drop" && entry) {
    return `${names} allows it by L7 rules, and the node's own connections have no proxy`;
  }
  if (verdict === "drop") {
    const by = closed.length === 0 ? "the agent's settings" : fewNames(closed);
    return `no rule allows it, and default deny is turned on by ${by}`;
  }
  const favour = "the node may always reach its own pods unless a rule denies it";
  if (last?.tier !== "default") {
    return `${names} allows it${isFavoured ? `; ${favour}, and no L7 rules count` : ""}`;
  }
  if (isFavoured) return favour;
  if (mode === "never") return "enforcement is off (--enable-policy never)";
  const watched = entry?.l7 ? "; it is only watched" : "";
  return `no rule denies it, and no policy turns default deny on${watched}`;
}

/** All of them are in the view's rules. */
function fewNames(names: readonly string[]): string {
  const more = names.length - NAMES_MAX;
  return [...names.slice(0, NAMES_MAX), ...(more > 0 ? [`${more} more`] : [])].join(", ");
}

export function entryView(entry: ResolvedEntry, isHypothetical = false): MapEntryView {
  const { identity, protocol, port, portPrefix, precedence, deny, l7, origins } = entry;
  const allowed = l7 ? "redirect" : "allow";
  const decided = deny ? "deny" : allowed;
  const action = classOf(precedence) === CLASS.none ? "default-deny" : decided;
  const peer = isHypothetical && identity !== 0 ? {} : { identity };
  const place = { protocol, port, portPrefix, precedence };
  return { ...peer, ...place, action, policies: policyNames(origins) };
}
