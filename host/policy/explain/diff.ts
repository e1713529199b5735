/**
 * What a change of policies would allow or deny that is not so now: for every endpoint over all
 * identities, and for the connections that were seen.
 */

import { inPieces, type Piecework } from "../../piecework.ts";
import { policyKeyText } from "../document.ts";
import { isFromHost } from "../lookup.ts";
import type { EntrySet } from "../resolve/entries.ts";
import { DIRECTIONS, type Direction } from "../rule.ts";
import { ruleDifference } from "../rule-difference.ts";
import { selectsSubject } from "../rule-index.ts";
import { toCandidate } from "../selector.ts";
import { SubjectPolicy } from "../subject-policy.ts";
import type { PolicySubject } from "../types.ts";
import { DiffPrefixes } from "./diff-prefixes.ts";
import { type DiffInput, DiffSides, entriesFor, type Outcome } from "./diff-sides.ts";
import type { ChangedAccess, DiffView, EndpointDiff, FlowChange } from "./diff-types.ts";
import { endpointName } from "./end.ts";
import { changedRegions, changeOf, effectKey, effectOf, type Region } from "./regions.ts";
import { rangeText, regionTexts } from "./text.ts";

/** A decision that the kernel made. */
export interface SeenFlow {
  direction: Direction;
  /** Whose policies decided. */
  endpoint: number;
  /** As the kernel knew it. */
  peer: number;
  peerAddress: string;
  source: string;
  destination: string;
  protocol: number;
  /** ICMP: type << 8. */
  port: number;
  /** Milliseconds since 1970. */
  timeMs: number;
}

/** Of one endpoint; more are counted. */
const CHANGES_MAX = 1_000;
/** Of one change; more are counted. */
const PEERS_MAX = 100;
/** Rows of flows, the most frequent. */
const FLOW_ROWS_MAX = 1_000;

/** In pieces: with many endpoints and identities it takes a second and more. */
export function* diffPolicies(input: DiffInput, flows: readonly SeenFlow[]): Piecework<DiffView> {
  const prefixes = new DiffPrefixes(input.labelsBefore, input.labelsAfter);
  yield;
  const subjects = yield* affectedSubjects(input, prefixes);
  const sides = yield* DiffSides.resolve(input, subjects, prefixes);
  const shared = new Map<Outcome, Map<Outcome, Comparison>>();
  const numbers = new Map<Outcome, string>();
  for (const one of [...sides.before, ...sides.after]) {
    if (!numbers.has(one)) numbers.set(one, String(numbers.size));
  }
  const endpoints: EndpointDiff[] = [];
  for (const [index, subject] of subjects.entries()) {
    const [before, after] = [sides.before[index], sides.after[index]];
    if (!before || !after) continue;
    const same = shared.get(before) ?? new Map<Outcome, Comparison>();
    shared.set(before, same);
    const compared = same.get(after) ?? (yield* compare(before, after, sides, input.entriesMax));
    same.set(after, compared);
    const { isDifferent, ...diff } = compared;
    if (!isDifferent) continue;
    endpoints.push({ endpoint: subject.endpoint, name: endpointName(subject), ...diff });
  }
  const keyOf = (outcome: Outcome): string => numbers.get(outcome) ?? "";
  const changed = yield* changedFlows(subjects, sides, flows, keyOf);
  return {
    flows: changed,
    flowsSeen: flows.length,
    endpoints,
    endpointsCount: input.subjects.length,
    isDifferent: endpoints.length > 0,
  };
}

/** For all others the same rules count as before, and select the same peers. */
function* affectedSubjects(
  { before, after, subjects }: DiffInput,
  prefixes: DiffPrefixes,
): Piecework<PolicySubject[]> {
  const { added, removed } = ruleDifference(before, after);
  const changed = [...removed, ...added];
  if (prefixes.differ) {
    yield* inPieces(after, (rule) => {
      const selectsOthers = rule.items.some(({ peers }) =>
        peers.some((peer) => prefixes.changes(peer)),
      );
      if (selectsOthers) changed.push(rule);
    });
  }
  const affected: PolicySubject[] = [];
  yield* inPieces(subjects, (subject) => {
    const candidate = toCandidate(subject.identity);
    if (changed.some((rule) => selectsSubject(rule, subject, candidate))) affected.push(subject);
  });
  return affected;
}

/** Of endpoints that share their policies, with everything but their names. */
type Comparison = Omit<EndpointDiff, "endpoint" | "name"> & { isDifferent: boolean };

function* compare(
  before: Outcome,
  after: Outcome,
  sides: DiffSides,
  entriesMax: number,
): Piecework<Comparison> {
  const isEnforcedBefore = enforced(before, after);
  const isEnforcedAfter = enforced(after, before);
  const trouble = troubleOf(before, after, entriesMax);
  const changes: ChangedAccess[] = [];
  if (before instanceof SubjectPolicy && after instanceof SubjectPolicy) {
    for (const direction of DIRECTIONS) {
      changes.push(...(yield* changesOf(before, after, direction, sides)));
    }
  }
  return {
    ...(before instanceof SubjectPolicy ? { entriesBefore: before.rows } : {}),
    ...(after instanceof SubjectPolicy ? { entriesAfter: after.rows } : {}),
    ...{ isEnforcedBefore, isEnforcedAfter },
    changes: changes.slice(0, CHANGES_MAX),
    changesLeftOut: Math.max(0, changes.length - CHANGES_MAX),
    ...(trouble === undefined ? {} : { trouble }),
    isDifferent:
      changes.length > 0 ||
      trouble !== undefined ||
      DIRECTIONS.some((one) => isEnforcedBefore[one] !== isEnforcedAfter[one]),
  };
}

