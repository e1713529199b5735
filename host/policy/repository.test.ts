/** Policies and what they refer to: groups that come with them, later, or from the cluster. */
import { expect, test } from "vitest";
import { policyConditions } from "./condition.ts";
import { groupOf } from "./kinds.ts";
import { namedPrefixes } from "./prefix-sayings.ts";
import { PolicyRefusedError, PolicyRepository } from "./repository.ts";
import type { CidrGroup, PolicySources, ServiceInfo } from "./sources.ts";
import { group, item } from "./testing/policy-text.ts";
import { parse } from "./testing/small-world.ts";

const named = item("ingress", "fromCIDRSet: [{cidrGroupRef: g}]");
const labelled = item("egress", "toCIDRSet: [{cidrGroupSelector: {matchLabels: {a: b}}}]").replace(
  "name: p",
  "name: q",
);
const toService = item("egress", "toServices: [{k8sService: {serviceName: s}}]").replace(
  "name: p",
  "name: s",
);

function documents(...texts: string[]) {
  const parsed = parse(...texts);
  expect(parsed.errors).toEqual([]);
  return parsed.documents;
}

function conditions(repository: PolicyRepository): string[] {
  return policyConditions(repository, () => ({ kind: "ready" })).map(
    ({ type, message }) => `${type} ${message}`,
  );
}

/** `name prefix prefix`. */
function groups({ sources }: PolicyRepository): string[] {
  return Array.from(sources.cidrGroups(), ({ name, prefixes }) =>
    [name, ...prefixes.keys()].join(" "),
  );
}

test("policies and groups may come in one file, in any order", () => {
  const repository = new PolicyRepository();
  const revision = repository.upsertAll(
    documents(named, labelled, group("g", "10.0.0.0/8, 10.1.0.0/8", "{a: b}")),
  );
  expect(groups(repository)).toEqual(["g 10.0.0.0/8"]);
  expect([...repository.rules()].map(({ items }) => items[0]?.peers.length)).toEqual([1, 1]);
  expect(conditions(repository)).toEqual([]);
  expect(revision).toBe(2);
});

test("a group that comes, changes and goes leaves the rules that refer to it as they are", () => {
  const repository = new PolicyRepository();
  repository.upsertAll(documents(named, labelled));
  const rules = [...repository.rules()];
  expect(conditions(repository)).toEqual([
    "CIDRGroupMissing CiliumNetworkPolicy default/p: spec.ingress[0].fromCIDRSet[0]: there is no " +
      "CIDR group g; it selects nobody",
    "CIDRGroupMissing CiliumNetworkPolicy default/q: spec.egress[0].toCIDRSet[0]: there is no " +
      'CIDR group with {"matchLabels":{"a":"b"}}; it selects nobody',
  ]);

  repository.upsertAll(documents(group("g", "10.0.0.0/8")));
  const key = { kind: "CiliumNetworkPolicy", namespace: "default", name: "p" } as const;
  expect(repository.get(key)?.revision).toBe(2);
  expect(conditions(repository)).toHaveLength(1);
  repository.upsertAll(documents(group("g", "10.0.0.0/8, 'fd00::/8'", "{a: b}")));
  expect(groups(repository)).toEqual(["g 10.0.0.0/8 fd00::/8"]);
  expect(conditions(repository)).toEqual([]);

  const copy = repository.clone();
  expect(copy.delete({ kind: "CiliumCIDRGroup", namespace: "", name: "g" })).toBe(true);
  expect(groups(copy)).toEqual([]);
  expect(conditions(copy)).toHaveLength(2);
  expect(groups(repository)).toEqual(["g 10.0.0.0/8 fd00::/8"]);
  expect([...copy.rules()].every((rule, index) => rule === rules[index])).toBe(true);
});

test("what the cluster says counts as soon as it says so, and raises the revision if it matters", () => {
  const clusterGroups: CidrGroup[] = [];
  const services: ServiceInfo[] = [];
  const service: ServiceInfo = {
    ...{ namespace: "shop", name: "s", labels: {}, selector: undefined },
    backends: ["10.2.0.1"],
  };
  const sources: PolicySources = { cidrGroups: () => clusterGroups, services: () => services };
  const repository = new PolicyRepository({ sources });
  repository.upsertAll(documents(named, toService));
  expect(conditions(repository)).toHaveLength(2);

  services.push({ ...service, name: "other" });
  expect(repository.sourcesChanged()).toBe(false);
  expect(repository.revision).toBe(2);

  services.push(service);
  expect(repository.sourcesChanged()).toBe(true);
  expect(repository.revision).toBe(3);
  expect([...namedPrefixes(repository.rules()).keys()]).toEqual(["10.2.0.1/32"]);
  clusterGroups.push(groupOf({ name: "g" }, ["10.1.0.0/16"]));
  expect(repository.sourcesChanged()).toBe(true);
  expect(repository.sourcesChanged()).toBe(false);
  expect(repository.revision).toBe(4);
  expect(groups(repository)).toEqual(["g 10.1.0.0/16"]);
  expect(conditions(repository)).toEqual([]);

  // Applied by hand, it is that one.
  repository.upsertAll(documents(group("g", "10.3.0.0/16")));
  expect(groups(repository)).toEqual(["g 10.3.0.0/16"]);
});

test("restored policies find groups that are restored after them, under their own revision", () => {
  const repository = new PolicyRepository();
  const [policy] = documents(named);
  const [g] = documents(group("g", "10.0.0.0/8"));
  if (!policy || !g) throw new Error("Cannot test: the texts hold no document");
  repository.restore(policy, 7);
  repository.restore(g, 9);
  expect(conditions(repository)).toEqual([]);
  expect(repository.get(policy)?.revision).toBe(7);
  expect(repository.revision).toBe(9);
});

test("refuses all of several documents if one holds what is not enforced", () => {
  const repository = new PolicyRepository();
  const bad = item("egress", "toFQDNs: [{matchName: a.b}]").replace("name: p", "name: bad");
  expect(() => repository.upsertAll(documents(named, bad))).toThrow(PolicyRefusedError);
  expect(repository.list()).toEqual([]);
  expect(repository.revision).toBe(1);
});
