/**
 * An identity for every address prefix that policies name, held while a policy in force does. A
 * change takes those it adds first, and gives back either these or the ones it no longer needs.
 */
import { cidrPrefixesOf } from "../policy/index.ts";
import type { Rule } from "../policy/rule.ts";
import { ruleDifference } from "../policy/rule-difference.ts";
import type { Identity } from "../policy/types.ts";

export interface PrefixIdentitySource {
  acquireCidr(prefix: string): Promise<Identity>;
  release(id: number): Promise<void>;
}

export class PrefixIdentities {
  readonly #source: PrefixIdentitySource;
  readonly #prefixes = new WeakMap<Rule, readonly string[]>();
  /** Those in force. */
  #rules: readonly Rule[] = [];
  /** How many of them name each prefix. */
  readonly #uses = new Map<string, number>();
  #held: ReadonlyMap<string, number> = new Map();

  constructor(source: PrefixIdentitySource) {
    this.#source = source;
  }

  /**
   * `use` gets the identity of each prefix of the rules, and says whether those are in force now.
   * They are valid while it runs, and then while they are in force. The map is the one of before if
   * it would be equal.
   */
  async during(
    rules: readonly Rule[],
    use: (identities: ReadonlyMap<string, number>) => Promise<boolean>,
  ): Promise<void> {
    const uses = this.#changedUses(rules);
    const added = new Map<string, number>();
    let unneeded = added;
    try {
      for (const [prefix, count] of uses) {
        if (count === 0 || this.#held.has(prefix)) continue;
        added.set(prefix, (await this.#source.acquireCidr(prefix)).id);
      }
      const removed = new Map<string, number>();
      for (const [prefix, count] of uses) {
        const id = this.#held.get(prefix);
        if (count === 0 && id !== undefined) removed.set(prefix, id);
      }
      const identities = this.#heldWith(added, removed);
      if (await use(identities)) {
        unneeded = removed;
        this.#held = identities;
        this.#rules = rules;
        for (const [prefix, count] of uses) {
          if (count === 0) this.#uses.delete(prefix);
          else this.#uses.set(prefix, count);
        }
      }
    } finally {
      for (const id of unneeded.values()) await this.#source.release(id);
    }
  }

  /** Of the prefixes that other rules name now: how many would. */
  #changedUses(rules: readonly Rule[]): Map<string, number> {
    const uses = new Map<string, number>();
    const count = (rule: Rule, by: number): void => {
      for (const prefix of this.#prefixesOf(rule)) {
        uses.set(prefix, (uses.get(prefix) ?? this.#uses.get(prefix) ?? 0) + by);
      }
    };
    const { added, removed } = ruleDifference(this.#rules, rules);
    for (const rule of added) count(rule, 1);
    for (const rule of removed) count(rule, -1);
    return uses;
  }

  #heldWith(
    added: ReadonlyMap<string, number>,
    removed: ReadonlyMap<string, number>,
  ): ReadonlyMap<string, number> {
    if (added.size + removed.size === 0) return this.#held;
    const identities = new Map([...this.#held, ...added]);
    for (const prefix of removed.keys()) identities.delete(prefix);
    return identities;
  }

  #prefixesOf(rule: Rule): readonly string[] {
    const known = this.#prefixes.get(rule) ?? cidrPrefixesOf([rule]);
    this.#prefixes.set(rule, known);
    return known;
  }
}
