/**
 * What one subject's policy map is to hold, as packed rows: all of them, or what leads from the
 * rows that were written last to those wanted now. Endpoints with the same policy share one.
 *
 * A change in place must never let through (or hold up) what neither the old nor the new policy
 * does. For one peer that is so if narrow rows are written first and broad rows deleted first: what
 * a packet finds at any moment is what it found before, or will find after. But a packet also meets
 * the rows for any peer, and of an old row here and a new row there the wrong one may win. So where
 * both change in one direction, the map is replaced as a whole (docs/decisions/0013).
 */
import {
  type PolicyChange,
  type PolicyRows,
  RowPacker,
  RowTemplate,
} from "../datapath/policy-rows.ts";
import type { EntrySet } from "../policy/resolve/entries.ts";
import { portKeyParts } from "../policy/resolve/port-key.ts";
import { DIRECTIONS, type Direction } from "../policy/rule.ts";
import type { SubjectPolicy } from "../policy/subject-policy.ts";
import type { L7Use, OutcomeNumbers } from "./entry-numbers.ts";
import { mapEntry } from "./map-entry.ts";

/** Rows of one identity, by their numbers in the template. */
interface Difference {
  /** Narrow before broad. */
  upserts: readonly number[];
  /** Of the old template; broad before narrow. */
  deletes: readonly number[];
}

/** With the rows that the numbers are of. */
interface RowsDifference extends Difference {
  before: RowTemplate;
  now: RowTemplate;
}

export class MapContent {
  readonly #policy: SubjectPolicy;
  readonly #numbers: OutcomeNumbers;
  #templates = new WeakMap<EntrySet, RowTemplate>();
  #known = new WeakMap<EntrySet, WeakMap<EntrySet, RowsDifference>>();
  #uses: { version: number; list: readonly L7Use[] } = { version: -1, list: [] };
  #generation: number;
  /** Rises with what is to be written. */
  #version = 0;
  #policyVersion = -1;
  /** Of the rows that `change` starts from. */
  #settled = -1;
  #change: { version: number; change: PolicyChange | undefined } | undefined;

  constructor(policy: SubjectPolicy, numbers: OutcomeNumbers) {
    this.#policy = policy;
    this.#numbers = numbers;
    this.#generation = numbers.generation;
  }

  /** How many rows there are; more than the map holds cannot be written. */
  get count(): number {
    return this.#policy.rows;
  }

  get version(): number {
    return this.#version;
  }

  /** L7 rules of its entries. */
  uses(): readonly L7Use[] {
    const { version } = this.#policy;
    if (this.#uses.version !== version) this.#uses = { version, list: usesOf(this.#policy) };
    return this.#uses.list;
  }

  /** After a plan gave its numbers: gives every row one. They are to be flushed before a write. */
  prepare(): void {
    if (this.#generation !== this.#numbers.generation) {
      this.#generation = this.#numbers.generation;
      // What was written has other numbers than what is made now.
      this.#templates = new WeakMap();
      this.#known = new WeakMap();
      this.#settled = -1;
      this.#version++;
    }
    if (this.#policyVersion === this.#policy.version) return;
    this.#policyVersion = this.#policy.version;
    this.#version++;
    for (const direction of DIRECTIONS) {
      for (const entries of this.#policy.distinctEntrySets(direction)) {
        this.#template(entries, direction);
      }
    }
  }

  /** In an order in which the map's tree is filled fast. */
  pack(buffer: RowPacker): PolicyRows {
    buffer.reset();
    for (const direction of DIRECTIONS) {
      const identities = [...this.#policy.identities(direction)];
      for (const swapped of swappedAndSorted(identities, identities.length)) {
        const identity = swapBytes(swapped);
        const entries = this.#policy.entrySet(direction, identity);
        buffer.addAll(identity, this.#template(entries, direction));
      }
    }
    return buffer.rows();
  }

  /**
   * From the rows of `version` to these, to be done one after the other. Undefined: only the whole
   * will do. No rows: there is nothing to do.
   */
  changeFrom(version: number): PolicyChange | undefined {
    if (version !== this.#settled) return undefined;
    if (this.#change?.version !== this.#version) {
      this.#change = { version: this.#version, change: this.#makeChange() };
    }
    return this.#change.change;
  }

  /** All who have rows of this content have these: changes start from them. */
  settle(): void {
    this.#policy.settle();
    this.#settled = this.#version;
    this.#change = undefined;
  }

  #makeChange(): PolicyChange | undefined {
    let upserted = 0;
    let deleted = 0;
    for (const direction of DIRECTIONS) {
      const touches = { any: false, own: false };
      this.#eachChange(direction, (identity, { upserts, deletes }) => {
        upserted += upserts.length;
        deleted += deletes.length;
        if (upserts.length + deletes.length > 0) touches[identity === 0 ? "any" : "own"] = true;
      });
      if (touches.any && touches.own) return undefined;
    }
    // What changes more than the map holds is faster made anew.
    if (upserted + deleted > this.count) return undefined;
    const upserts = new RowPacker(upserted);
    const deletes = new RowPacker(deleted);
    for (const direction of DIRECTIONS) {
      this.#eachChange(direction, (identity, difference) => {
        for (const row of difference.upserts) upserts.add(identity, difference.now, row);
        for (const row of difference.deletes) deletes.add(identity, difference.before, row);
      });
    }
    return { upserts: upserts.rows(), deletes: deletes.rows() };
  }

