/**
 * Which entries each identity has in one direction of a policy: identities that are in the same
 * peer groups share a combination, whose entries are worked out once. Remembers what identities had
 * before they changed, until somebody has written what they have now.
 */
import type { EntrySet } from "./entries.ts";
import { IdentityMap } from "./identity-map.ts";
import type { Group } from "./steps.ts";

/** The identities that are in exactly these groups. */
export interface Combination {
  /** The groups' serial numbers. */
  key: string;
  groups: readonly Group[];
  entries: EntrySet;
  identities: number;
}

/** Where identities go. */
export class Moves {
  readonly #identities: Uint32Array;
  readonly #combinations: (Combination | undefined)[];
  #count = 0;

  constructor(identitiesMax: number) {
    this.#identities = new Uint32Array(identitiesMax);
    this.#combinations = new Array<Combination | undefined>(identitiesMax);
  }

  get count(): number {
    return this.#count;
  }

  /** Undefined: no group has the identity any more. */
  add(identity: number, combination: Combination | undefined): void {
    this.#identities[this.#count] = identity;
    this.#combinations[this.#count++] = combination;
  }

  each(visit: (identity: number, combination: Combination | undefined) => void): void {
    for (let index = 0; index < this.#count; index++) {
      visit(this.#identities[index] ?? 0, this.#combinations[index]);
    }
  }
}

export const NO_ENTRIES: EntrySet = new Map();

export class Combinations {
  readonly #byKey = new Map<string, Combination>();
  #byIdentity = new IdentityMap<Combination>();
  /** For any peer (identity 0). */
  #any: EntrySet = NO_ENTRIES;
  #rows = 0;
  /** Entries as they were at the last `settle`, of the identities that changed since. */
  #before = new IdentityMap<EntrySet>();
  /** There was one: what was never written is not remembered. */
  #isSettled = false;

  /** The number of entries. */
  get rows(): number {
    return this.#rows;
  }

  get any(): EntrySet {
    return this.#any;
  }

  /** How many identities have entries of their own, with 0 (any peer). */
  get peers(): number {
    return this.#byIdentity.size + 1;
  }

  /** How many identities may have changed since the last `settle`. */
  get changed(): number {
    return this.#before.size;
  }

  /** Those, with the entries that they had then and have now. */
  eachChanged(visit: (before: EntrySet, now: EntrySet, identity: number) => void): void {
    this.#before.each((before, identity) => visit(before, this.entriesOf(identity), identity));
  }

  /** Changes start anew from here. */
  settle(): void {
    this.#before.clear();
    this.#isSettled = true;
  }

  /** The same, to be changed apart from this. */
  fork(): Combinations {
    const copy = new Combinations();
    const copies = new Map<Combination, Combination>();
    for (const [key, combination] of this.#byKey) {
      const own = { ...combination };
      copies.set(combination, own);
      copy.#byKey.set(key, own);
    }
    copy.#byIdentity = this.#byIdentity.map((combination) => {
      return copies.get(combination) ?? combination;
    });
    copy.#any = this.#any;
    copy.#rows = this.#rows;
    copy.#before = this.#before.map((entries) => entries);
    copy.#isSettled = this.#isSettled;
    return copy;
  }

  /** Every identity with entries, 0 (any peer) first. */
  *entries(): Generator<[identity: number, EntrySet]> {
    yield [0, this.#any];
    for (const [identity, { entries }] of this.#byIdentity) yield [identity, entries];
  }

  /** As `entries`, for many. */
  each(visit: (entries: EntrySet, identity: number) => void): void {
    visit(this.#any, 0);
    this.#byIdentity.each(({ entries }, identity) => visit(entries, identity));
  }

  *identities(): Generator<number> {
    yield 0;
    yield* this.#byIdentity.keys();
  }

  /** The same without saying whose, each once. */
  *distinctEntries(): Generator<EntrySet> {
    yield this.#any;
    for (const { entries } of this.#byKey.values()) yield entries;
  }

  /** Of one identity, 0 any peer; empty if it has none of its own. */
  entriesOf(identity: number): EntrySet {
    if (identity === 0) return this.#any;
    return this.#byIdentity.get(identity)?.entries ?? NO_ENTRIES;
  }

  all(): Iterable<Combination> {
    return this.#byKey.values();
  }

  withKey(key: string): Combination | undefined {
    return this.#byKey.get(key);
  }

  /** "": it is in none. */
  keyOf(identity: number): string {
    return this.#byIdentity.get(identity)?.key ?? "";
  }

  replaceAny(entries: EntrySet): void {
    if (entries === this.#any) return;
    this.#remember(0, this.#any);
    this.#rows += entries.size - this.#any.size;
    this.#any = entries;
  }

  /** Gives combinations other entries. */
  rebuild(rebuilt: ReadonlyMap<Combination, EntrySet>): void {
    if (rebuilt.size === 0) return;
    this.#byIdentity.each((combination, identity) => {
      if (rebuilt.has(combination)) this.#remember(identity, combination.entries);
    });
    for (const [combination, entries] of rebuilt) {
      this.#rows += (entries.size - combination.entries.size) * combination.identities;
      combination.entries = entries;
    }
  }

  move(moves: Moves): void {
    moves.each((identity, combination) => this.#move(identity, combination));
  }

  #move(identity: number, combination: Combination | undefined): void {
    const old = this.#byIdentity.get(identity);
    this.#remember(identity, old?.entries ?? NO_ENTRIES);
    if (old) {
      this.#rows -= old.entries.size;
      if (--old.identities === 0) this.#byKey.delete(old.key);
    }
    if (!combination) {
      this.#byIdentity.delete(identity);
      return;
    }
    this.#rows += combination.entries.size;
    if (combination.identities++ === 0) this.#byKey.set(combination.key, combination);
    this.#byIdentity.set(identity, combination);
  }

  #remember(identity: number, entries: EntrySet): void {
    if (this.#isSettled && this.#before.get(identity) === undefined) {
      this.#before.set(identity, entries);
    }
  }
}
