/**
 * The policies of now and those of a change, both resolved for every subject over the same numbers:
 * of the identities there are, and of addresses that either of them tells from others.
 */
import type { PrefixLabels } from "../../identity/prefix-labels.ts";
import { identityKind } from "../../identity/ranges.ts";
import { IDENTITY } from "../../identity/reserved.ts";
import { inPieces, type Piecework } from "../../piecework.ts";
import {
  createLookup,
  favourHost,
  type HostAccess,
  type PolicyDecision,
  type PolicyPacket,
} from "../lookup.ts";
import type { PolicyConflictError } from "../resolver.ts";
import type { Direction, Rule } from "../rule.ts";
import { toCandidate } from "../selector.ts";
import { SelectorCache } from "../selector-cache.ts";
import { SubjectPolicies, type SubjectResult } from "../subject-policies.ts";
import { type EnforcementMode, type SubjectPolicy, toEntries } from "../subject-policy.ts";
import type { Identity, PolicySubject, ResolvedEntry } from "../types.ts";
import type { DiffPrefixes } from "./diff-prefixes.ts";
import { identityText } from "./text.ts";

export interface DiffInput {
  before: readonly Rule[];
  /** A rule that stays is the object it was. */
  after: readonly Rule[];
  /** Of prefixes, under either. */
  labelsBefore: PrefixLabels;
  labelsAfter: PrefixLabels;
  mode: EnforcementMode;
  hostAccess: HostAccess;
  /** All of the node. */
  subjects: readonly PolicySubject[];
  identities: readonly Identity[];
  /** Rows that a policy map holds at most. */
  entriesMax: number;
}

export type Outcome = SubjectPolicy | PolicyConflictError;

export class DiffSides {
  /** One for each subject compared, in their order. */
  readonly before: readonly Outcome[];
  readonly after: readonly Outcome[];
  readonly #identities: ReadonlyMap<number, Identity>;
  readonly #prefixes: DiffPrefixes;
  readonly hostAccess: HostAccess;
  readonly #lookups = new Map<string, (packet: PolicyPacket) => PolicyDecision>();

  private constructor(sides: Sides, { identities, prefixes }: Peers, hostAccess: HostAccess) {
    this.hostAccess = hostAccess;
    this.before = sides.before;
    this.after = sides.after;
    this.#identities = identities;
    this.#prefixes = prefixes;
  }

  /** @param compared Those for whom something may change. */
  static *resolve(
    input: DiffInput,
    compared: readonly PolicySubject[],
    prefixes: DiffPrefixes,
  ): Piecework<DiffSides> {
    const identities = new Map<number, Identity>();
    yield* inPieces(input.identities, (one) => {
      if (!isByAddress(one)) identities.set(one.id, one);
    });
    const sides = yield* resolveBoth(input, compared, { identities, prefixes });
    return new DiffSides(sides, { identities, prefixes }, input.hostAccess);
  }

  /** For people. */
  peerText(id: number): string {
    if (id === 0) return "anyone else";
    const known = this.#identities.get(id);
    return known ? identityText(known) : (this.#prefixes.text(id) ?? `identity ${id}`);
  }

  /** The number of a peer here; of the world it depends on its address alone. */
  peerOf(id: number, address: string): number {
    const known = this.#identities.get(id);
    const isPlace = known ? toCandidate(known).isWorld : isPlaceNumber(id);
    if (!isPlace) return id;
    const world = address.includes(":") ? IDENTITY.worldIpv6 : IDENTITY.worldIpv4;
    return this.#prefixes.numberOf(address) ?? world;
  }

  /** What one outcome says about a packet; `key` is the outcome's own. */
  decide(key: string, policy: SubjectPolicy, packet: PolicyPacket): PolicyDecision {
    const { direction, identity } = packet;
    const known = `${key} ${direction} ${identity}`;
    const lookup =
      this.#lookups.get(known) ?? createLookup(entriesFor(policy, direction, identity));
    this.#lookups.set(known, lookup);
    return favourHost(packet, lookup(packet), this.hostAccess);
  }
}

const WORLD: readonly number[] = [IDENTITY.world, IDENTITY.worldIpv4, IDENTITY.worldIpv6];

/** What the look-up for this peer can find. */
export function entriesFor(
  policy: SubjectPolicy,
  direction: Direction,
  identity: number,
): ResolvedEntry[] {
  const any = toEntries(policy.entrySet(direction, 0), 0, direction);
  if (identity === 0) return any;
  return [...any, ...toEntries(policy.entrySet(direction, identity), identity, direction)];
}

type Sides = Pick<DiffSides, "before" | "after">;

/** Whose number is the same on both sides. */
interface Peers {
  /** Their labels too. */
  identities: ReadonlyMap<number, Identity>;
  prefixes: DiffPrefixes;
}

/** What a change does not touch is one object on both sides. */
function* resolveBoth(
  { mode, subjects, before, after }: DiffInput,
  compared: readonly PolicySubject[],
  { identities, prefixes }: Peers,
): Piecework<Sides> {
  const ports = new Map<number, PolicySubject["namedPorts"][number][]>();
  for (const { identity, namedPorts } of subjects) {
    ports.set(identity.id, [...(ports.get(identity.id) ?? []), ...namedPorts]);
  }
  const namedPortsOf = (id: number): PolicySubject["namedPorts"] => ports.get(id) ?? [];
  const input = { subjects: compared, namedPortsOf };
  const cache = new SelectorCache();
  const upsert = (identity: Identity): void => cache.upsert(identity);
  yield* inPieces(identities.values(), upsert);
  yield* inPieces(prefixes.identities("before"), upsert);
  const now = new SubjectPolicies(cache, mode);
  const old = yield* now.pieces({ ...input, rules: before });
  const then = yield* now.fork();
  // What was resolved stays as it is: only the copy hears of other labels.
  yield* inPieces(prefixes.relabelled(), upsert);
  const wanted = yield* then.pieces({ ...input, rules: after });
  const outcomeOf = ({ outcome }: SubjectResult): Outcome => outcome;
  return { before: old.map(outcomeOf), after: wanted.map(outcomeOf) };
}

/** Then it is among the prefixes, with the labels of either side. */
/** Whose number nothing is known of any more. */
function isPlaceNumber(id: number): boolean {
  return identityKind(id) === "local" || WORLD.includes(id);
}

function isByAddress(identity: Identity): boolean {
  return identityKind(identity.id) === "local" && toCandidate(identity).isWorld;
}
