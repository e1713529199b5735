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
import { type PolicyChange, type PolicyRows, RowPacker } from "../datapath/policy-rows.ts";
import type { EntrySet } from "../policy/resolve/entries.ts";
import { DIRECTIONS, type Direction } from "../policy/rule.ts";
import type { SubjectPolicy } from "../policy/subject-policy.ts";
import type { L7Use } from "./entry-numbers.ts";
import type { RowsDifference, RowTemplates } from "./row-templates.ts";
import { TreeOrder } from "./tree-order.ts";

/** Policies' versions stay below. */
const VERSIONS = 2 ** 32;

export class MapContent {
  readonly #policy: SubjectPolicy;
  readonly #templates: RowTemplates;
  #uses: { version: number; list: readonly L7Use[] } = { version: -1, list: [] };
  #prepared = -1;
  #change: { version: number; change: PolicyChange | undefined } | undefined;

  constructor(policy: SubjectPolicy, templates: RowTemplates) {
    this.#policy = policy;
    this.#templates = templates;
  }

  /** How many rows there are; more than the map holds cannot be written. */
  get count(): number {
    return this.#policy.rows;
  }

  get lineage(): object {
    return this.#policy.lineage;
  }

  /** Equal only for equal rows, also of other contents of the lineage. */
  get version(): number {
    return this.#templates.generation * VERSIONS + this.#policy.version;
  }

  /** L7 rules of its entries. */
  uses(): readonly L7Use[] {
    const { version } = this.#policy;
    if (this.#uses.version !== version) this.#uses = { version, list: this.#collectUses() };
    return this.#uses.list;
  }

  /** After a plan gave its numbers: gives every row one. They are to be flushed before a write. */
  prepare(): void {
    const { version } = this;
    if (this.#prepared === version) return;
    this.#prepared = version;
    for (const direction of DIRECTIONS) {
      for (const entries of this.#policy.distinctEntrySets(direction)) {
        this.#templates.of(entries, direction);
      }
    }
  }

  /** In an order in which the map's tree is filled fast. */
  pack(buffer: RowPacker): PolicyRows {
    buffer.reset();
    for (const direction of DIRECTIONS) {
      const order = new TreeOrder<EntrySet>(this.#policy.peers(direction));
      this.#policy.eachEntrySet(direction, (entries, identity) => order.add(identity, entries));
      order.sort().each((identity, entries) => {
        buffer.addAll(identity, this.#templates.of(entries, direction));
      });
    }
    return buffer.rows();
  }

  /**
   * From the rows of `version` to these, to be done one after the other. Undefined: only the whole
   * will do. No rows: there is nothing to do.
   */
  changeFrom(version: number): PolicyChange | undefined {
    const now = this.version;
    if (version !== now - this.#policy.version + this.#policy.settled) return undefined;
    if (this.#change?.version !== now) {
      this.#change = { version: now, change: this.#makeChange() };
    }
    return this.#change.change;
  }

  /** All who have rows of this content have these: changes start from them. */
  settle(): void {
    this.#policy.settle();
    this.#change = undefined;
  }

  #makeChange(): PolicyChange | undefined {
    let upserted = 0;
    let deleted = 0;
    const changes: TreeOrder<RowsDifference>[] = [];
    for (const direction of DIRECTIONS) {
      const change = this.#changesOf(direction);
      const touches = { any: false, own: false };
      change.each((identity, { upserts, deletes }) => {
        upserted += upserts.length;
        deleted += deletes.length;
        if (upserts.length + deletes.length > 0) touches[identity === 0 ? "any" : "own"] = true;
      });
      if (touches.any && touches.own) return undefined;
      changes.push(change);
    }
    // What changes more than the map holds is faster made anew.
    if (upserted + deleted > this.count) return undefined;
    const upserts = new RowPacker(upserted);
    const deletes = new RowPacker(deleted);
    for (const change of changes) {
      change.each((identity, difference) => {
        for (const row of difference.upserts) upserts.add(identity, difference.now, row);
        for (const row of difference.deletes) deletes.add(identity, difference.before, row);
      });
    }
    return { upserts: upserts.rows(), deletes: deletes.rows() };
  }

  #changesOf(direction: Direction): TreeOrder<RowsDifference> {
    const order = new TreeOrder<RowsDifference>(this.#policy.changed(direction));
    // Neighbours mostly change alike.
    let last: { before: EntrySet; now: EntrySet; difference: RowsDifference } | undefined;
    this.#policy.eachChanged(direction, (before, now, identity) => {
      if (before === now) return;
      if (last?.before !== before || last.now !== now) {
        const difference = this.#templates.difference(before, now, direction);
        last = { before, now, difference };
      }
      order.add(identity, last.difference);
    });
    return order.sort();
  }

  /** Each rule set with each list of policies once. */
  #collectUses(): L7Use[] {
    const uses = new Map<string, L7Use[]>();
    for (const direction of DIRECTIONS) {
      for (const entries of this.#policy.distinctEntrySets(direction)) {
        for (const use of this.#templates.usesOf(entries)) {
          const known = uses.get(use.key);
          if (known === undefined) uses.set(use.key, [use]);
          else if (!known.some(({ origins }) => sameOrigins(origins, use.origins))) known.push(use);
        }
      }
    }
    return [...uses.values()].flat();
  }
}

function sameOrigins(a: L7Use["origins"], b: L7Use["origins"]): boolean {
  return a.length === b.length && a.every((origin, index) => origin === b[index]);
}
