/**
 * Which identities each selector selects. Selections are computed once, on first use, and kept up
 * to date when identities come and go, so a change costs what it selects and not the whole set.
 */
import { RESERVED_IDENTITIES } from "../identity/reserved.ts";
import { type Candidate, type Selector, selects, toCandidate } from "./selector.ts";
import type { Identity } from "./types.ts";

interface Selection {
  selector: Selector;
  identities: Set<number>;
}

export class SelectorCache {
  readonly #candidates = new Map<number, Candidate>();
  /** `key` and `key=value` of every label, whatever its source, to the identities that have it. */
  readonly #byLabel = new Map<string, Set<Candidate>>();
  readonly #world = new Set<Candidate>();
  readonly #selections = new Map<string, Selection>();

  /** The reserved identities are always there. */
  constructor(identities: Iterable<Identity> = []) {
    for (const identity of RESERVED_IDENTITIES) this.upsert(identity);
    for (const identity of identities) this.upsert(identity);
  }

  /** Number 0 is every identity in a policy map, so it is never selected by labels. */
  upsert(identity: Identity): void {
    if (identity.id === 0) return;
    this.remove(identity.id);
    const candidate = toCandidate(identity);
    this.#candidates.set(candidate.id, candidate);
    if (candidate.isWorld) this.#world.add(candidate);
    for (const text of indexTexts(candidate)) {
      const sharing = this.#byLabel.get(text);
      if (sharing) sharing.add(candidate);
      else this.#byLabel.set(text, new Set([candidate]));
    }
    for (const selection of this.#selections.values()) {
      if (selects(selection.selector, candidate)) selection.identities.add(candidate.id);
    }
  }

  remove(id: number): void {
    const candidate = this.#candidates.get(id);
    if (!candidate) return;
    this.#candidates.delete(id);
    this.#world.delete(candidate);
    for (const text of indexTexts(candidate)) {
      const sharing = this.#byLabel.get(text);
      sharing?.delete(candidate);
      if (sharing?.size === 0) this.#byLabel.delete(text);
    }
    for (const selection of this.#selections.values()) selection.identities.delete(id);
  }

  /** Live: later changes of identities show in the returned set. */
  selection(selector: Selector): ReadonlySet<number> {
    const known = this.#selections.get(selector.key);
    if (known) return known.identities;
    const identities = new Set<number>();
    for (const candidate of this.#likely(selector)) {
      if (selects(selector, candidate)) identities.add(candidate.id);
    }
    this.#selections.set(selector.key, { selector, identities });
    return identities;
  }

  /** Drops selections that no policy uses any more. */
  retain(keys: ReadonlySet<string>): void {
    for (const key of this.#selections.keys()) {
      if (!keys.has(key)) this.#selections.delete(key);
    }
  }

  /** A superset of the selected, as small as the index can say. */
  #likely(selector: Selector): Iterable<Candidate> {
    if (selector.kind === "cidr") return this.#world;
    if (selector.kind === "any") return this.#candidates.values();
    let best: Iterable<Candidate> = this.#candidates.values();
    let bestSize = this.#candidates.size;
    for (const requirement of selector.requirements) {
      if (requirement.source === "cidr") continue;
      if (requirement.operator !== "In" && requirement.operator !== "Exists") continue;
      const texts =
        requirement.operator === "Exists"
          ? [requirement.key]
          : requirement.values.map((value) => `${requirement.key}=${value}`);
      const sets = texts.map((text) => this.#byLabel.get(text) ?? new Set<Candidate>());
      const size = sets.reduce((sum, set) => sum + set.size, 0);
      if (size >= bestSize) continue;
      bestSize = size;
      best = sets.flatMap((set) => [...set]);
    }
    return best;
  }
}

function indexTexts(candidate: Candidate): Set<string> {
  const texts = new Set<string>();
  for (const label of candidate.labels) {
    texts.add(label.key);
    texts.add(`${label.key}=${label.value}`);
  }
  return texts;
}
