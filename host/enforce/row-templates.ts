/**
 * Rows of policy maps without their identity, and what leads from one set of them to another: made
 * once for all identities and endpoints that have the same entries.
 */
import { RowTemplate } from "../datapath/policy-rows.ts";
import type { EntrySet } from "../policy/resolve/entries.ts";
import { portKeyParts } from "../policy/resolve/port-key.ts";
import type { Direction } from "../policy/rule.ts";
import type { L7Use, OutcomeNumbers } from "./entry-numbers.ts";
import { mapEntry } from "./map-entry.ts";

/** Rows of one identity, by their numbers in the templates. */
export interface RowsDifference {
  before: RowTemplate;
  now: RowTemplate;
  /** Of `now`; narrow before broad. */
  upserts: readonly number[];
  /** Of `before`; broad before narrow. */
  deletes: readonly number[];
}

export class RowTemplates {
  readonly #numbers: OutcomeNumbers;
  #generation = 0;
  #templates = new WeakMap<EntrySet, RowTemplate>();
  #differences = new WeakMap<EntrySet, WeakMap<EntrySet, RowsDifference>>();
  readonly #uses = new WeakMap<EntrySet, readonly L7Use[]>();

  constructor(numbers: OutcomeNumbers) {
    this.#numbers = numbers;
  }

  /** Of the numbers that rows have. */
  get generation(): number {
    return this.#generation;
  }

  /** After a plan gave its numbers: rows made before may have had others. */
  renew(): void {
    const { generation } = this.#numbers;
    if (this.#generation === generation) return;
    this.#generation = generation;
    this.#templates = new WeakMap();
    this.#differences = new WeakMap();
  }

  /** L7 rules of the entries, each with each list of policies once. */
  usesOf(entries: EntrySet): readonly L7Use[] {
    let uses = this.#uses.get(entries);
    if (!uses) {
      uses = [...entries.values()].flatMap(({ l7, l7Key: key, origins }): L7Use[] => {
        return l7 ? [{ l7, key, origins }] : [];
      });
      this.#uses.set(entries, uses.length === 0 ? NO_USES : uses);
    }
    return uses;
  }

  /** Needs the numbers of the plan that the entries are in. Broad rows before narrow ones. */
  of(entries: EntrySet, direction: Direction): RowTemplate {
    let template = this.#templates.get(entries);
    if (!template) {
      template = this.#make(entries, direction);
      this.#templates.set(entries, template);
    }
    return template;
  }

  difference(before: EntrySet, now: EntrySet, direction: Direction): RowsDifference {
    const known = this.#differences.get(before)?.get(now);
    if (known) return known;
    const made = differenceOf(this.of(before, direction), this.of(now, direction));
    const byNow = this.#differences.get(before) ?? new WeakMap<EntrySet, RowsDifference>();
    this.#differences.set(before, byNow.set(now, made));
    return made;
  }

  #make(entries: EntrySet, direction: Direction): RowTemplate {
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

const NO_USES: readonly L7Use[] = [];

function differenceOf(before: RowTemplate, now: RowTemplate): RowsDifference {
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
  return { before, now, upserts: upserts.reverse(), deletes };
}
