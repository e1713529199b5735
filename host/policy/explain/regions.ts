/**
 * Where two policy maps say something else about one peer: ranges of ports, found by asking both at
 * every port where an entry of either begins or ends. Between two such ports nothing can change.
 */
import {
  createLookup,
  favourHost,
  type HostAccess,
  type PolicyDecision,
  type PolicyPacket,
} from "../lookup.ts";
import type { Direction } from "../rule.ts";
import type { ResolvedEntry } from "../types.ts";
import type { ChangeKind, Effect } from "./diff-types.ts";
import { l7View, policyNames } from "./text.ts";

/** Ports `first` to `last` of one protocol, or (protocol 0) all that no entry names. */
export interface Region {
  protocol: number;
  first: number;
  last: number;
  change: ChangeKind;
  before: PolicyDecision;
  after: PolicyDecision;
}

const PORTS = 1 << 16;
/** Reserved by IANA: no entry is for it, so it fares as all protocols that none is for. */
const UNNAMED_PROTOCOL = 255;

export interface Comparison {
  /** Those of the peer and those for any peer. */
  before: readonly ResolvedEntry[];
  after: readonly ResolvedEntry[];
  /** Of the peer; a number without entries is anyone else. */
  identity: number;
  direction: Direction;
  hostAccess: HostAccess;
}

export interface ChangedRegions {
  /** In order of protocol and port; neighbours that fare alike are one. */
  regions: readonly Region[];
  /** How many protocols entries name, and one for all others. */
  protocols: number;
}

export function changedRegions(input: Comparison): ChangedRegions {
  const { before, after, identity, direction, hostAccess } = input;
  const look = { before: createLookup(before), after: createLookup(after) };
  const decide = (packet: PolicyPacket) => ({
    before: favourHost(packet, look.before(packet), hostAccess),
    after: favourHost(packet, look.after(packet), hostAccess),
  });
  const regions: Region[] = [];
  const byProtocol = cutsOf([...before, ...after]);
  for (const [protocol, cuts] of byProtocol) {
    const packet = { direction, identity, protocol: protocol || UNNAMED_PROTOCOL };
    for (const [index, first] of cuts.entries()) {
      const decided = decide({ ...packet, port: first });
      const change = changeOf(decided.before, decided.after);
      if (change === undefined) continue;
      const last = (cuts[index + 1] ?? PORTS) - 1;
      const previous = regions.at(-1);
      const continues = previous?.protocol === protocol && previous.last === first - 1;
      if (previous && continues && isLike(previous, decided)) previous.last = last;
      else regions.push({ protocol, first, last, change, ...decided });
    }
  }
  return { regions, protocols: byProtocol.length };
}

/** Ports at which something may change, by protocol, ascending; protocol 0 has one. */
function cutsOf(entries: readonly ResolvedEntry[]): [protocol: number, cuts: number[]][] {
  const cuts = new Map<number, Set<number>>([[0, new Set([0])]]);
  for (const { protocol, port, portPrefix } of entries) {
    if (protocol === 0) continue;
    const known = cuts.get(protocol) ?? new Set([0]);
    cuts.set(protocol, known);
    known.add(port);
    const end = port + 2 ** (16 - portPrefix);
    if (end < PORTS) known.add(end);
  }
  return [...cuts]
    .sort(([a], [b]) => a - b)
    .map(([protocol, ports]) => [protocol, [...ports].sort((a, b) => a - b)]);
}

/** Undefined: the same for whoever asks. Which kind of denial it is makes no difference. */
export function changeOf(before: PolicyDecision, after: PolicyDecision): ChangeKind | undefined {
  const [was, is] = [isAllowed(before), isAllowed(after)];
  if (was !== is) return is ? "allowed" : "denied";
  if (!is) return undefined;
  return JSON.stringify(before.entry?.l7) === JSON.stringify(after.entry?.l7) ? undefined : "l7";
}

function isAllowed({ verdict }: PolicyDecision): boolean {
  return verdict === "allow" || verdict === "redirect";
}

function isLike(region: Region, decided: Pick<Region, "before" | "after">): boolean {
  return effectKey(region) === effectKey(decided);
}

/** Equal for those that people need not tell apart. */
export function effectKey({ before, after }: Pick<Region, "before" | "after">): string {
  return JSON.stringify([effectOf(before), effectOf(after)]);
}

export function effectOf({ verdict, entry }: PolicyDecision): Effect {
  return {
    verdict,
    policies: policyNames(entry?.origins ?? []),
    ...(entry?.l7 ? { l7: l7View(entry.l7) } : {}),
  };
}
