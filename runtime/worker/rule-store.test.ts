/** What two policies of one connection come to, and what a state may name. */
import { describe, expect, test } from "vitest";
import type { FailurePolicy, RuleMode } from "../contract/control.ts";
import { RuleStore, type StateChange } from "./rule-store.ts";
import { nativeImage } from "./testing/native-plugin.ts";
import { trialOf } from "./testing/native-state.ts";

const TRIAL = trialOf("new", "shadow", { ruleSets: [1] });

/** Rule sets of service `http` in every mode and failure policy, and of other services. */
function store(): RuleStore {
  const terms = (id: number, plugin: string, mode: RuleMode, failure: FailurePolicy) => ({
    ...{ id, plugin, mode, failure },
  });
  const ruleSets = [
    terms(1, "http", "enforce", "closed"),
    terms(2, "http", "audit", "open"),
    terms(3, "http", "observe", "open"),
    terms(4, "http@1.0.0", "enforce", "open"),
    terms(5, "http@2.0.0", "enforce", "open"),
    terms(6, "redis", "enforce", "open"),
    terms(7, "http@9.9.9", "enforce", "open"),
  ];
  const change: StateChange = {
    revision: 1,
    images: ["old", "new", "redis"].map(nativeImage),
    ruleSets,
    forms: ruleSets.flatMap(({ id }) =>
      ["old", "new", "redis"].map((digest) => ({
        ...{ ruleSet: id, digest, compiled: new ArrayBuffer(0), patterns: [] },
      })),
    ),
    keepPlugins: ["old", "new", "redis"],
    keepRuleSets: ruleSets.map(({ id }) => id),
    services: [
      { plugin: "http", active: "old", trial: TRIAL },
      { plugin: "http@1.0.0", active: "old" },
      { plugin: "http@2.0.0", active: "new" },
      { plugin: "http@9.9.9", active: null },
      { plugin: "redis", active: "redis" },
    ],
    draining: [],
  };
  const rules = new RuleStore(() => () => false);
  rules.apply(change);
  return rules;
}

describe("choose()", () => {
  test.each<[string, number[], string]>([
    ["one policy", [1], "enforce closed old trial"],
    ["a rule set the trial leaves alone", [2], "audit open old"],
    ["the stricter mode and failure policy", [1, 3], "enforce closed old"],
    ["the stricter mode, the other way", [3, 2], "audit open old"],
    ["name and pin of the same version", [2, 4], "enforce open old"],
    ["name and pin of another version", [1, 5], "two_plugins"],
    ["two plugins", [1, 6], "two_plugins"],
    ["a pin without version", [7], "enforce open undefined"],
    ["a pin without version beside one with", [4, 7], "enforce open undefined"],
    ["a rule set that is not there", [1, 99], "unknown_rules"],
    ["none", [], "unknown_rules"],
  ])("%s", (_name, ids, expected) => {
    const choice = store().choose(ids);
    const text =
      typeof choice === "string"
        ? choice
        : [choice.mode, choice.failure, choice.image?.digest ?? "undefined"].join(" ") +
          (choice.trial === undefined ? "" : " trial");
    expect(text).toBe(expected);
  });
});

test("a version that is not there cannot serve, and nothing changes", () => {
  const rules = store();
  const nothing = { images: [], ruleSets: [], forms: [], keepPlugins: [], keepRuleSets: [] };
  const services = [{ plugin: "http", active: "gone" }];
  expect(() => rules.apply({ ...nothing, revision: 2, services, draining: [] })).toThrow(
    /version gone is not there/,
  );
  expect(rules.revision).toBe(1);
  expect(rules.choose([1])).toMatchObject({ plugin: "http" });
});
