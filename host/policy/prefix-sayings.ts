/**
 * What policies and groups say of address prefixes: each prefix and exception that a rule names
 * needs an identity of its own for the rule to mean what it says, and the prefixes of a group share
 * one that carries the group's labels. Selectors select by these labels, so a group of any size is
 * one peer.
 */
import { formatPrefix, type Prefix, parseCidrLabelKey } from "../identity/cidr.ts";
import { SOURCE_CIDR, SOURCE_CIDR_GROUP } from "../identity/label.ts";
import type { PrefixSaying } from "../identity/prefix-labels.ts";
import type { Rule } from "./rule.ts";
import type { Selector } from "./selector.ts";
import type { CidrGroup } from "./sources.ts";
import type { Label } from "./types.ts";

/** With the name of a group behind it: the label that all its prefixes have. */
const GROUP_NAME = "io.cilium.policy.cidrgroupname/";
/** Label keys that say where an object came from, not what it is. */
const SYSTEM_KEYS = "io.cilium.k8s";

export function groupNameKey(name: string): string {
  return GROUP_NAME + name;
}

/** Those of a group's own labels that count, and its name: no label can claim another's. */
export function groupLabels({ name, labels }: Pick<CidrGroup, "name" | "labels">): Label[] {
  const own = Object.entries(labels).filter(
    ([key]) => !key.startsWith(SYSTEM_KEYS) && !key.startsWith(GROUP_NAME),
  );
  return [[groupNameKey(name), ""] as const, ...own].map(([key, value]) => {
    return { source: SOURCE_CIDR_GROUP, key, value };
  });
}

/** What is said of prefixes by rules and groups; a change costs what it is about. */
export class PolicySayings {
  readonly #byRule = new WeakMap<Rule, ReadonlyMap<string, Prefix>>();
  #rules: ReadonlySet<Rule> = new Set();
  /** How many of the rules name each prefix. */
  readonly #uses = new Map<string, number>();
  #named: ReadonlyMap<string, Prefix> = new Map();

  /** Of rules that were there the last time the objects are the same. */
  of(rules: Iterable<Rule>, groups: Iterable<CidrGroup>): PrefixSaying[] {
    this.#follow(new Set(rules));
    return [
      { key: "policies", labels: [], byAddress: true, prefixes: this.#named },
      ...Array.from(groups, (group) => ({
        ...{ key: `group ${group.name}`, labels: groupLabels(group), byAddress: false },
        prefixes: group.prefixes,
      })),
    ];
  }

  #follow(rules: ReadonlySet<Rule>): void {
    const added = [...rules].filter((rule) => !this.#rules.has(rule));
    const removed = [...this.#rules].filter((rule) => !rules.has(rule));
    this.#rules = rules;
    const come = added.flatMap((rule) => [...this.#namedBy(rule)]);
    const gone = removed.flatMap((rule) => [...this.#namedBy(rule).keys()]);
    for (const [text] of come) this.#uses.set(text, (this.#uses.get(text) ?? 0) + 1);
    for (const text of gone) this.#uses.set(text, (this.#uses.get(text) ?? 0) - 1);
    const unused = gone.filter((text) => this.#uses.get(text) === 0);
    for (const text of unused) this.#uses.delete(text);
    const isNew = ([text]: [string, Prefix]): boolean =>
      this.#uses.has(text) && !this.#named.has(text);
    if (unused.length === 0 && !come.some(isNew)) return;
    const named = new Map([...this.#named, ...come]);
    for (const text of unused) named.delete(text);
    this.#named = named;
  }

  #namedBy(rule: Rule): ReadonlyMap<string, Prefix> {
    const known = this.#byRule.get(rule) ?? namedPrefixes([rule]);
    this.#byRule.set(rule, known);
    return known;
  }
}

/**
 * Every prefix and every exception, by its text. `0.0.0.0/0` and `::/0` are left out: they are the
 * world identity of their family, which every unlisted address has.
 */
export function namedPrefixes(rules: Iterable<Rule>): Map<string, Prefix> {
  const named = new Map<string, Prefix>();
  for (const { items } of rules) {
    for (const { peers } of items) {
      for (const peer of peers) {
        for (const prefix of prefixesOf(peer)) {
          if (prefix.length > 0) named.set(formatPrefix(prefix), prefix);
        }
      }
    }
  }
  return named;
}

/** `cidr:` labels may also be written into a selector by hand. */
function prefixesOf(selector: Selector): readonly Prefix[] {
  switch (selector.kind) {
    case "any":
      return [];
    case "cidr":
      return [selector.prefix, ...selector.except];
    case "group":
    case "labels":
      return [
        ...(selector.kind === "group" ? selector.except : []),
        ...selector.requirements
          .filter(({ source }) => source === SOURCE_CIDR)
          .map(({ key }) => parseCidrLabelKey(key))
          .filter((prefix) => prefix !== undefined),
      ];
    default:
      return selector satisfies never;
  }
}
