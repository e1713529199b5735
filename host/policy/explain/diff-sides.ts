/**
 * The policies of now and those of a change, both resolved for every subject over the same
 * identities: those there are, and one for each prefix that either of them names.
 */
import { cidrLabels, parseAddress, parsePrefix } from "../../identity/cidr.ts";
import { labelSetKey } from "../../identity/label.ts";
import { createLookup, type PolicyDecision, type PolicyPacket } from "../lookup.ts";
import { inPieces, type Piecework } from "../piecework.ts";
import { cidrPrefixesOf } from "../repository.ts";
import type { PolicyConflictError } from "../resolver.ts";
import type { Direction, Rule } from "../rule.ts";
import { toCandidate } from "../selector.ts";
import { SelectorCache } from "../selector-cache.ts";
import { SubjectPolicies, type SubjectResult } from "../subject-policies.ts";
import { type EnforcementMode, type SubjectPolicy, toEntries } from "../subject-policy.ts";
import type { Identity, PolicySubject, ResolvedEntry } from "../types.ts";
import { longestPrefix } from "./end.ts";

export interface DiffInput {
  before: readonly Rule[];
  /** A rule that stays is the object it was. */
  after: readonly Rule[];
  mode: EnforcementMode;
  /** All of the node. */
  subjects: readonly PolicySubject[];
  identities: readonly Identity[];
  /** Rows that a policy map holds at most. */
  entriesMax: number;
}

export type Outcome = SubjectPolicy | PolicyConflictError;

/** Numbers for prefixes that no policy in force names; beyond every real one. */
const HYPOTHETICAL_MIN = 0x7e00_0000;

export class DiffSides {
  /** One for each subject compared, in their order. */
  readonly before: readonly Outcome[];
  readonly after: readonly Outcome[];
  readonly #identities: ReadonlyMap<number, Identity>;
  readonly #named: readonly { prefix: string; identity: number }[];
  /** At most one for each address of a flow. */
  readonly #byAddress = new Map<string, number | undefined>();
  readonly #lookups = new Map<string, (packet: PolicyPacket) => PolicyDecision>();

  private constructor(sides: Sides, identities: Identities) {
    this.before = sides.before;
    this.after = sides.after;
    this.#identities = identities.all;
    this.#named = identities.named;
  }

  /** @param compared Those for whom something may change. */
  static *resolve(input: DiffInput, compared: readonly PolicySubject[]): Piecework<DiffSides> {
    const prefixes = new Set([...cidrPrefixesOf(input.before), ...cidrPrefixesOf(input.after)]);
    yield;
    const identities = yield* identitiesOf(prefixes, input.identities);
    const sides = yield* resolveBoth(input, compared, identities.all.values());
    return new DiffSides(sides, identities);
  }

  identity(id: number): Identity | undefined {
    return this.#identities.get(id);
  }

  /** The identity that a peer would have if every prefix of both sides had one. */
  peerOf(id: number, address: string): number {
    const known = this.#identities.get(id);
    if (known && !toCandidate(known).isWorld) return id;
    if (!this.#byAddress.has(address)) {
      const parsed = parseAddress(address);
      const named = { prefixes: this.#named, policyPrefixes: [] };
      const found = parsed && longestPrefix(parsed, named);
      // A prefix of all addresses is the world, which has its number already.
      const isNarrow = found?.prefix !== undefined && found.prefix.length > 0;
      this.#byAddress.set(address, isNarrow ? found.identity : undefined);
    }
    return this.#byAddress.get(address) ?? id;
  }

  /** What one outcome says about a packet; `key` is the outcome's own. */
  decide(key: string, policy: SubjectPolicy, packet: PolicyPacket): PolicyDecision {
    const { direction, identity } = packet;
    const known = `${key} ${direction} ${identity}`;
    const lookup =
      this.#lookups.get(known) ?? createLookup(entriesFor(policy, direction, identity));
    this.#lookups.set(known, lookup);
    return lookup(packet);
  }
}

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

/** What a change does not touch is one object on both sides. */
function* resolveBoth(
  { mode, subjects, before, after }: DiffInput,
  compared: readonly PolicySubject[],
  identities: Iterable<Identity>,
): Piecework<Sides> {
  const ports = new Map<number, PolicySubject["namedPorts"][number][]>();
  for (const { identity, namedPorts } of subjects) {
    ports.set(identity.id, [...(ports.get(identity.id) ?? []), ...namedPorts]);
  }
  const namedPortsOf = (id: number): PolicySubject["namedPorts"] => ports.get(id) ?? [];
  const input = { subjects: compared, namedPortsOf };
  const cache = new SelectorCache();
  yield* inPieces(identities, (identity) => cache.upsert(identity));
  const now = new SubjectPolicies(cache, mode);
  const old = yield* now.pieces({ ...input, rules: before });
  const then = yield* now.fork();
  const wanted = yield* then.pieces({ ...input, rules: after });
  const outcomeOf = ({ outcome }: SubjectResult): Outcome => outcome;
  return { before: old.map(outcomeOf), after: wanted.map(outcomeOf) };
}

/** Those there are, and one for each prefix. */
interface Identities {
  all: ReadonlyMap<number, Identity>;
  named: readonly { prefix: string; identity: number }[];
}

function* identitiesOf(
  prefixes: Iterable<string>,
  identities: readonly Identity[],
): Piecework<Identities> {
  const all = new Map<number, Identity>();
  const known = new Map<string, Identity>();
  yield* inPieces(identities, (one) => {
    all.set(one.id, one);
    known.set(labelSetKey(one.labels), one);
  });
  const named: { prefix: string; identity: number }[] = [];
  yield* inPieces(prefixes, (text) => {
    const prefix = parsePrefix(text);
    if (!prefix) return;
    const labels = cidrLabels(prefix);
    const one = known.get(labelSetKey(labels)) ?? { id: HYPOTHETICAL_MIN + named.length, labels };
    all.set(one.id, one);
    named.push({ prefix: text, identity: one.id });
  });
  return { all, named };
}
