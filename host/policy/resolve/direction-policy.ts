/**
 * One direction of one subject's policy, kept up to date: which identities have entries of their
 * own, and which. Identities that belong to the same peer groups have the same entries, so each
 * combination of groups is worked out once, and a change touches only the identities of the groups
 * that changed. A change is prepared first and takes effect when it is committed, so policies that
 * contradict each other leave everything as it was.
 */
import type { Direction, Rule } from "../rule.ts";
import type { SelectorCache } from "../selector-cache.ts";
import type { PolicySubject } from "../types.ts";
import { type Contribution, collect, type PeerGroup, type PortNames } from "./contribution.ts";
import { anyPeerEntries, buildEntries, type Cells, cellsOf, type EntrySet } from "./entries.ts";
import { DEFAULT_LEVEL } from "./level.ts";
import { ALL_PORTS } from "./port-key.ts";
import type { Group, Steps } from "./steps.ts";

export interface DirectionInput {
  rules: readonly Rule[];
  /** What no rule decides is denied. */
  enforced: boolean;
  subject: PolicySubject;
  names: PortNames;
}

/** Identities whose membership in a selection changed, by the key of its selector. */
export type SelectionChanges = ReadonlyMap<string, ReadonlySet<number>>;

/** The identities that are in exactly these groups. */
interface Combination {
  key: string;
  groups: readonly Group[];
  entries: EntrySet;
  identities: number;
}

/** What a change makes of the direction, complete but not in effect. */
interface Prepared {
  groups: readonly Group[];
  any: readonly Contribution[];
  anyEntries: EntrySet;
  enforced: boolean;
  namesPeerPorts: boolean;
  /** Rebuilt ones, with the entries they get. */
  rebuilt: ReadonlyMap<Combination, EntrySet>;
  moved: Moves;
}

/** Where identities go, one beside the other; undefined: no group has the identity any more. */
interface Moves {
  identities: number[];
  combinations: (Combination | undefined)[];
}

const NO_ENTRIES: EntrySet = new Map();

export class DirectionPolicy {
  readonly #direction: Direction;
  readonly #cache: SelectorCache;
  readonly #steps: Steps;
  #groups: readonly Group[] = [];
  #any: readonly Contribution[] = [];
  #anyEntries: EntrySet = NO_ENTRIES;
  #enforced = false;
  #namesPeerPorts = false;
  #nextSerial = 0;
  #rows = 0;
  /** By the groups' serial numbers. */
  readonly #combinations = new Map<string, Combination>();
  readonly #byIdentity = new Map<number, Combination>();
  /** Entries as they were at the last `settle`, of the identities that changed since. */
  readonly #before = new Map<number, EntrySet>();

  constructor(direction: Direction, cache: SelectorCache, steps: Steps) {
    this.#direction = direction;
    this.#cache = cache;
    this.#steps = steps;
  }

  get enforced(): boolean {
    return this.#enforced;
  }

  /** The number of entries. */
  get rows(): number {
    return this.#rows;
  }

