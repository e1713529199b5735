/** What apply refuses, with the message of each row of the table, and what takes the row away. */
import { expect, test } from "vitest";
import { validateForApply } from "./apply.ts";
import { type ApplyFeatures, REFUSALS, type RefusalName } from "./refusal.ts";
import { CNP, item, tiered } from "./testing/policy-text.ts";
import { AT, CASES } from "./testing/refusals.ts";
import { parse } from "./testing/small-world.ts";

function refusals(text: string, features?: ApplyFeatures): string[] {
  const { documents, errors } = parse(text);
  expect(errors).toEqual([]);
  return documents
    .flatMap((document) => validateForApply(document, features))
    .map((problem) => {
      expect(problem.line).toBeGreaterThan(1);
      return `${problem.path}: ${problem.message}`;
    });
}

test.each(CASES)("refuses %s at %s", (name, path, text) => {
  expect(refusals(text, { tiers: name !== "tiers" })).toEqual([
    `${path}: ${REFUSALS[name].message}`,
  ]);
});

test("every row of the table is tried", () => {
  expect(new Set(CASES.map(([name]) => name))).toEqual(new Set(Object.keys(REFUSALS)));
});

test.each(CASES.filter(([name]) => "unless" in REFUSALS[name]))(
  "takes %s at %s when it is there",
  (_name, _path, text) => {
    const all = {
      peerNamedPorts: true,
      hostFirewall: true,
      tiers: true,
      nodeSelectorLabels: true,
      extendedProtocols: true,
    };
    expect(refusals(text, all)).toEqual([]);
  },
);

test("names the field of one rule among several", () => {
  const text =
    `apiVersion: cilium.io/v2\nkind: ${CNP}\nmetadata: {name: p}\nspecs:\n` +
    "- {endpointSelector: {}, egress: [{}]}\n" +
    "- {endpointSelector: {}, egress: [{}, {toFQDNs: [{matchName: a}]}]}\n";
  expect(refusals(text)).toEqual([`specs[1].egress[1].toFQDNs: ${REFUSALS.fqdns.message}`]);
});

test.each([
  ["nobody", item("egress", "toFQDNs: [], toServices: [], toNodes: [], toGroups: []")],
  ["no authentication", item("ingress", "fromEndpoints: [{}], authentication: {mode: disabled}")],
  ["no L7 rules", item("egress", `${AT}, rules: {dns: []}}]`)],
  ["services", item("egress", "toServices: [{k8sService: {serviceName: s}}]")],
  ["groups", item("ingress", "fromCIDRSet: [{cidrGroupRef: g}, {cidrGroupSelector: {}}]")],
])("takes %s", (_name, text) => {
  expect(refusals(text)).toEqual([]);
});

test("every node needs no labels of nodes", () => {
  const text = tiered("egress: [{action: Deny, to: [{nodes: {}}]}]");
  expect(refusals(text, { tiers: true })).toEqual([]);
});

const names: readonly RefusalName[] = ["fqdns", "dns", "kafka"];
test.each(names)("says of %s that it is this version that does not", (name) => {
  expect(REFUSALS[name].message).toMatch(/not enforced by this version$/);
});