/** Policies that contradict each other change nothing: what the others come to stays. */
function enforced(outcome: Outcome, other: Outcome): Record<Direction, boolean> {
  const known = [outcome, other].find((one) => one instanceof SubjectPolicy);
  if (known === undefined) return { ingress: true, egress: true };
  return { ingress: known.ingressEnforced, egress: known.egressEnforced };
}

function troubleOf(before: Outcome, after: Outcome, entriesMax: number): string | undefined {
  if (!(after instanceof SubjectPolicy)) {
    const policies = after.policies.map(policyKeyText).join(", ");
    const told = before instanceof SubjectPolicy ? "" : " (as they do now)";
    return `${policies} contradict each other${told}: ${after.message}`;
  }
  if (after.rows > entriesMax) {
    return `${after.rows} entries do not fit into its policy map, which holds ${entriesMax}`;
  }
  if (before instanceof SubjectPolicy) return undefined;
  return "its policies contradict each other now, so it has older ones: changes cannot be told";
}

interface Row {
  /** Of all of the row; `before` and `after` are those of the others too. */
  region: Region;
  ports: string[];
  peers: number[];
}

/** Peers that fare alike are one row. */
function* changesOf(
  before: SubjectPolicy,
  after: SubjectPolicy,
  direction: Direction,
  sides: DiffSides,
): Piecework<ChangedAccess[]> {
  const known = new Map<EntrySet, Map<EntrySet, ReadonlyMap<string, Row>>>();
  const rows = new Map<string, Row>();
  const isAnyAlike = before.entrySet(direction, 0) === after.entrySet(direction, 0);
  let anyone: ReadonlyMap<string, Row> | undefined;
  const identities = new Set([...before.identities(direction), ...after.identities(direction)]);
  yield* inPieces(identities, (identity) => {
    // Equal sets are one object, whoever has them, and say the same of each.
    const [was, is] = [before, after].map((one) => one.entrySet(direction, identity)) as [
      EntrySet,
      EntrySet,
    ];
    if (isAnyAlike && was === is) return;
    const same = known.get(was) ?? new Map<EntrySet, ReadonlyMap<string, Row>>();
    known.set(was, same);
    // The node fares as nobody else does.
    const isShared = !isFromHost({ direction, identity });
    const own =
      (isShared ? same.get(is) : undefined) ??
      rowsOf({
        before: entriesFor(before, direction, identity),
        after: entriesFor(after, direction, identity),
        ...{ identity, direction, hostAccess: sides.hostAccess },
      });
    if (isShared) same.set(is, own);
    if (identity === 0) anyone = own;
    for (const [key, { region, ports }] of own) {
      // Who fares as anyone else does is one of them.
      if (identity !== 0 && anyone?.has(key)) continue;
      const row = rows.get(key) ?? { region, ports, peers: [] };
      row.peers.push(identity);
      rows.set(key, row);
    }
  });
  return [...rows.values()].map((row) => accessOf(row, direction, sides));
}

function accessOf(
  { region, ports, peers }: Row,
  direction: Direction,
  sides: DiffSides,
): ChangedAccess {
  return {
    ...{ change: region.change, direction },
    peers: peers.slice(0, PEERS_MAX).map((id) => sides.peerText(id)),
    peersCount: peers.length,
    ...{ ports, before: effectOf(region.before), after: effectOf(region.after) },
  };
}

/** By what is before and after, and where. */
function rowsOf(comparison: Parameters<typeof changedRegions>[0]): Map<string, Row> {
  const { regions, protocols } = changedRegions(comparison);
  const rows = new Map<string, Row>();
  for (const [key, alike] of Map.groupBy(regions, effectKey)) {
    const [region] = alike;
    const ports = regionTexts(alike, protocols);
    if (region) rows.set(`${key} ${ports.join()}`, { region, ports, peers: [] });
  }
  return rows;
}

function* changedFlows(
  subjects: readonly PolicySubject[],
  sides: DiffSides,
  flows: readonly SeenFlow[],
  keyOf: (outcome: Outcome) => string,
): Piecework<FlowChange[]> {
  const places = new Map(subjects.map(({ endpoint }, index) => [endpoint, index]));
  const rows = new Map<string, FlowChange>();
  yield* inPieces(flows, (flow) => {
    const index = places.get(flow.endpoint) ?? -1;
    const [before, after] = [sides.before[index], sides.after[index]];
    if (!(before instanceof SubjectPolicy) || !(after instanceof SubjectPolicy)) return;
    const { direction, protocol, port, source, destination } = flow;
    const identity = sides.peerOf(flow.peer, flow.peerAddress);
    const packet = { direction, identity, protocol, port };
    const was = sides.decide(keyOf(before), before, packet);
    const is = sides.decide(keyOf(after), after, packet);
    const change = changeOf(was, is);
    if (change === undefined) return;
    const lastSeen = new Date(flow.timeMs).toISOString();
    const key = JSON.stringify([direction, source, destination, protocol, port, change]);
    const row = rows.get(key);
    if (row) {
      row.count++;
      if (lastSeen > row.lastSeen) row.lastSeen = lastSeen;
      return;
    }
    rows.set(key, {
      ...{ change, direction, source, destination, port: rangeText(protocol, port, port) },
      ...{ count: 1, lastSeen, before: effectOf(was), after: effectOf(is) },
    });
  });
  return [...rows.values()].sort((a, b) => b.count - a.count).slice(0, FLOW_ROWS_MAX);
}
