/**
 * Which identities each selector selects. Selections are computed once, on first use, and kept up
 * to date when identities come and go, so a change costs what it selects and not the whole set; and
 * it says which selections changed, so that nothing else is worked out again.
 */
import { RESERVED_IDENTITIES } from "../identity/reserved.ts";
import type { SelectionChanges } from "./resolve/direction-policy.ts";
import { type Candidate, type Selector, selects, toCandidate } from "./selector.ts";
import { isAddressed, labelTexts, requiredTexts, SelectorIndex } from "./selector-index.ts";
import type { Identity } from "./types.ts";

interface Selection {
  selector: Selector;
  identities: Set<number>;
  /** How many hold it. */
  uses: number;
}

export class SelectorCache {
  readonly #candidates = new Map<number, Candidate>();
  readonly #byLabel = new Map<string, Set<Candidate>>();
  /** Those that CIDRs may select. */
  readonly #addressed = new Set<Candidate>();
  readonly #selections = new Map<string, Selection>();
  readonly #index = new SelectorIndex<Selection>();
  /** Keys of those that nobody holds. */
  readonly #idle = new Set<string>();
  /** At most one number for each identity and selection. */
  #changes = new Map<string, Set<number>>();

  /** The reserved identities are always there. */
  constructor(identities: Iterable<Identity> = []) {
    for (const identity of RESERVED_IDENTITIES) this.upsert(identity);
    for (const identity of identities) this.upsert(identity);
  }

  /** Number 0 is every identity in a policy map, so it is never selected by labels. */
  upsert(identity: Identity): void {
    if (identity.id === 0) return;
    this.#forget(identity.id);
    const candidate = toCandidate(identity);
    this.#candidates.set(candidate.id, candidate);
    if (isAddressed(candidate)) this.#addressed.add(candidate);
    for (const text of labelTexts(candidate)) {
      const sharing = this.#byLabel.get(text);
      if (sharing) sharing.add(candidate);
      else this.#byLabel.set(text, new Set([candidate]));
    }
    for (const selection of this.#index.likely(candidate)) {
      if (!selection.identities.has(candidate.id) && selects(selection.selector, candidate)) {
        selection.identities.add(candidate.id);
        this.#note(selection, candidate.id);
      }
    }
  }

  /** A reserved identity loses only what was added to it. */
  remove(id: number): void {
    this.#forget(id);
    const reserved = RESERVED_IDENTITIES.find((identity) => identity.id === id);
    if (reserved) this.upsert(reserved);
  }

  /** Live: later changes of identities show in the returned set. */
  selection(selector: Selector): ReadonlySet<number> {
    const known = this.#selections.get(selector.key);
    if (known) return known.identities;
    const identities = new Set<number>();
    for (const candidate of this.#likely(selector)) {
      if (selects(selector, candidate)) identities.add(candidate.id);
    }
    const selection = { selector, identities, uses: 0 };
    this.#selections.set(selector.key, selection);
    this.#idle.add(selector.key);
    this.#index.add(selection, this.#identitiesWith);
    return identities;
  }

  /**
   * Identities that came into or went out of a selection since the last call, by the selector's
   * key. One that did both may be among them.
   */
  takeChanges(): SelectionChanges {
    const changes = this.#changes;
    this.#changes = new Map();
    return changes;
  }

  /** The selection with this key is kept until it is released as often. */
  hold(key: string): void {
    const selection = this.#selections.get(key);
    if (selection && selection.uses++ === 0) this.#idle.delete(key);
  }

  release(key: string): void {
    const selection = this.#selections.get(key);
    if (selection && --selection.uses === 0) this.#idle.add(key);
  }

  /** Drops selections that nobody holds. */
  dropIdle(): void {
    for (const key of this.#idle) {
      const selection = this.#selections.get(key);
      this.#selections.delete(key);
      if (selection) this.#index.delete(selection);
      this.#changes.delete(key);
    }
    this.#idle.clear();
  }

  #forget(id: number): void {
    const candidate = this.#candidates.get(id);
    if (!candidate) return;
    this.#candidates.delete(id);
    this.#addressed.delete(candidate);
    for (const text of labelTexts(candidate)) {
      const sharing = this.#byLabel.get(text);
      sharing?.delete(candidate);
      if (sharing?.size === 0) this.#byLabel.delete(text);
    }
    for (const selection of this.#index.likely(candidate)) {
      if (selection.identities.delete(id)) this.#note(selection, id);
    }
  }

  #note({ selector: { key } }: Selection, id: number): void {
    const ids = this.#changes.get(key);
    if (ids) ids.add(id);
    else this.#changes.set(key, new Set([id]));
  }

  readonly #identitiesWith = (text: string): number => this.#byLabel.get(text)?.size ?? 0;

  /** A superset of the selected, as small as the index can say. */
  #likely(selector: Selector): Iterable<Candidate> {
    if (selector.kind === "cidr") return this.#addressed;
    const texts = requiredTexts(selector, this.#identitiesWith);
    if (texts === undefined) {
      return selector.kind === "group" ? this.#addressed : this.#candidates.values();
    }
    return texts.flatMap((text) => [...(this.#byLabel.get(text) ?? [])]);
  }
}
