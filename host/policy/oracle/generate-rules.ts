/**
 * Random rules in the one form all languages become, with what no language has all of: tiers,
 * priorities, pass, and rules for the node. Values come from short lists, so that rules meet,
 * contain and contradict each other often.
 */
import fc from "fast-check";
import { parsePrefix } from "../../identity/cidr.ts";
import type { Direction, PortMatch, Rule, RuleItem, Tier } from "../rule.ts";
import {
  ANY_SELECTOR,
  cidrSelector,
  labelSelector,
  type Requirement,
  type Selector,
} from "../selector.ts";

const APPS = ["web", "db", "client"];

const requirement: fc.Arbitrary<Requirement> = fc.record({
  source: fc.constantFrom("any", "k8s"),
  key: fc.constantFrom("app", "tier"),
  operator: fc.constantFrom("In", "In", "NotIn", "Exists", "DoesNotExist"),
  values: fc.uniqueArray(fc.constantFrom(...APPS), { minLength: 1, maxLength: 2 }),
});

function cidr(text: string, except: string[]): Selector {
  const prefixes = [text, ...except].map(parsePrefix);
  const [first, ...rest] = prefixes.filter((prefix) => prefix !== undefined);
  return first ? cidrSelector(first, rest) : ANY_SELECTOR;
}

const labels = fc.array(requirement, { minLength: 1, maxLength: 2 }).map(labelSelector);

const peer: fc.Arbitrary<Selector> = fc.oneof(
  { weight: 2, arbitrary: fc.constant(ANY_SELECTOR) },
  { weight: 4, arbitrary: labels },
  {
    weight: 1,
    arbitrary: fc.constantFrom(
      cidr("10.0.0.0/8", []),
      cidr("10.0.0.0/8", ["10.1.0.0/16"]),
      cidr("10.1.0.0/16", []),
      cidr("0.0.0.0/0", ["10.1.0.0/16"]),
    ),
  },
);

const range = fc.constantFrom<[number, number]>([80, 80], [80, 90], [443, 443], [0, 65_535]);
const match: fc.Arbitrary<PortMatch> = fc.oneof(
  {
    weight: 6,
    arbitrary: fc.tuple(range, fc.constantFrom(6, 17)).map(([[first, last], protocol]) => {
      return { kind: "range" as const, protocol, first, last };
    }),
  },
  {
    weight: 1,
    arbitrary: fc.constant<PortMatch>({ kind: "name", protocol: 6, name: "http" }),
  },
);

/** `plugins` that rules may name; more than one can contradict each other. */
function l7Of(plugins: readonly string[]) {
  return fc.record({
    rules: fc.record({
      plugin: fc.constantFrom(...plugins),
      rules: fc.constantFrom("/a", "/b").map((value) => [[{ key: "path", value }]]),
    }),
    priority: fc.constant(101),
  });
}

function itemOf(plugins: readonly string[], tier: Tier): fc.Arbitrary<RuleItem> {
  const verdict = fc.constantFrom<RuleItem["verdict"]>(
    ...(tier === "normal"
      ? (["allow", "allow", "allow", "deny"] as const)
      : (["allow", "deny", "pass", "pass"] as const)),
  );
  const plain = fc.record({ matches: fc.array(match, { minLength: 1, maxLength: 2 }) });
  const withL7 = fc.record({
    matches: fc.constantFrom([80, 80], [80, 90]).map(([first = 80, last = 80]): PortMatch[] => {
      return [{ kind: "range", protocol: 6, first, last }];
    }),
    l7: l7Of(plugins),
  });
  return verdict.chain((chosen) =>
    fc.record({
      direction: fc.constantFrom<Direction>("ingress", "egress"),
      verdict: fc.constant(chosen),
      priority: tier === "normal" ? fc.constant(0) : fc.constantFrom(0, 1, 1.01, 7),
      peers: fc.array(peer, { minLength: 1, maxLength: 2 }),
      ports: fc.option(
        fc.array(chosen === "allow" && tier === "normal" ? fc.oneof(plain, withL7) : plain, {
          minLength: 1,
          maxLength: 2,
        }),
        { nil: undefined },
      ),
    }),
  );
}

/** Rules of one policy; `name` tells it from others. */
export function ruleOf(plugins: readonly string[] = ["l7-http"]): fc.Arbitrary<Rule> {
  const tier = fc.constantFrom<Tier>("admin", "normal", "normal", "baseline");
  return tier.chain((chosen) =>
    fc
      .record({
        name: fc.integer({ min: 0, max: 999_999 }),
        scope: fc.constantFrom<"endpoint" | "node">("endpoint", "endpoint", "endpoint", "node"),
        subject: fc.oneof(
          { weight: 2, arbitrary: fc.constant(labelSelector([])) },
          { weight: 1, arbitrary: labels },
        ),
        ingress: fc.boolean(),
        egress: fc.boolean(),
        /** Is, or gives way to, what isolates as a NetworkPolicy does. */
        isolation: fc.boolean(),
        items: fc.array(itemOf(plugins, chosen), { minLength: 1, maxLength: 3 }),
      })
      .map(
        ({ name, scope, subject, ingress, egress, isolation, items }): Rule => ({
          origin: {
            ...{ kind: "NetworkPolicy", name: `p${name}`, namespace: "default" },
            ...{ labels: [], revision: 1 },
          },
          tier: chosen,
          scope,
          subject,
          defaultDeny:
            chosen === "normal" ? { ingress, egress } : { ingress: false, egress: false },
          ...(isolation && chosen === "normal" ? { isolates: true } : {}),
          ...(isolation && chosen === "baseline" ? { unlessIsolated: true } : {}),
          items,
        }),
      ),
  );
}
