/** What rules and groups say of prefixes: labels of groups, names of rules as these come and go. */
import fc from "fast-check";
import { expect, test } from "vitest";
import { formatLabel } from "../identity/label.ts";
import { groupOf } from "./kinds.ts";
import { groupLabels, namedPrefixes, PolicySayings } from "./prefix-sayings.ts";
import { PolicyRepository } from "./repository.ts";
import { item } from "./testing/policy-text.ts";
import { parse } from "./testing/small-world.ts";

test.each<[Record<string, string>, string[]]>([
  [{}, []],
  [{ site: "a", "app.kubernetes.io/name": "x" }, ["site=a", "app.kubernetes.io/name=x"]],
  [{ "io.cilium.k8s.policy.name": "p" }, []],
  [{ "io.cilium.policy.cidrgroupname/other": "" }, []],
])("labels %j of a group become %j", (labels, expected) => {
  expect(groupLabels({ name: "g", labels }).map(formatLabel)).toEqual([
    "cidrgroup:io.cilium.policy.cidrgroupname/g",
    ...expected.map((text) => `cidrgroup:${text}`),
  ]);
});

test("names are those of the rules of now, and the same map while they are the same", () => {
  const texts = [
    "fromCIDR: [10.0.0.0/8]",
    "fromCIDR: [10.0.0.0/8, 10.1.0.0/16]",
    "fromCIDRSet: [{cidr: '::/0', except: ['fd00::/8']}]",
    "fromCIDRSet: [{cidrGroupRef: g, except: [10.1.0.0/16]}]",
    "fromEndpoints: [{matchLabels: {'cidr:192.0.2.0/24': ''}}]",
    "fromCIDR: [0.0.0.0/0]",
  ];
  const repository = new PolicyRepository();
  repository.upsertAll(
    texts.flatMap(
      (text, i) => parse(item("ingress", text).replace("{name: p", `{name: p${i}`)).documents,
    ),
  );
  const all = [...repository.rules()];
  const sayings = new PolicySayings();
  const group = groupOf({ name: "g" }, ["10.0.0.0/8"]);
  expect([...namedPrefixes(all).keys()].sort()).toEqual([
    ...["10.0.0.0/8", "10.1.0.0/16", "192.0.2.0/24", "fd00::/8"],
  ]);
  fc.assert(
    fc.property(fc.array(fc.subarray(all), { minLength: 1, maxLength: 5 }), (steps) => {
      for (const rules of steps) {
        const [named, groups] = sayings.of(rules, [group]);
        expect([...(named?.prefixes.keys() ?? [])].sort()).toEqual(
          [...namedPrefixes(rules).keys()].sort(),
        );
        expect(groups?.prefixes).toBe(group.prefixes);
        expect(sayings.of([...rules].reverse(), [])[0]?.prefixes).toBe(named?.prefixes);
      }
    }),
  );
});
