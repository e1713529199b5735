/**
 * An identity for every address prefix of which something is said, held while that is in force:
 * prefixes with equal labels share one. A change takes those it adds first, and gives back either
 * these or the ones it no longer needs.
 */
import { PrefixLabels, type PrefixSaying } from "../identity/prefix-labels.ts";
import type { Identity, Label } from "../policy/types.ts";

export interface PrefixIdentitySource {
  acquire(labels: Iterable<Label>): Promise<Identity>;
  release(id: number): Promise<void>;
}

interface Held {
  labels: PrefixLabels;
  /** By the key of the label set. */
  sets: ReadonlyMap<string, number>;
  /** By prefix. */
  identities: ReadonlyMap<string, number>;
}

export class PrefixIdentities {
  readonly #source: PrefixIdentitySource;
  #held: Held = { labels: new PrefixLabels(), sets: new Map(), identities: new Map() };
  /** As asked for last: a change is checked before it is put in force. */
  #labels = this.#held.labels;

  constructor(source: PrefixIdentitySource) {
    this.#source = source;
  }

  labelsOf(sayings: readonly PrefixSaying[]): PrefixLabels {
    this.#labels = this.#labels.with(sayings);
    return this.#labels;
  }

  /**
   * `use` gets the identity of each prefix, and says whether they are in force now. They are valid
   * while it runs, and then while they are in force. The map is the same object as in force if
   * nothing is different.
   */
  async during(
    sayings: readonly PrefixSaying[],
    use: (identities: ReadonlyMap<string, number>) => Promise<boolean>,
  ): Promise<void> {
    const labels = this.labelsOf(sayings);
    const before = this.#held;
    if (labels === before.labels) {
      await use(before.identities);
      return;
    }
    const sets = new Map<string, number>();
    const identities = new Map<string, number>();
    let unneeded = new Map<string, number>();
    try {
      for (const { text, set } of labels.all()) {
        let id = sets.get(set.key) ?? before.sets.get(set.key);
        if (id === undefined) {
          id = (await this.#source.acquire(set.labels)).id;
          unneeded.set(set.key, id);
        }
        sets.set(set.key, id);
        identities.set(text, id);
      }
      if (await use(identities)) {
        unneeded = new Map([...before.sets].filter(([key]) => !sets.has(key)));
        this.#held = { labels, sets, identities };
      }
    } finally {
      for (const id of unneeded.values()) await this.#source.release(id);
    }
  }
}
