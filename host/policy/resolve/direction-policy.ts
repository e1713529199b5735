/**
 * One direction of one policy, kept up to date: which identities have entries of their own, and
 * which. Rules that come or go have only the peers read again that they name, and a change touches
 * only the identities of the groups that changed. It is prepared first and takes effect when it is
 * committed, so policies that contradict each other leave everything as it was.
 */
import type { Direction, Rule } from "../rule.ts";
import { ruleDifference } from "../rule-difference.ts";
import { ANY_SELECTOR } from "../selector.ts";
import type { SelectorCache } from "../selector-cache.ts";
import { type Combination, Combinations, Moves } from "./combinations.ts";
import { byKey, collect, type PeerGroup } from "./contribution.ts";
import { anyPeerEntries, buildEntries, type Cells, cellsOf, type EntrySet } from "./entries.ts";
import { DEFAULT_LEVEL } from "./level.ts";
import { ALL_PORTS } from "./port-key.ts";
import type { Contribution, PartReader, PartsFor } from "./rule-parts.ts";
import type { Group, Steps } from "./steps.ts";

export interface DirectionInput extends PartsFor {
  rules: readonly Rule[];
  /** What no rule decides is denied. */
  enforced: boolean;
}

/** What policies share. */
export interface DirectionParts {
  cache: SelectorCache;
  reader: PartReader;
  steps: Steps;
}

/** Identities whose membership in a selection changed, by the key of its selector. */
export type SelectionChanges = ReadonlyMap<string, ReadonlySet<number>>;

/** What a change makes of the direction, complete but not in effect. */
interface Prepared {
  groups: readonly Group[];
  any: readonly Contribution[];
  anyEntries: EntrySet;
  rules: readonly Rule[];
  enforced: boolean;
  namesPeerPorts: boolean;
  /** Rebuilt ones, with the entries they get. */
  rebuilt: ReadonlyMap<Combination, EntrySet>;
  moved: Moves;
}

/** Keys of peers of whom something else may be said; undefined: all. */
type Peers = ReadonlySet<string> | undefined;

export class DirectionPolicy {
  readonly #direction: Direction;
  readonly #parts: DirectionParts;
  #rules: readonly Rule[] = [];
  #groups: readonly Group[] = [];
  #any: readonly Contribution[] = [];
  #enforced: boolean | undefined;
  #namesPeerPorts = false;
  #combinations = new Combinations();

  constructor(direction: Direction, parts: DirectionParts) {
    this.#direction = direction;
    this.#parts = parts;
  }

  get enforced(): boolean {
    return this.#enforced ?? false;
  }

  /** Who has which entries; to be read and settled only. */
  get combinations(): Combinations {
    return this.#combinations;
  }

