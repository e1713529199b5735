/**
 * The labels of address prefixes. Several parts have something to say of one: policies name it, a
 * group holds it, the Kubernetes API is there, a DNS name led to it. An address has the identity of
 * the narrowest prefix it is in, so what is said of a prefix is said of every narrower one too; of
 * the prefixes themselves only the narrowest is a label, as selectors compare by containment. The
 * rules are Cilium's (policy-semantics.md 2.4, 3). Values never change: a change makes another one.
 */
import type { Label } from "../policy/types.ts";
import { cidrLabels, formatPrefix, type Prefix } from "./cidr.ts";
import { labelSetKey, sortLabels } from "./label.ts";
import { PrefixMap } from "./prefix-map.ts";

/** What one part says of some prefixes. */
export interface PrefixSaying {
  /** Whose it is: the next one with this key takes its place. */
  key: string;
  labels: readonly Label[];
  /** The prefixes are known by their addresses; else only by the labels, which they then share. */
  byAddress: boolean;
  /** By their text. The map must not change; the same one again costs nothing. */
  prefixes: ReadonlyMap<string, Prefix>;
}

/** Prefixes with equal labels have equal keys, and so one identity. */
export interface LabelSet {
  key: string;
  labels: readonly Label[];
}

/** A prefix of which something is said. */
export interface LabelledPrefix {
  text: string;
  prefix: Prefix;
  set: LabelSet;
}

interface Row extends LabelledPrefix {
  /** Of the sayings that name it. */
  keys: ReadonlySet<string>;
}

/** A prefix of which something else is said than before. */
interface Touched {
  prefix: Prefix;
  keys: Set<string>;
}

/** Until it is worked out. */
const NO_SET: LabelSet = { key: "", labels: [] };

export class PrefixLabels {
  /** Another object may say the same: the newest is compared the fastest. */
  #sayings: ReadonlyMap<string, PrefixSaying> = new Map();
  #rows = new PrefixMap<Row>();

  /** What is said now, all of it: this one if it comes to the same. */
  with(sayings: Iterable<PrefixSaying>): PrefixLabels {
    const said = new Map([...sayings].map((one) => [one.key, one]));
    const touched = this.#touchedBy(said);
    if (touched.size === 0) {
      this.#sayings = said;
      return this;
    }
    const next = new PrefixLabels();
    next.#sayings = said;
    next.#rows = new PrefixMap(this.#rows);
    next.#put(touched);
    return next;
  }

  all(): Iterable<LabelledPrefix> {
    return this.#rows.values();
  }

  /** The narrowest that an address, or a prefix, is in. Undefined: it is of the world, no more. */
  at(inner: Prefix): LabelledPrefix | undefined {
    return this.#rows.longest(inner);
  }

  /** Labels that a prefix would have if it were named beside what is said. */
  labelsOf(prefix: Prefix): readonly Label[] {
    return this.#setOf(prefix, this.#sayingsAround(prefix), prefix).labels;
  }

  #touchedBy(said: ReadonlyMap<string, PrefixSaying>): Map<string, Touched> {
    const touched = new Map<string, Touched>();
    const touch = (text: string, prefix: Prefix): Set<string> => {
      const known = touched.get(text);
      if (known !== undefined) return known.keys;
      const keys = new Set(this.#rows.get(prefix)?.keys);
      touched.set(text, { prefix, keys });
      return keys;
    };
    for (const key of new Set([...this.#sayings.keys(), ...said.keys()])) {
      const [was, is] = [this.#sayings.get(key), said.get(key)];
      const isRelabelled = !meansTheSame(was, is);
      if (was?.prefixes === is?.prefixes && !isRelabelled) continue;
      for (const [text, prefix] of was?.prefixes ?? []) {
        const stays = is?.prefixes.has(text) === true;
        if (!stays) touch(text, prefix).delete(key);
        else if (isRelabelled) touch(text, prefix);
      }
      for (const [text, prefix] of is?.prefixes ?? []) {
        if (was?.prefixes.has(text) !== true) touch(text, prefix).add(key);
      }
    }
    return touched;
  }

  #put(touched: ReadonlyMap<string, Touched>): void {
    const changed = new PrefixMap<true>();
    for (const [text, { prefix, keys }] of touched) {
      changed.set(prefix, true);
      if (keys.size === 0) this.#rows.delete(prefix);
      else this.#rows.set(prefix, { text, prefix, keys, set: NO_SET });
    }
    const known = new Map<string, LabelSet>();
    for (const row of [...this.#rows.values()]) {
      if (changed.longest(row.prefix) === undefined) continue;
      const found = this.#sayingsAround(row.prefix);
      const key = [row.prefix.family, found.address ?? "", ...found.keys].join(" ");
      const set = known.get(key) ?? this.#setOf(row.prefix, found, found.prefix);
      known.set(key, set);
      this.#rows.set(row.prefix, { ...row, set });
    }
  }

  /** Of the prefix and of all around it; `prefix` is the narrowest that is known by its address. */
  #sayingsAround(inner: Prefix): { keys: string[]; prefix?: Prefix; address?: string } {
    const keys = new Set<string>();
    let narrowest: Row | undefined;
    for (const row of this.#rows.covering(inner)) {
      for (const key of row.keys) {
        const saying = this.#sayings.get(key);
        if (saying?.byAddress) narrowest ??= row;
        if (saying !== undefined && saying.labels.length > 0) keys.add(key);
      }
    }
    const sorted = [...keys].sort();
    if (narrowest === undefined) return { keys: sorted };
    return { keys: sorted, prefix: narrowest.prefix, address: narrowest.text };
  }

  #setOf(
    { family }: Prefix,
    { keys }: { keys: readonly string[] },
    named: Prefix | undefined,
  ): LabelSet {
    const labels = sortLabels([
      ...keys.flatMap((key) => this.#sayings.get(key)?.labels ?? []),
      ...cidrLabels(named ?? { family, address: 0n, length: 0 }),
    ]);
    return { key: labelSetKey(labels), labels };
  }
}

function meansTheSame(a: PrefixSaying | undefined, b: PrefixSaying | undefined): boolean {
  if (a === undefined || b === undefined) return false;
  return a.byAddress === b.byAddress && labelSetKey(a.labels) === labelSetKey(b.labels);
}

/** Prefixes by their text, each once. */
export function prefixesByText(prefixes: Iterable<Prefix>): Map<string, Prefix> {
  const byText = new Map<string, Prefix>();
  for (const prefix of prefixes) byText.set(formatPrefix(prefix), prefix);
  return byText;
}
