/**
 * L7 rule sets by number. Content decides the number (plugin reference, mode, failure policy and
 * rules; docs/decisions/0009), so equal rules of many endpoints are one rule set, and a number
 * never changes its meaning. Of each it keeps what every version that may serve made of the rules.
 */
import type { PluginVersion, RuleForm, RuleSet, Service } from "../../runtime/contract/control.ts";
import type { PluginCatalogView } from "../plugin/catalog-view.ts";
import { formatPluginReference } from "../policy/plugin-reference.ts";
import type { L7Rules, PolicyOrigin } from "../policy/types.ts";
import { Numbering } from "../store/numbering.ts";
import type { Store } from "../store/store.ts";

/** The plugins as rule sets need them. */
export type RulePlugins = Pick<
  PluginCatalogView,
  "services" | "versions" | "digestsFor" | "compile"
>;

interface Entry {
  readonly l7: L7Rules;
  readonly reference: string;
  /** Digest → form. */
  readonly forms: Map<string, RuleForm>;
  /** `namespace/name` of the policies that have it. */
  readonly policies: Set<string>;
}

/** No version can serve the rules (map-entry.ts says what becomes of what they are for). */
export const NO_RULE_SET = 0;

export class RuleSets {
  readonly #plugins: RulePlugins;
  readonly #numbers: Numbering;
  readonly #patterns: Numbering;
  readonly #entries = new Map<number, Entry>();
  readonly #names = new WeakMap<PolicyOrigin, string>();
  /** References without a version, whose rules got NO_RULE_SET. */
  readonly #unserved = new Set<string>();

  constructor(store: Store, plugins: RulePlugins) {
    this.#plugins = plugins;
    this.#numbers = new Numbering(store, "rule-sets");
    this.#patterns = new Numbering(store, "patterns");
  }

  /** Compiles on first sight. Throws what `compile` of the version that serves throws. */
  numberOf(l7: L7Rules, origins: readonly PolicyOrigin[]): number {
    const reference = referenceOf(l7);
    const { mode = "enforce", failure = "closed", rules } = l7;
    const digests = this.#plugins.digestsFor(reference);
    if (digests.length === 0) {
      this.#unserved.add(reference);
      return NO_RULE_SET;
    }
    const number = this.#numbers.numberOf(JSON.stringify([reference, mode, failure, rules]));
    let entry = this.#entries.get(number);
    if (entry === undefined) {
      entry = { l7, reference, forms: new Map(), policies: new Set() };
      this.#entries.set(number, entry);
    }
    this.addPolicies(number, origins);
    this.#complete(entry, digests);
    return number;
  }

  /** These policies have the rule set too. */
  addPolicies(number: number, origins: readonly PolicyOrigin[]): void {
    const entry = this.#entries.get(number);
    for (const origin of origins) entry?.policies.add(this.#nameOf(origin));
  }

  /** Whether the version that serves takes the rules; throws what its `compile` throws. */
  check(l7: L7Rules): void {
    const [serving] = this.#plugins.digestsFor(referenceOf(l7));
    if (serving !== undefined) this.#compile(l7, serving);
  }

  /**
   * Makes a form of every rule set that asks for `name` without a version, for a version that is
   * about to serve. Throws with the policy's name when one is refused.
   */
  compileAll(name: string, digest: string): void {
    for (const entry of this.#entries.values()) {
      if (entry.reference !== name || entry.forms.has(digest)) continue;
      try {
        entry.forms.set(digest, this.#compile(entry.l7, digest));
      } catch (cause) {
        const policies = [...entry.policies].sort().join(", ");
        const reason = cause instanceof Error ? cause.message : String(cause);
        throw new Error(`Cannot use it with policy ${policies}: ${reason}`, { cause });
      }
    }
  }

  /** Undefined: forgotten. */
  rulesOf(number: number): L7Rules["rules"] | undefined {
    return this.#entries.get(number)?.l7.rules;
  }

  /**
   * Numbers of the rule sets that these policies (`namespace/name`; none: all) have with plugin
   * `name`.
   */
  numbersOf(name: string, policies: readonly string[]): number[] {
    return [...this.#entries]
      .filter(([, { l7 }]) => l7.plugin === name)
      .filter(
        ([, entry]) =>
          policies.length === 0 || policies.some((policy) => entry.policies.has(policy)),
      )
      .map(([number]) => number);
  }

  /** What the rule sets ask for: `NAME`, `NAME@VERSION`. */
  references(): Set<string> {
    return new Set([...this.#entries.values()].map(({ reference }) => reference));
  }

  /** Whether a version came for rules that had none: then maps must name their numbers. */
  get hasNewcomers(): boolean {
    return [...this.#unserved].some((one) => this.#plugins.digestsFor(one).length > 0);
  }

  /** Before a plan is computed: what it finds unserved, and for whom, counts from now on. */
  beginPlan(): void {
    this.#unserved.clear();
    for (const { policies } of this.#entries.values()) policies.clear();
  }

  /** Rule sets for the proxy, with the forms wanted now. Unknown numbers are left out. */
  select(numbers: Iterable<number>): RuleSet[] {
    return [...numbers].flatMap((id) => {
      const entry = this.#entries.get(id);
      if (entry === undefined) return [];
      const { l7, reference, forms } = entry;
      const digests = this.#plugins.digestsFor(reference);
      this.#complete(entry, digests);
      const { mode = "enforce", failure = "closed" } = l7;
      const wanted = digests.flatMap((digest) => forms.get(digest) ?? []);
      return [{ id, plugin: reference, mode, failure, forms: wanted }];
    });
  }

  versions(): PluginVersion[] {
    return this.#plugins.versions(this.references());
  }

  services(): Service[] {
    return this.#plugins.services(this.references());
  }

  /** Forgets what nothing uses; numbers stay taken. */
  retain(numbers: ReadonlySet<number>): void {
    for (const [number, { reference, forms }] of this.#entries) {
      if (!numbers.has(number)) {
        this.#entries.delete(number);
        continue;
      }
      const wanted = new Set(this.#plugins.digestsFor(reference));
      for (const digest of forms.keys()) if (!wanted.has(digest)) forms.delete(digest);
    }
  }

  /**
   * The first digest is the one that serves, and must take the rules. A version on trial or
   * draining that does not take them serves no connection that has them.
   */
  #complete({ l7, forms }: Entry, digests: readonly string[]): void {
    digests.forEach((digest, index) => {
      if (forms.has(digest)) return;
      try {
        forms.set(digest, this.#compile(l7, digest));
      } catch (error) {
        if (index === 0) throw error;
      }
    });
  }

  #nameOf(origin: PolicyOrigin): string {
    let known = this.#names.get(origin);
    if (known === undefined) {
      const { namespace, name } = origin;
      known = namespace === "" ? name : `${namespace}/${name}`;
      this.#names.set(origin, known);
    }
    return known;
  }

  #compile(l7: L7Rules, digest: string): RuleForm {
    return this.#plugins.compile(digest, l7.rules, (source) => this.#patterns.numberOf(source));
  }
}

function referenceOf({ plugin, version }: L7Rules): string {
  return formatPluginReference(
    version === undefined ? { name: plugin } : { name: plugin, version },
  );
}
