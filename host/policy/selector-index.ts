/**
 * Finds the selections that an identity may be in, so that one that comes or goes is held against
 * few of them: each selection is kept under a label that everything it selects must have.
 */
import { SOURCE_CIDR } from "../identity/label.ts";
import type { Candidate, Requirement, Selector } from "./selector.ts";

/** `key` and `key=value` of every label, whatever its source. */
export function labelTexts(candidate: Candidate): Set<string> {
  const texts = new Set<string>();
  for (const label of candidate.labels) {
    texts.add(label.key);
    texts.add(`${label.key}=${label.value}`);
  }
  return texts;
}

/** Whether a prefix may select it. */
export function isAddressed({ isWorld, prefixes }: Candidate): boolean {
  return isWorld || prefixes.length > 0;
}

/**
 * Label texts of which everything that the selector selects has one; undefined: there are none.
 * `identitiesWith`: how many identities have a text now; the fewest win.
 */
export function requiredTexts(
  selector: Selector,
  identitiesWith: (text: string) => number,
): readonly string[] | undefined {
  if (selector.kind === "any" || selector.kind === "cidr") return undefined;
  let best: readonly string[] | undefined;
  let bestCount = Number.POSITIVE_INFINITY;
  for (const requirement of selector.requirements) {
    const texts = textsOf(requirement);
    const count = texts?.reduce((sum, text) => sum + identitiesWith(text), 0) ?? bestCount;
    if (count >= bestCount) continue;
    best = texts;
    bestCount = count;
  }
  return best;
}

/** Requirements on addresses compare prefixes, not texts. */
function textsOf({ source, key, operator, values }: Requirement): string[] | undefined {
  if (source === SOURCE_CIDR) return undefined;
  if (operator === "Exists") return [key];
  return operator === "In" ? values.map((value) => `${key}=${value}`) : undefined;
}

export class SelectorIndex<Selection extends { selector: Selector }> {
  readonly #byText = new Map<string, Set<Selection>>();
  /** Of addresses. */
  readonly #cidrs = new Set<Selection>();
  readonly #others = new Set<Selection>();
  /** Where each one is. */
  readonly #places = new Map<Selection, readonly Set<Selection>[]>();

  add(selection: Selection, identitiesWith: (text: string) => number): void {
    const places = this.#placesFor(selection.selector, identitiesWith);
    for (const place of places) place.add(selection);
    this.#places.set(selection, places);
  }

  delete(selection: Selection): void {
    for (const place of this.#places.get(selection) ?? []) place.delete(selection);
    this.#places.delete(selection);
  }

  /** A superset of those that select the identity. */
  *likely(candidate: Candidate): Generator<Selection> {
    for (const text of labelTexts(candidate)) yield* this.#byText.get(text) ?? [];
    if (isAddressed(candidate)) yield* this.#cidrs;
    yield* this.#others;
  }

  #placesFor(selector: Selector, identitiesWith: (text: string) => number): Set<Selection>[] {
    if (selector.kind === "cidr") return [this.#cidrs];
    const texts = requiredTexts(selector, identitiesWith);
    if (texts === undefined) return [selector.kind === "group" ? this.#cidrs : this.#others];
    return texts.map((text) => {
      const known = this.#byText.get(text) ?? new Set<Selection>();
      this.#byText.set(text, known);
      return known;
    });
  }
}