  /** The same, to be changed apart from this. */
  fork(): DirectionPolicy {
    const copy = new DirectionPolicy(this.#direction, this.#parts);
    copy.#rules = this.#rules;
    copy.#any = this.#any;
    copy.#enforced = this.#enforced;
    copy.#namesPeerPorts = this.#namesPeerPorts;
    copy.#combinations = this.#combinations.fork();
    copy.#take(this.#groups);
    return copy;
  }

  /** It is not to be used any more: its selections need not be kept for it. */
  close(): void {
    this.#take([]);
  }

  /**
   * What the change comes to; in effect when the function returned is called, before any other
   * change, which says whether entries changed.
   * @throws PolicyConflictError and nothing has changed.
   */
  prepare(input: DirectionInput, changes: SelectionChanges): () => boolean {
    const peers = this.#peersOfChange(input);
    const prepared =
      peers?.size === 0
        ? this.#prepareSelections(input.rules, changes)
        : this.#prepareRules(input, peers, changes);
    return () => this.#commit(prepared);
  }

  /** Of whom the rules may say something else than they did. */
  #peersOfChange(input: DirectionInput): Peers {
    if (this.#enforced === undefined || this.#namesPeerPorts) return undefined;
    const { added, removed } = ruleDifference(this.#rules, input.rules);
    const peers = new Set<string>();
    if (input.enforced !== this.#enforced) peers.add(ANY_SELECTOR.key);
    for (const rule of [...added, ...removed]) {
      const { byPeers, namesPeerPorts } = this.#partsOf(rule, input);
      if (namesPeerPorts) return undefined;
      for (const key of byPeers.keys()) peers.add(key);
    }
    return peers;
  }

  #partsOf(rule: Rule, whose: PartsFor) {
    return this.#parts.reader.partsOf(rule, this.#direction, whose);
  }

  #prepareSelections(rules: readonly Rule[], changes: SelectionChanges): Prepared {
    const affected = new Union();
    if (changes.size > 0) {
      for (const { selector } of this.#groups) affected.add(changes.get(selector));
    }
    const any = { contributions: this.#any, entries: this.#combinations.any };
    return {
      groups: this.#groups,
      any: this.#any,
      anyEntries: any.entries,
      rules,
      enforced: this.enforced,
      namesPeerPorts: this.#namesPeerPorts,
      rebuilt: new Map(),
      moved: this.#assign(this.#groups, affected.all, any),
    };
  }

  #prepareRules(input: DirectionInput, peers: Peers, changes: SelectionChanges): Prepared {
    const { rules, enforced } = input;
    const { cache } = this.#parts;
    let namesPeerPorts = false;
    const partsOf = (rule: Rule) => {
      const parts = this.#partsOf(rule, input);
      if (parts.namesPeerPorts) namesPeerPorts = true;
      return parts;
    };
    const source = { rules, partsOf, cache, direction: this.#direction };
    const collected = collect(source, peers);
    if (!enforced) {
      collected.any.push({ key: ALL_PORTS, level: DEFAULT_LEVEL, verdict: "allow" });
    }
    const affected = new Union();
    const groups = this.#adopt(collected.groups, peers, changes, affected);
    const anyAsked = peers === undefined || peers.has(ANY_SELECTOR.key);
    const anyChanged = anyAsked && !sameContributions(collected.any, this.#any);
    const any = anyChanged ? collected.any : this.#any;
    const cells = cellsOf(any);
    const anyEntries = anyChanged ? anyPeerEntries(cells, this.#direction) : this.#combinations.any;
    const rebuilt = new Map<Combination, EntrySet>();
    if (anyChanged) {
      const live = new Set(groups);
      for (const combination of this.#combinations.all()) {
        if (!combination.groups.every((group) => live.has(group))) continue;
        rebuilt.set(combination, this.#build(combination.groups, cells, anyEntries));
      }
    }
    const moved = this.#assign(groups, affected.all, { contributions: any, entries: anyEntries });
    return { groups, any, anyEntries, rules, enforced, namesPeerPorts, rebuilt, moved };
  }

  /** Groups that say what they said stay the objects they were; others' identities are affected. */
  #adopt(
    collected: readonly PeerGroup[],
    peers: Peers,
    changes: SelectionChanges,
    affected: Union,
  ): Group[] {
    const known = new Map<string, Group>();
    const kept: Group[] = [];
    for (const group of this.#groups) {
      // Who left a live selection is in neither set, but was here.
      if (changes.size > 0) affected.add(changes.get(group.selector));
      if (peers === undefined || peers.has(group.key)) known.set(group.key, group);
      else kept.push(group);
    }
    const adopted = collected.map((group): Group => {
      const old = known.get(group.key);
      known.delete(group.key);
      if (
        old !== undefined &&
        sameMembers(old.identities, group.identities) &&
        sameContributions(old.contributions, group.contributions)
      ) {
        return old;
      }
      affected.add(old?.identities);
      affected.add(group.identities);
      return this.#parts.steps.group(group);
    });
    for (const gone of known.values()) affected.add(gone.identities);
    return kept.length === 0 ? adopted : [...kept, ...adopted].sort(byKey);
  }

  /** The combination that each affected identity belongs to, if it is not the one it is in. */
  #assign(
    groups: readonly Group[],
    affected: ReadonlySet<number>,
    any: { contributions: readonly Contribution[]; entries: EntrySet },
  ): Moves {
    const moves = new Moves(affected.size);
    if (affected.size === 0) return moves;
    const cells = cellsOf(any.contributions);
    const made = new Map<string, Combination>();
    this.#parts.steps.walk(affected, groups, (identity, key, members) => {
      if (this.#combinations.keyOf(identity) === key) return;
      let combination = key === "" ? undefined : (this.#combinations.withKey(key) ?? made.get(key));
      if (key !== "" && !combination) {
        const entries = this.#build(members, cells, any.entries);
        combination = { key, groups: members, entries, identities: 0 };
        made.set(key, combination);
      }
      moves.add(identity, combination);
    });
    return moves;
  }

  #build(groups: readonly Group[], any: Cells, anyEntries: EntrySet): EntrySet {
    const own = cellsOf(groups.flatMap(({ contributions }) => contributions));
    return buildEntries({ own, any, anyEntries, direction: this.#direction });
  }

  #commit({ rebuilt, moved, anyEntries, ...next }: Prepared): boolean {
    const changed = rebuilt.size + moved.count > 0 || anyEntries !== this.#combinations.any;
    this.#combinations.rebuild(rebuilt);
    this.#combinations.replaceAny(anyEntries);
    this.#combinations.move(moved);
    this.#take(next.groups);
    this.#rules = next.rules;
    this.#any = next.any;
    this.#enforced = next.enforced;
    this.#namesPeerPorts = next.namesPeerPorts;
    return changed;
  }

  #take(groups: readonly Group[]): void {
    if (groups === this.#groups) return;
    const { cache } = this.#parts;
    for (const { selector } of groups) cache.hold(selector);
    for (const { selector } of this.#groups) cache.release(selector);
    this.#groups = groups;
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