  /** Every identity with entries, 0 (any peer) first. */
  *entries(): Generator<[identity: number, EntrySet]> {
    yield [0, this.#anyEntries];
    for (const [identity, { entries }] of this.#byIdentity) yield [identity, entries];
  }

  *identities(): Generator<number> {
    yield 0;
    yield* this.#byIdentity.keys();
  }

  /** The same without saying whose, each once. */
  *distinctEntries(): Generator<EntrySet> {
    yield this.#anyEntries;
    for (const { entries } of this.#combinations.values()) yield entries;
  }

  /** Identities that may have changed since `settle`, with their entries then. Live. */
  get before(): ReadonlyMap<number, EntrySet> {
    return this.#before;
  }

  /** Changes start anew from here. */
  settle(): void {
    this.#before.clear();
  }

  /** Keys of the selectors whose selections count here. */
  *selectors(): Generator<string> {
    for (const { selector } of this.#groups) yield selector;
  }

  /**
   * What the change comes to; in effect when the function returned is called, before any other
   * change, which says whether entries changed. `input` counts only if `rulesChanged`, or where the
   * peers' named ports do.
   * @throws PolicyConflictError and nothing has changed.
   */
  prepare(input: DirectionInput, rulesChanged: boolean, changes: SelectionChanges): () => boolean {
    const prepared =
      rulesChanged || this.#namesPeerPorts
        ? this.#prepareRules(input, changes)
        : this.#prepareSelections(changes);
    return () => this.#commit(prepared);
  }

  #prepareSelections(changes: SelectionChanges): Prepared {
    const affected = new Union();
    for (const { selector } of this.#groups) affected.add(changes.get(selector));
    const any = { contributions: this.#any, entries: this.#anyEntries };
    return {
      groups: this.#groups,
      any: this.#any,
      anyEntries: this.#anyEntries,
      enforced: this.#enforced,
      namesPeerPorts: this.#namesPeerPorts,
      rebuilt: new Map(),
      moved: this.#assign(this.#groups, affected.all, any),
    };
  }

  #prepareRules(input: DirectionInput, changes: SelectionChanges): Prepared {
    const { rules, enforced, subject, names } = input;
    const collected = collect(rules, this.#direction, this.#cache, subject, names);
    const { any, namesPeerPorts } = collected;
    if (!enforced) any.push({ key: ALL_PORTS, level: DEFAULT_LEVEL, verdict: "allow" });
    const affected = new Union();
    const groups = this.#adopt(collected.groups, changes, affected);
    const anyChanged = !sameContributions(any, this.#any);
    const cells = cellsOf(any);
    const anyEntries = anyChanged ? anyPeerEntries(cells, this.#direction) : this.#anyEntries;
    const rebuilt = new Map<Combination, EntrySet>();
    if (anyChanged) {
      const live = new Set(groups);
      for (const combination of this.#combinations.values()) {
        if (!combination.groups.every((group) => live.has(group))) continue;
        rebuilt.set(combination, this.#build(combination.groups, cells, anyEntries));
      }
    }
    const moved = this.#assign(groups, affected.all, { contributions: any, entries: anyEntries });
    return { groups, any, anyEntries, enforced, namesPeerPorts, rebuilt, moved };
  }

  /** Groups that say what they said stay the objects they were; others' identities are affected. */
  #adopt(collected: readonly PeerGroup[], changes: SelectionChanges, affected: Union): Group[] {
    const known = new Map(this.#groups.map((group) => [group.key, group]));
    const groups = collected.map((group): Group => {
      const old = known.get(group.key);
      known.delete(group.key);
      // Who left a live selection is in neither set, but was here.
      affected.add(changes.get(group.selector));
      if (
        old !== undefined &&
        sameMembers(old.identities, group.identities) &&
        sameContributions(old.contributions, group.contributions)
      ) {
        return old;
      }
      affected.add(old?.identities);
      affected.add(group.identities);
      return { ...group, serial: this.#nextSerial++ };
    });
    for (const gone of known.values()) {
      affected.add(gone.identities);
      affected.add(changes.get(gone.selector));
    }
    return groups;
  }

  /** The combination that each affected identity belongs to, if it is not the one it is in. */
  #assign(
    groups: readonly Group[],
    affected: ReadonlySet<number>,
    any: { contributions: readonly Contribution[]; entries: EntrySet },
  ): Moves {
    const cells = cellsOf(any.contributions);
    const made = new Map<string, Combination>();
    const moves: Moves = { identities: [], combinations: [] };
    this.#steps.walk(affected, groups, (identity, key, members) => {
      const current = this.#byIdentity.get(identity);
      if ((current?.key ?? "") === key) return;
      let combination = key === "" ? undefined : (this.#combinations.get(key) ?? made.get(key));
      if (key !== "" && !combination) {
        const entries = this.#build(members, cells, any.entries);
        combination = { key, groups: members, entries, identities: 0 };
        made.set(key, combination);
      }
      moves.identities.push(identity);
      moves.combinations.push(combination);
    });
    return moves;
  }

  #build(groups: readonly Group[], any: Cells, anyEntries: EntrySet): EntrySet {
    const own = cellsOf(groups.flatMap(({ contributions }) => contributions));
    return buildEntries({ own, any, anyEntries, direction: this.#direction });
  }

  #commit({ rebuilt, moved, anyEntries, ...next }: Prepared): boolean {
    const changed = rebuilt.size + moved.identities.length > 0 || anyEntries !== this.#anyEntries;
    if (rebuilt.size > 0) {
      for (const [identity, combination] of this.#byIdentity) {
        if (rebuilt.has(combination)) this.#remember(identity, combination.entries);
      }
      for (const [combination, entries] of rebuilt) {
        this.#rows += (entries.size - combination.entries.size) * combination.identities;
        combination.entries = entries;
      }
    }
    if (anyEntries !== this.#anyEntries) this.#remember(0, this.#anyEntries);
    this.#rows += anyEntries.size - this.#anyEntries.size;
    moved.identities.forEach((identity, index) => {
      this.#move(identity, moved.combinations[index]);
    });
    this.#anyEntries = anyEntries;
    this.#groups = next.groups;
    this.#any = next.any;
    this.#enforced = next.enforced;
    this.#namesPeerPorts = next.namesPeerPorts;
    return changed;
  }

  #move(identity: number, combination: Combination | undefined): void {
    const old = this.#byIdentity.get(identity);
    this.#remember(identity, old?.entries ?? NO_ENTRIES);
    if (old) {
      this.#rows -= old.entries.size;
      if (--old.identities === 0) this.#combinations.delete(old.key);
    }
    if (!combination) {
      this.#byIdentity.delete(identity);
      return;
    }
    this.#rows += combination.entries.size;
    if (combination.identities++ === 0) this.#combinations.set(combination.key, combination);
    this.#byIdentity.set(identity, combination);
  }

  #remember(identity: number, entries: EntrySet): void {
    if (!this.#before.has(identity)) this.#before.set(identity, entries);
  }

  /** Of one identity, 0 any peer; empty if it has none of its own. */
  entriesOf(identity: number): EntrySet {
    if (identity === 0) return this.#anyEntries;
    return this.#byIdentity.get(identity)?.entries ?? NO_ENTRIES;
  }
}

/** Of sets that are not to change meanwhile; one alone is not copied. */
class Union {
  #all: ReadonlySet<number> = new Set();
  #own: Set<number> | undefined;

  get all(): ReadonlySet<number> {
    return this.#all;
  }

  add(set: ReadonlySet<number> | undefined): void {
    if (set === undefined || set.size === 0 || set === this.#all) return;
    if (this.#all.size === 0) {
      this.#all = set;
      return;
    }
    this.#own ??= new Set(this.#all);
    this.#all = this.#own;
    for (const one of set) this.#own.add(one);
  }
}

/** Selections are live and one object; parts of them are made anew each time. */
function sameMembers(a: ReadonlySet<number>, b: ReadonlySet<number>): boolean {
  return a === b || (a.size === b.size && [...a].every((identity) => b.has(identity)));
}

function sameContributions(a: readonly Contribution[], b: readonly Contribution[]): boolean {
  return (
    a.length === b.length &&
    a.every((one, index) => {
      const other = b[index];
      return (
        one.key === other?.key &&
        one.level === other.level &&
        one.verdict === other.verdict &&
        one.l7 === other.l7 &&
        one.origin === other.origin
      );
    })
  );
}
