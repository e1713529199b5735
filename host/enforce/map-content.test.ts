/** Which rows a change comes to, in which order, and when only the whole map will do. */
import { expect, test } from "vitest";
import { decodePolicy } from "../datapath/abi.ts";
import { LAYOUT } from "../datapath/layout.ts";
import type { PolicyRows } from "../datapath/policy-rows.ts";
import { SelectorCache } from "../policy/index.ts";
import type { Rule, RuleVerdict } from "../policy/rule.ts";
import { ANY_SELECTOR, labelSelector } from "../policy/selector.ts";
import { SubjectPolicies } from "../policy/subject-policies.ts";
import { SubjectPolicy } from "../policy/subject-policy.ts";
import { IDENTITIES, SUBJECT } from "../policy/testing/small-world.ts";
import { SqliteStore } from "../store/sqlite.ts";
import { Planner } from "./planner.ts";
import { RuleSets } from "./rule-sets.ts";
import type { PolicyContent } from "./types.ts";

const CLIENT = labelSelector([{ source: "any", key: "app", operator: "In", values: ["client"] }]);

function rule(verdict: RuleVerdict, options: { any?: true; ports?: [number, number] } = {}): Rule {
  const { any, ports } = options;
  const [first, last] = ports ?? [0, 0];
  return {
    origin: { kind: "NetworkPolicy", name: verdict, namespace: "x", labels: [], revision: 1 },
    ...(ports ? { tier: "admin" as const } : {}),
    subject: labelSelector([]),
    defaultDeny: { ingress: true, egress: false },
    items: [
      {
        direction: "ingress",
        verdict,
        peers: [any ? ANY_SELECTOR : CLIENT],
        ports: ports && [{ matches: [{ kind: "range", protocol: 6, first, last }] }],
      },
    ],
  };
}

function create(): (rules: Rule[]) => PolicyContent {
  const store = new SqliteStore(":memory:");
  const plugins = { services: () => [], versions: () => [], digestsFor: () => [] };
  const compile = (): never => {
    throw new Error("no rules to compile");
  };
  const planner = new Planner(store, new RuleSets(store, { ...plugins, compile }));
  const policies = new SubjectPolicies(new SelectorCache(IDENTITIES));
  return (rules) => {
    const input = { rules, subjects: [SUBJECT], namedPortsOf: () => [] };
    const [result] = policies.resolve(input);
    if (!(result?.outcome instanceof SubjectPolicy)) throw new Error("no policy");
    const endpoints = [{ endpoint: 1, policy: result.outcome }];
    const [plan] = planner.plan({ endpoints, prefixes: new Map() }).endpoints;
    if (!plan) throw new Error("no plan");
    return plan.content;
  };
}

function lines({ keys, values, count }: PolicyRows): string[] {
  const { policy_key: key, policy_value: value } = LAYOUT;
  return Array.from({ length: count }, (_, row) => {
    const entry = decodePolicy(
      keys.subarray(row * key.size, (row + 1) * key.size),
      values.subarray(row * value.size, (row + 1) * value.size),
    );
    const verdict = entry.deny ? "deny" : "allow";
    return `${entry.identity} ${entry.port}/${entry.portPrefix} ${verdict}`;
  });
}

/** Upserts, then deletes by key. */
function change(before: Rule[], after: Rule[]): string[] | "whole" {
  const resolve = create();
  const old = resolve(before);
  const { version } = old;
  old.settle();
  const delta = resolve(after).changeFrom(version);
  if (!delta) return "whole";
  const deleted = lines(delta.deletes).map((line) => `-${line.replace(/ \w+$/, "")}`);
  return [...lines(delta.upserts).map((line) => `+${line}`), ...deleted];
}

test.each<[string, Rule[], Rule[], string[] | "whole"]>([
  [
    "narrow rows are written before the broad ones they except from",
    [rule("allow")],
    [rule("deny"), rule("allow", { ports: [80, 81] })],
    ["+257 80/15 allow", "+257 0/0 deny"],
  ],
  [
    "broad rows are deleted before narrow ones",
    [rule("deny"), rule("allow", { ports: [80, 81] }), rule("deny", { any: true })],
    [rule("deny", { any: true })],
    ["-257 0/0", "-257 80/15"],
  ],
  ["rows that stay are not touched", [rule("allow")], [rule("allow")], []],
  [
    "rows for any peer alone change in place",
    [rule("allow", { any: true, ports: [80, 80] })],
    [rule("allow", { any: true, ports: [81, 81] })],
    ["+0 81/16 allow", "-0 80/16"],
  ],
  [
    "where a peer's rows and those for any peer change, the map is replaced",
    [rule("deny", { any: true })],
    [rule("allow"), rule("deny", { any: true, ports: [80, 80] })],
    "whole",
  ],
])("%s", (_, before, after, expected) => {
  expect(change(before, after)).toEqual(expected);
});

test("what was never written can only be written whole", () => {
  const content = create()([rule("allow")]);
  expect(content.changeFrom(content.version)).toBeUndefined();
});
