/** Warnings of valid documents: what is ignored or replaced is said, whatever else is not. */
import { expect, test } from "vitest";
import { CCNP, CNP, item, KNP, policy, tiered } from "./testing/policy-text.ts";
import { AT } from "./testing/refusals.ts";
import { parse } from "./testing/small-world.ts";

const NS = "io.kubernetes.pod.namespace";
const subject = (key: string, kind = CNP) =>
  policy(kind, `endpointSelector: {matchLabels: {"${key}": other}}, ingress: [{}]`);
const http = (rule: string) => item("ingress", `${AT}, rules: {http: [${rule}]}}]`);
const overwritten =
  'spec.endpointSelector: the namespace "other" is overwritten: the policy selects in its own, ' +
  '"default", only';

test.each<[string, string, string[]]>([
  ["a subject's namespace", subject(`k8s:${NS}`), [overwritten]],
  ["the same without a source", subject(NS), [overwritten]],
  ["its own namespace", subject(`k8s:${NS}`).replace("other", "default"), []],
  ["a clusterwide subject's namespace", subject(`k8s:${NS}`, CCNP), []],
  [
    "endPort of a name",
    item("ingress", "toPorts: [{ports: [{port: http, endPort: 9}]}]"),
    ["spec.ingress[0].toPorts[0].ports[0].endPort: is ignored: the port has a name"],
  ],
  [
    "endPort below the port",
    item("egressDeny", 'toPorts: [{ports: [{port: "10", endPort: 9}]}]'),
    ["spec.egressDeny[0].toPorts[0].ports[0].endPort: is ignored: it is below port 10"],
  ],
  ["a range", item("egress", 'toPorts: [{ports: [{port: "10", endPort: 10}]}]'), []],
  [
    "an empty list of L7 rules",
    item("ingress", `${AT}, rules: {http: []}}]`),
    [
      "spec.ingress[0].toPorts[0].rules.http: an empty list is no L7 rule: everything on these " +
        "ports is allowed",
    ],
  ],
  [
    "a header without a space",
    http("{headers: ['X-A:b', 'X-A: b', X-A]}"),
    [
      "spec.ingress[0].toPorts[0].rules.http[0].headers[0]: matches nothing: without a space it " +
        'is the name "X-A:b"',
    ],
  ],
  [
    "an empty list of peers, and what stands beside it",
    item("ingress", "fromEndpoints: [], fromEntities: [world]"),
    ["spec.ingress[0].fromEndpoints: an empty list selects nobody: the rule matches nothing"],
  ],
  [
    "a list that is only accepted empty",
    item("egress", "toGroups: []"),
    ["spec.egress[0].toGroups: an empty list selects nobody: the rule matches nothing"],
  ],
  ["one that leaves it to another", item("egress", "toFQDNs: [], toEntities: [world]"), []],
  [
    "a peer that is not understood",
    tiered("ingress: [{action: Accept, from: [{}]}], egress: [{action: Pass, to: [{}]}]"),
    [
      "spec.ingress[0].from[0]: the peer cannot be understood: the rule matches nothing",
      "spec.egress[0].to[0]: the peer cannot be understood: the rule denies everything",
    ],
  ],
  [
    "rules of a direction that policyTypes leaves out",
    policy(KNP, "podSelector: {}, ingress: [{}], egress: [{}], policyTypes: [Egress]"),
    ["spec.ingress: counts and turns default deny on, though policyTypes does not list it"],
  ],
  [
    "a description out of place",
    `${item("ingress", "").replace("{name: p}", "{name: p, description: a}")}description: b\n`,
    [
      "description: is ignored: a description stands in spec",
      "metadata.description: is ignored: a description stands in spec",
    ],
  ],
  ["rules without policyTypes", policy(KNP, "podSelector: {}, egress: [{}]"), []],
  [
    "the namespace of endpoints that have none",
    subject("reserved:init").replace("other", "''"),
    ["spec.endpointSelector: selects nobody: endpoints with reserved:init are in no namespace"],
  ],
  ["the same, clusterwide", subject("reserved:init", CCNP).replace("other", "''"), []],
])("warns of %s", (_name, text, expected) => {
  const { errors, warnings, documents } = parse(text);
  expect(errors).toEqual([]);
  expect(documents).toHaveLength(1);
  expect(warnings.map(({ path, message }) => `${path}: ${message}`)).toEqual(expected);
});
