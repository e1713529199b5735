/**
 * Contributions to map entries. The kernel looks up the longest match for the peer's identity and
 * the longest for identity 0 and lets precedence choose, so an entry must already hold everything
 * that covers its key. That makes the choice right for every packet:
 *
 * - Keys of an identity are those of its own contributions, and those for any peer that lie inside
 *   them: whatever entry of the identity a packet finds, nothing narrower covers the packet.
 * - The outcome of such a key counts the contributions for any peer too, so it must not lose
 *   against what identity 0 says for the same packet. Without passes it never does: a level that
 *   decides for any peer decides here too, or a higher one does. A pass can lower the level at
 *   which the identity's key is decided; then its precedence is raised just above the other's.
 *
 * An entry is left out when the look-up gives the same without it. Where nothing decides and the
 * look-up would find a broader entry that does, an entry of class `none` says so.
 */
import type { Direction } from "../rule.ts";
import type { PolicyOrigin } from "../types.ts";
import { justAhead } from "./level.ts";
import { decide, type Outcome } from "./outcome.ts";
import { type PortKey, portKeyBits, selfAndBroader } from "./port-key.ts";
import type { Contribution } from "./rule-parts.ts";

/** Entries of one identity, by key. */
export type EntrySet = ReadonlyMap<PortKey, Outcome>;

/** Contributions by key. */
export type Cells = ReadonlyMap<PortKey, readonly Contribution[]>;

export function cellsOf(contributions: Iterable<Contribution>): Cells {
  const cells = new Map<PortKey, Contribution[]>();
  for (const contribution of contributions) {
    const cell = cells.get(contribution.key);
    if (cell) cell.push(contribution);
    else cells.set(contribution.key, [contribution]);
  }
  return cells;
}

const NO_CELLS: Cells = new Map();
const NO_ENTRIES: EntrySet = new Map();

/** Entries for any peer (identity 0). */
export function anyPeerEntries(any: Cells, direction: Direction): EntrySet {
  return buildEntries({ own: any, any: NO_CELLS, anyEntries: NO_ENTRIES, direction });
}

/** Entries of an identity with contributions of its own, beside those for any peer. */
export function buildEntries(input: {
  own: Cells;
  any: Cells;
  anyEntries: EntrySet;
  direction: Direction;
}): EntrySet {
  const { own, any, anyEntries, direction } = input;
  const entries = new Map<PortKey, Outcome>();
  for (const key of candidateKeys(own, any)) {
    const path = selfAndBroader(key);
    const covering = path.flatMap((broader) => [
      ...(own.get(broader) ?? []),
      ...(any.get(broader) ?? []),
    ]);
    const outcome = decide(covering, direction, key);
    if (!outcome) continue;
    const other = firstOf(anyEntries, path);
    const without = choose(firstOf(entries, path), other);
    if (isNeeded(outcome, without, own.has(key))) entries.set(key, ahead(outcome, other));
  }
  return entries;
}

/** `without`: what the look-up gives if there is no entry. `named`: policies name this very key. */
function isNeeded(outcome: Outcome, without: Outcome | undefined, named: boolean): boolean {
  if (without === undefined) return outcome.verdict !== "none";
  return (
    without.verdict !== outcome.verdict ||
    without.l7Key !== outcome.l7Key ||
    (named && !sameOrigins(without.origins, outcome.origins))
  );
}

/** `other` is the entry of identity 0 that the same packets find; it is as broad or broader. */
function ahead(outcome: Outcome, other: Found | undefined): Outcome {
  const against = other?.outcome.precedence ?? 0;
  if (outcome.precedence >= against) return outcome;
  return { ...outcome, precedence: justAhead(outcome.precedence, against) };
}

/** Broad before narrow. */
function candidateKeys(own: Cells, any: Cells): PortKey[] {
  const keys = new Set(own.keys());
  for (const key of any.keys()) {
    if (selfAndBroader(key).some((broader) => own.has(broader))) keys.add(key);
  }
  return [...keys].sort((a, b) => portKeyBits(a) - portKeyBits(b));
}

interface Found {
  outcome: Outcome;
  key: PortKey;
}

/** The longest match among the entries; `path` runs from the key to all ports. */
function firstOf(entries: EntrySet, path: readonly PortKey[]): Found | undefined {
  for (const key of path) {
    const outcome = entries.get(key);
    if (outcome) return { outcome, key };
  }
  return undefined;
}

/** The kernel's choice between the identity's entry and that of identity 0. */
function choose(own: Found | undefined, any: Found | undefined): Outcome | undefined {
  if (!own || !any) return (own ?? any)?.outcome;
  const precedence = own.outcome.precedence - any.outcome.precedence;
  const bits = portKeyBits(own.key) - portKeyBits(any.key);
  return (precedence || bits) >= 0 ? own.outcome : any.outcome;
}

function sameOrigins(a: readonly PolicyOrigin[], b: readonly PolicyOrigin[]): boolean {
  return a.length === b.length && a.every((origin) => b.includes(origin));
}
