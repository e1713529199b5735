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

/** Where identities go, one beside the other; undefined: no group has the identity any more. */
export interface Moves {
  identities: number[];
  combinations: (Combination | undefined)[];
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

  /** The number of entries. */
  get rows(): number {
    return this.#rows;
  }

  get any(): EntrySet {
    return this.#any;
  }

  /** Identities that may have changed since `settle`, with their entries then. Live. */
  get before(): IdentityMap<EntrySet> {
    return this.#before;
  }

  /** Changes start anew from here. */
  settle(): void {
    this.#before.clear();
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
    return copy;
  }

  /** Every identity with entries, 0 (any peer) first. */
  *entries(): Generator<[identity: number, EntrySet]> {
    yield [0, this.#any];
    for (const [identity, { entries }] of this.#byIdentity) yield [identity, entries];
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
    for (const [identity, combination] of this.#byIdentity) {
      if (rebuilt.has(combination)) this.#remember(identity, combination.entries);
    }
    for (const [combination, entries] of rebuilt) {
      this.#rows += (entries.size - combination.entries.size) * combination.identities;
      combination.entries = entries;
    }
  }

  move({ identities, combinations }: Moves): void {
    for (let index = 0; index < identities.length; index++) {
      this.#move(identities[index] ?? 0, combinations[index]);
    }
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
    if (this.#before.get(identity) === undefined) this.#before.set(identity, entries);
  }
}
