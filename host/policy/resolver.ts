/**
 * Policies and identities to the policy map of one endpoint. Pure: the same input gives the same
 * entries. How entries come about is in resolve/; what a rule means in translate/.
 */
import { IDENTITY } from "../identity/reserved.ts";
import { PolicyRepository } from "./repository.ts";
import { collect, type DirectionContributions, LEVEL } from "./resolve/contribution.ts";
import { anyPeerEntries, buildEntries, cellsOf, type EntrySet } from "./resolve/entries.ts";
import { ALL_PORTS, portKeyParts } from "./resolve/port-key.ts";
import type { Direction, Rule } from "./rule.ts";
import { selects, toCandidate } from "./selector.ts";
import { SelectorCache } from "./selector-cache.ts";
import type { Identity, PolicySubject, ResolvedEntry, ResolvedPolicy } from "./types.ts";

export { PolicyConflictError } from "./resolve/conflict.ts";

export interface ResolveOptions {
  /**
   * Container ports of a peer, for named ports in egress rules. A repository accepts those only
   * with the feature `peerNamedPorts`.
   */
  namedPortsOf?: (identity: number) => PolicySubject["namedPorts"];
  /**
   * `default`: what no policy selects is open. `always`: both directions are enforced.
   * `never`: everything is allowed (Cilium's enable-policy).
   */
  enforcement?: "default" | "always" | "never";
}

/**
 * The policy map of `subject`. Reserved identities need not be among `identities`. Give a
 * `SelectorCache` instead of a list to share the selector work between subjects and changes.
 * @throws PolicyConflictError when policies ask for different parsers on one peer and port.
 */
export function resolvePolicy(
  source: PolicyRepository | Iterable<Rule>,
  identities: Iterable<Identity> | SelectorCache,
  subject: PolicySubject,
  options: ResolveOptions = {},
): ResolvedPolicy {
  const cache = identities instanceof SelectorCache ? identities : new SelectorCache(identities);
  const candidate = toCandidate(subject.identity);
  const rules: Rule[] = [];
  for (const rule of source instanceof PolicyRepository ? source.rules() : source) {
    if (rule.endpoint !== undefined && rule.endpoint !== subject.name) continue;
    if (selects(rule.subject, candidate)) rules.push(rule);
  }
  const ingress = resolveDirection("ingress", rules, cache, subject, options);
  const egress = resolveDirection("egress", rules, cache, subject, options);
  return {
    entries: [...ingress.entries, ...egress.entries],
    ingressEnforced: ingress.enforced,
    egressEnforced: egress.enforced,
  };
}

function resolveDirection(
  direction: Direction,
  rules: readonly Rule[],
  cache: SelectorCache,
  subject: PolicySubject,
  options: ResolveOptions,
): { entries: ResolvedEntry[]; enforced: boolean } {
  const { enforcement = "default", namedPortsOf = () => [] } = options;
  const enforced =
    enforcement !== "never" &&
    (enforcement === "always" ||
      isInit(subject.identity) ||
      rules.some((rule) => rule.defaultDeny[direction]));
  const applied = enforcement === "never" ? rules.filter(onlyWatches) : rules;
  const contributions = collect(applied, direction, cache, subject, { namedPortsOf });
  if (!enforced) {
    contributions.any.push({ key: ALL_PORTS, level: LEVEL.default, verdict: "allow" });
  }
  return { entries: entriesOf(contributions, direction), enforced };
}

function onlyWatches(rule: Rule): boolean {
  return rule.items.every(({ verdict }) => verdict === "watch");
}

/** Endpoints without labels yet are denied by default in both directions. */
function isInit(identity: Identity): boolean {
  return (
    identity.id === IDENTITY.init ||
    identity.labels.some(({ source, key }) => source === "reserved" && key === "init")
  );
}

/**
 * Identities of the same peer groups have the same entries: each combination is worked out once.
 */
function entriesOf({ any, groups }: DirectionContributions, direction: Direction): ResolvedEntry[] {
  const anyCells = cellsOf(any);
  const anyEntries = anyPeerEntries(anyCells, direction);
  const entries = toEntries(anyEntries, IDENTITY.unknown, direction);
  const groupsOf = new Map<number, number[]>();
  for (const [index, group] of groups.entries()) {
    for (const identity of group.identities) {
      const list = groupsOf.get(identity);
      if (list) list.push(index);
      else groupsOf.set(identity, [index]);
    }
  }
  const known = new Map<string, EntrySet>();
  for (const [identity, indexes] of groupsOf) {
    const combination = indexes.join(",");
    let set = known.get(combination);
    if (!set) {
      const own = cellsOf(indexes.flatMap((index) => groups[index]?.contributions ?? []));
      set = buildEntries({ own, any: anyCells, anyEntries, direction });
      known.set(combination, set);
    }
    entries.push(...toEntries(set, identity, direction));
  }
  return entries;
}

function toEntries(set: EntrySet, identity: number, direction: Direction): ResolvedEntry[] {
  const entries: ResolvedEntry[] = [];
  for (const [key, { precedence, deny, l7, origins }] of set) {
    const { protocol, port, prefix } = portKeyParts(key);
    const entry: ResolvedEntry = {
      identity,
      direction,
      protocol,
      port,
      portPrefix: prefix,
      precedence,
      deny,
      origins,
    };
    entries.push(l7 ? { ...entry, l7 } : entry);
  }
  return entries;
}
