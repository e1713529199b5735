/** Which rules came and went. */
import { expect, test } from "vitest";
import type { Rule } from "./rule.ts";
import { ruleDifference } from "./rule-difference.ts";
import { labelSelector } from "./selector.ts";

const all = new Map(
  [..."abcdef"].map((name): [string, Rule] => [
    name,
    {
      origin: { kind: "NetworkPolicy", name, namespace: "x", labels: [], revision: 1 },
      ...{ subject: labelSelector([]), items: [] },
      defaultDeny: { ingress: true, egress: false },
    },
  ]),
);
const rules = (names: string): Rule[] => [...names].flatMap((name) => all.get(name) ?? []);
const text = (some: readonly Rule[]): string => some.map(({ origin }) => origin.name).join("");

test.each([
  ["", "abc", "abc", ""],
  ["abc", "", "", "abc"],
  ["abc", "abc", "", ""],
  ["abc", "abcd", "d", ""],
  ["abcd", "bcd", "", "a"],
  ["abcd", "abed", "e", "c"],
  ["abcd", "aefd", "ef", "bc"],
  ["abc", "cba", "", ""],
])("%s to %s", (before, after, added, removed) => {
  const difference = ruleDifference(rules(before), rules(after));
  expect([text(difference.added), text(difference.removed)]).toEqual([added, removed]);
});
