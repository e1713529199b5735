/**
 * An identity for every address prefix that policies name, held while a policy in force does. A
 * change takes those it adds first, and gives back either these or the ones it no longer needs.
 */
import { cidrPrefixesOf } from "../policy/index.ts";
import type { Rule } from "../policy/rule.ts";
import type { Identity } from "../policy/types.ts";

export interface PrefixIdentitySource {
  acquireCidr(prefix: string): Promise<Identity>;
  release(id: number): Promise<void>;
}

export class PrefixIdentities {
  readonly #source: PrefixIdentitySource;
  readonly #prefixes = new WeakMap<Rule, readonly string[]>();
  #held: ReadonlyMap<string, number> = new Map();

  constructor(source: PrefixIdentitySource) {
    this.#source = source;
  }

  /**
   * `use` gets the identity of each prefix of the rules, and says whether those are in force now.
   * They are valid while it runs, and then while they are in force.
   */
  async during(
    rules: Iterable<Rule>,
    use: (identities: ReadonlyMap<string, number>) => Promise<boolean>,
  ): Promise<void> {
    const identities = new Map<string, number>();
    let unneeded = new Map<string, number>();
    try {
      for (const rule of rules) {
        for (const prefix of this.#prefixesOf(rule)) {
          if (identities.has(prefix)) continue;
          const id = this.#held.get(prefix) ?? (await this.#source.acquireCidr(prefix)).id;
          identities.set(prefix, id);
          if (!this.#held.has(prefix)) unneeded.set(prefix, id);
        }
      }
      if (await use(identities)) {
        unneeded = new Map([...this.#held].filter(([prefix]) => !identities.has(prefix)));
        this.#held = identities;
      }
    } finally {
      for (const id of unneeded.values()) await this.#source.release(id);
    }
  }

  #prefixesOf(rule: Rule): readonly string[] {
    const known = this.#prefixes.get(rule) ?? cidrPrefixesOf([rule]);
    this.#prefixes.set(rule, known);
    return known;
  }
}
