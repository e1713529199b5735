/**
 * L7 rule sets by number. Content decides the number (plugin reference, mode, failure policy and
 * rules; docs/decisions/0009), so equal rules of many endpoints are one rule set, and a number
 * never changes its meaning.
 */
import type { PluginVersion, RuleSet, Service } from "../../runtime/contract/control.ts";
import type { PluginCatalog } from "../plugin/catalog.ts";
import type { L7Rules } from "../policy/types.ts";
import { Numbering } from "../store/numbering.ts";
import type { Store } from "../store/store.ts";

export class RuleSets {
  readonly #catalog: PluginCatalog;
  readonly #numbers: Numbering;
  readonly #patterns: Numbering;
  readonly #compiled = new Map<number, RuleSet>();

  constructor(store: Store, catalog: PluginCatalog) {
    this.#catalog = catalog;
    this.#numbers = new Numbering(store, "rule-sets");
    this.#patterns = new Numbering(store, "patterns");
  }

  /** Compiles on first sight. Throws what PluginCatalog.compile throws. */
  numberOf(l7: L7Rules): number {
    const plugin = l7.version === undefined ? l7.plugin : `${l7.plugin}@${l7.version}`;
    const { mode = "enforce", failure = "closed", rules } = l7;
    const number = this.#numbers.numberOf(JSON.stringify([plugin, mode, failure, rules]));
    if (!this.#compiled.has(number)) {
      const form = this.#catalog.compile(l7, (source) => this.#patterns.numberOf(source));
      this.#compiled.set(number, { id: number, plugin, mode, failure, forms: [form] });
    }
    return number;
  }

  /** Whether the plugin takes the rules; throws what PluginCatalog.compile throws. */
  check(l7: L7Rules): void {
    this.#catalog.compile(l7, (source) => this.#patterns.numberOf(source));
  }

  /** Rule sets for the proxy. Numbers this agent has not compiled are left out. */
  select(numbers: Iterable<number>): RuleSet[] {
    return [...numbers]
      .map((number) => this.#compiled.get(number))
      .filter((ruleSet) => ruleSet !== undefined);
  }

  plugins(): PluginVersion[] {
    return this.#catalog.versions();
  }

  /** Of every installed plugin, by name and by pinned version. */
  services(): Service[] {
    return this.#catalog.versions().flatMap(({ digest, manifest: { name, version } }) => [
      { plugin: name, active: digest },
      { plugin: `${name}@${version}`, active: digest },
    ]);
  }

  /** Forgets compiled forms that nothing uses; their numbers stay taken. */
  retain(numbers: ReadonlySet<number>): void {
    for (const number of this.#compiled.keys()) {
      if (!numbers.has(number)) this.#compiled.delete(number);
    }
  }
}