  /** In the tree's order. Neighbours mostly change alike, so the last difference is tried first. */
  #eachChange(
    direction: Direction,
    visit: (identity: number, difference: RowsDifference) => void,
  ): void {
    const changed = this.#policy.before(direction);
    let before: EntrySet | undefined;
    let now: EntrySet | undefined;
    let difference: RowsDifference | undefined;
    for (const swapped of swappedAndSorted(changed.keys(), changed.size)) {
      const identity = swapBytes(swapped);
      const old = changed.get(identity);
      const wanted = this.#policy.entrySet(direction, identity);
      if (old === undefined || old === wanted) continue;
      if (difference === undefined || old !== before || wanted !== now) {
        [before, now] = [old, wanted];
        difference = this.#difference(old, wanted, direction);
      }
      visit(identity, difference);
    }
  }

  #difference(before: EntrySet, now: EntrySet, direction: Direction): RowsDifference {
    const known = this.#known.get(before)?.get(now);
    if (known) return known;
    const templates = {
      before: this.#template(before, direction),
      now: this.#template(now, direction),
    };
    const made = { ...templates, ...differenceOf(templates.before, templates.now) };
    const byNow = this.#known.get(before) ?? new WeakMap<EntrySet, RowsDifference>();
    this.#known.set(before, byNow.set(now, made));
    return made;
  }

  #template(entries: EntrySet, direction: Direction): RowTemplate {
    let template = this.#templates.get(entries);
    if (!template) {
      template = this.#makeTemplate(entries, direction);
      this.#templates.set(entries, template);
    }
    return template;
  }

  #makeTemplate(entries: EntrySet, direction: Direction): RowTemplate {
    const rows = [...entries].map(([key, outcome]) => {
      const { protocol, port, prefix: portPrefix } = portKeyParts(key);
      const { verdict, precedence, l7, origins } = outcome;
      const place = { identity: 0, direction, protocol, port, portPrefix };
      const deny = verdict === "deny";
      const entry = { ...place, precedence, deny, origins, ...(l7 ? { l7 } : {}) };
      return mapEntry(entry, this.#numbers.of(outcome));
    });
    return new RowTemplate(rows);
  }
}

/** Each rule set with each list of policies once for each set of entries. */
function usesOf(policy: SubjectPolicy): L7Use[] {
  const uses: L7Use[] = [];
  for (const direction of DIRECTIONS) {
    for (const entries of policy.distinctEntrySets(direction)) {
      for (const { l7, l7Key: key, origins } of entries.values()) {
        if (l7) uses.push({ l7, key, origins });
      }
    }
  }
  return uses;
}

/** Rows of a template are broad before narrow. */
function differenceOf(before: RowTemplate, now: RowTemplate): Difference {
  const old = new Map<string, string>();
  for (let row = 0; row < before.count; row++) old.set(before.keyAt(row), before.valueAt(row));
  const wanted = new Set<string>();
  const upserts: number[] = [];
  for (let row = 0; row < now.count; row++) {
    const key = now.keyAt(row);
    wanted.add(key);
    if (old.get(key) !== now.valueAt(row)) upserts.push(row);
  }
  const deletes: number[] = [];
  for (let row = 0; row < before.count; row++) {
    if (!wanted.has(before.keyAt(row))) deletes.push(row);
  }
  return { upserts: upserts.reverse(), deletes };
}

/** The tree branches by bytes as they lie in memory: neighbours share their way down. */
function swappedAndSorted(identities: Iterable<number>, count: number): Uint32Array {
  const swapped = new Uint32Array(count);
  let at = 0;
  for (const identity of identities) swapped[at++] = swapBytes(identity);
  return swapped.sort();
}

function swapBytes(value: number): number {
  const swapped =
    (value << 24) | ((value & 0xff00) << 8) | ((value >>> 8) & 0xff00) | (value >>> 24);
  return swapped >>> 0;
}
