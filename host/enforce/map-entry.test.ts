/** What rules with and without a plugin become in the kernel. */
import { expect, test } from "vitest";
import type { L7Rules, ResolvedEntry } from "../policy/types.ts";
import { mapEntry } from "./map-entry.ts";

const entry: ResolvedEntry = {
  identity: 7,
  direction: "ingress",
  protocol: 6,
  port: 80,
  portPrefix: 16,
  precedence: 0x190,
  deny: false,
  origins: [],
};
const rules = { plugin: "redis", rules: [[]] };

test.each<[string, Partial<L7Rules> | undefined, number, object]>([
  ["an allow", undefined, 0, { redirect: false, ruleSet: 0 }],
  ["rules", {}, 9, { redirect: true, ruleSet: 9 }],
  ["rules without plugin: a drop", {}, 0, { redirect: true, ruleSet: 0 }],
  ["open rules without plugin: an allow", { failure: "open" }, 0, { redirect: false, ruleSet: 0 }],
  ["open rules with plugin", { failure: "open" }, 9, { redirect: true, ruleSet: 9 }],
  ["observing, closed", { mode: "observe" }, 9, { redirect: true, ruleSet: 9 }],
  [
    "only watching",
    { mode: "observe", failure: "open" },
    9,
    { redirect: true, ruleSet: 9, watch: true },
  ],
  [
    "only watching, without plugin",
    { mode: "observe", failure: "open" },
    0,
    { redirect: false, ruleSet: 0 },
  ],
])("%s", (_, l7, ruleSet, expected) => {
  const resolved = l7 ? { ...entry, l7: { ...rules, ...l7 } } : entry;
  const { origins: _origins, ...plain } = entry;
  expect(mapEntry(resolved, { ruleSet, cookie: 5 })).toEqual({ ...plain, cookie: 5, ...expected });
});
