/**
 * Keeps a selector cache at the identities there are: from what their source announces, or, where
 * it announces nothing, by comparing its list.
 */
import type { SelectorCache } from "../policy/selector-cache.ts";
import type { Identity } from "../policy/types.ts";

export interface IdentityChange {
  added: readonly Identity[];
  removed: readonly number[];
}

export interface IdentitySource {
  list(): Identity[];
  /** Everything that comes after the call, in order. */
  onChange?(listener: (change: IdentityChange) => void): void;
}

export class IdentityFeed {
  readonly #cache: SelectorCache;
  readonly #source: IdentitySource;
  readonly #known = new Map<number, Identity>();
  #isLive = false;

  constructor(cache: SelectorCache, source: IdentitySource) {
    this.#cache = cache;
    this.#source = source;
  }

  /** The cache has the identities of now when this returns. */
  sync(): void {
    if (this.#isLive) return;
    this.#compare(this.#source.list());
    if (this.#source.onChange === undefined) return;
    this.#source.onChange((change) => this.#take(change));
    this.#isLive = true;
    this.#known.clear();
  }

  #compare(identities: readonly Identity[]): void {
    const gone = new Set(this.#known.keys());
    for (const identity of identities) {
      gone.delete(identity.id);
      if (this.#known.get(identity.id) === identity) continue;
      this.#known.set(identity.id, identity);
      this.#cache.upsert(identity);
    }
    for (const id of gone) {
      this.#known.delete(id);
      this.#cache.remove(id);
    }
  }

  #take({ added, removed }: IdentityChange): void {
    for (const id of removed) this.#cache.remove(id);
    for (const identity of added) this.#cache.upsert(identity);
  }
}
