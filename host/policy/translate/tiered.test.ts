/** ClusterNetworkPolicy and its predecessors: what their schema refuses and what they become. */
import { describe, expect, test } from "vitest";
import { NO_SOURCES } from "../sources.ts";
import { KCNP, policy, tiered } from "../testing/policy-text.ts";
import { itemTexts, selectorText } from "../testing/rule-text.ts";
import { parse } from "../testing/small-world.ts";
import { translate } from "./index.ts";

function rulesOf(text: string) {
  const { documents, errors } = parse(text);
  expect(errors).toEqual([]);
  const options = { cluster: "local", revision: 3, sources: NO_SOURCES };
  return documents.flatMap((document) => translate(document, options));
}

const PODS = "k8s:CLUSTER=local & k8s:NS";
const ingress = (rule: string) => tiered(`ingress: [{${rule}}]`);
const egress = (rule: string) => tiered(`egress: [{${rule}}]`);
const anp = (rest: string, kind = "AdminNetworkPolicy") =>
  policy(kind, `subject: {namespaces: {}}, ${rest}`);

describe("translate()", () => {
  test.each<[string, string, string[]]>([
    [
      "namespaces",
      ingress("action: Accept, from: [{namespaces: {}}]"),
      [`ingress allow @7 [${PODS}]`],
    ],
    [
      "namespaces by label, also by what they lack",
      ingress(
        "action: Deny, from: [{namespaces: {matchExpressions: " +
          "[{key: env, operator: NotIn, values: [a]}]}}]",
      ),
      [`ingress deny @7 [${PODS} & k8s:NSLABEL.env!=a]`],
    ],
    [
      "pods of namespaces",
      ingress(
        "action: Pass, from: [{pods: {namespaceSelector: {matchLabels: {env: a}}, " +
          "podSelector: {matchLabels: {app: b}}}}]",
      ),
      ["ingress pass @7 [k8s:CLUSTER=local & k8s:NS & k8s:NSLABEL.env=a & k8s:app=b]"],
    ],
    [
      "pods by labels of any source, of namespaces all the same",
      ingress(
        "action: Accept, from: [{pods: {podSelector: {matchExpressions: " +
          "[{key: 'reserved:host', operator: Exists}]}}}]",
      ),
      [`ingress allow @7 [${PODS} & reserved:host]`],
    ],
    [
      "pods of a cluster that is named",
      ingress(
        "action: Deny, from: [{pods: {podSelector: {matchLabels: " +
          "{io.cilium.k8s.policy.cluster: far}}}}]",
      ),
      ["ingress deny @7 [k8s:CLUSTER=far & k8s:NS]"],
    ],
    [
      "networks",
      egress("action: Deny, to: [{networks: [10.0.0.0/8, 'fd00::/8']}]"),
      ["egress deny @7 [10.0.0.0/8 | fd00::/8]"],
    ],
    [
      "every node",
      egress("action: Deny, to: [{nodes: {}}]"),
      ["egress deny @7 [reserved:remote-node | reserved:host]"],
    ],
    [
      "domain names, a wildcard of any depth",
      egress("action: Accept, to: [{domainNames: ['*.Example.com', example.org.]}]"),
      ["egress allow @7 [fqdn:**.example.com | fqdn:example.org]"],
    ],
    [
      "protocols",
      ingress(
        "action: Accept, from: [{namespaces: {}}], protocols: [" +
          "{tcp: {destinationPort: {number: 80}}}, " +
          "{udp: {destinationPort: {range: {start: 5, end: 7}}}}, " +
          "{sctp: {destinationPort: {number: 1}}}, {destinationNamedPort: HTTP}]",
      ),
      [`ingress allow @7 [${PODS}] on [6/80 | 17/5-7 | 132/1 | 6/http | 17/http | 132/http]`],
    ],
    [
      "the order of rules",
      tiered(
        "ingress: [{action: Accept, from: [{namespaces: {}}]}, " +
          "{action: Deny, from: [{namespaces: {}}]}]",
      ),
      [`ingress allow @7 [${PODS}]`, `ingress deny @7.01 [${PODS}]`],
    ],
    [
      "an AdminNetworkPolicy",
      anp(
        "priority: 9, egress: [{action: Allow, to: [{namespaces: {}}], ports: [" +
          "{portNumber: {port: 80}}, {portRange: {protocol: UDP, start: 1, end: 2}}, " +
          "{namedPort: web}]}]",
      ),
      [`egress allow @9 [${PODS}] on [6/80 | 17/1-2 | 6/web | 17/web | 132/web]`],
    ],
    [
      "a BaselineAdminNetworkPolicy",
      anp("ingress: [{action: Deny, from: [{namespaces: {}}]}]", "BaselineAdminNetworkPolicy"),
      [`ingress deny @0 [${PODS}]`],
    ],
  ])("translates %s", (_, text, expected) => {
    expect(itemTexts(rulesOf(text))).toEqual(expected);
  });

  test.each<[string, string]>([
    ["Accept", "ingress allow @7 []"],
    ["Deny", "ingress deny @7 [*]"],
    ["Pass", "ingress deny @7 [*]"],
  ])("fails closed when %s has a peer that is not understood", (action, expected) => {
    const ports = "protocols: [{tcp: {destinationPort: {number: 80}}}]";
    const text = ingress(`action: ${action}, from: [{}, {namespaces: {}}], ${ports}`);
    expect(itemTexts(rulesOf(text))).toEqual([expected]);
  });

  test.each<[string, string, string]>([
    ["namespaces: {}", "k8s:NS", "all pods"],
    ["namespaces: {matchLabels: {a: b}}", "k8s:NS & k8s:NSLABEL.a=b", "pods of namespaces"],
    [
      "pods: {namespaceSelector: {matchLabels: {a: b}}, podSelector: {matchLabels: {c: d}}}",
      "k8s:NS & k8s:NSLABEL.a=b & k8s:c=d",
      "some pods",
    ],
  ])("selects by {%s}", (subject, expected) => {
    const text = policy(KCNP, `tier: Baseline, priority: 0, subject: {${subject}}`);
    const [rule] = rulesOf(text);
    expect(rule && selectorText(rule.subject)).toBe(expected);
    expect(rule?.tier).toBe("baseline");
    expect(rule?.defaultDeny).toEqual({ ingress: false, egress: false });
  });
});

describe("the schema", () => {
  const accept = "action: Accept, from: [{namespaces: {}}]";
  const many = new Array(26).fill(`{${accept}}`).join(", ");
  test.each<[string, string, string]>([
    [
      "namespaces and pods in one subject",
      policy(
        KCNP,
        "tier: Admin, priority: 1, subject: {namespaces: {}, pods: {namespaceSelector: {}, " +
          "podSelector: {}}}",
      ),
      "spec.subject: exactly one of namespaces, pods must be set",
    ],
    [
      "no subject",
      policy(KCNP, "tier: Admin, priority: 1, subject: {}"),
      "spec.subject: exactly one of namespaces, pods must be set",
    ],
    [
      "a priority above 1000",
      policy(KCNP, "tier: Admin, priority: 1001, subject: {namespaces: {}}"),
      "spec.priority: must be at most 1000",
    ],
    [
      "the tier of NetworkPolicy",
      policy(KCNP, "tier: NetworkPolicy, priority: 1, subject: {namespaces: {}}"),
      'spec.tier: "NetworkPolicy" is not allowed here',
    ],
    [
      "the action of the older kind",
      ingress("action: Allow, from: [{namespaces: {}}]"),
      'spec.ingress[0].action: "Allow" is not allowed here',
    ],
    [
      "no peers",
      ingress("action: Deny, from: []"),
      "spec.ingress[0].from: must have at least 1 item",
    ],
    ["26 rules", tiered(`ingress: [${many}]`), "spec.ingress: must have at most 25 items"],
    [
      "two kinds of peer in one",
      egress("action: Deny, to: [{networks: [10.0.0.0/8], nodes: {}}]"),
      "spec.egress[0].to[0]: only one of namespaces, pods, nodes, networks, domainNames may be set",
    ],
    [
      "networks on ingress",
      ingress("action: Deny, from: [{networks: [10.0.0.0/8]}]"),
      'spec.ingress[0].from[0].networks: unknown field "networks"',
    ],
    [
      "a network that is none",
      egress("action: Deny, to: [{networks: [10.0.0.0]}]"),
      'spec.egress[0].to[0].networks[0]: unable to parse CIDR: "10.0.0.0"',
    ],
    [
      "a named port of networks",
      egress(
        "action: Deny, to: [{networks: [10.0.0.0/8]}], protocols: [{destinationNamedPort: a}]",
      ),
      "spec.egress[0].protocols: networks/nodes/domainNames peer cannot be set with namedPorts " +
        "since there are no namedPorts for networks/nodes/domainNames",
    ],
    [
      "denied domain names",
      egress("action: Deny, to: [{domainNames: [example.com]}]"),
      "spec.egress[0].to[0].domainNames: domainNames is only supported for Accept rules",
    ],
    [
      "a domain of one label",
      egress("action: Accept, to: [{domainNames: [com]}]"),
      "spec.egress[0].to[0].domainNames[0]: is not a domain name",
    ],
    [
      "a wildcard inside a domain",
      egress("action: Accept, to: [{domainNames: [a.*.com]}]"),
      "spec.egress[0].to[0].domainNames[0]: is not a domain name",
    ],
    [
      "a range backwards",
      ingress(`${accept}, protocols: [{tcp: {destinationPort: {range: {start: 7, end: 7}}}}]`),
      "spec.ingress[0].protocols[0].tcp.destinationPort.range.start: Start port must be less than " +
        "End port",
    ],
    [
      "two protocols in one",
      ingress(
        `${accept}, protocols: [{tcp: {destinationPort: {number: 1}}, udp: {destinationPort: {number: 1}}}]`,
      ),
      "spec.ingress[0].protocols[0]: exactly one of tcp, udp, sctp, destinationNamedPort must be set",
    ],
    [
      "port 0",
      ingress(`${accept}, protocols: [{tcp: {destinationPort: {number: 0}}}]`),
      "spec.ingress[0].protocols[0].tcp.destinationPort.number: must be at least 1",
    ],
    [
      "a namespace",
      tiered("ingress: []").replace("{name: p}", "{name: p, namespace: n}"),
      "metadata.namespace: a clusterwide policy has no namespace",
    ],
    [
      "another baseline policy",
      anp("ingress: []", "BaselineAdminNetworkPolicy").replace("name: default", "name: other"),
      'metadata.name: Only one baseline admin network policy with metadata.name="default" can be ' +
        "created in the cluster",
    ],
    [
      "Pass in the baseline",
      anp("ingress: [{action: Pass, from: [{namespaces: {}}]}]", "BaselineAdminNetworkPolicy"),
      'spec.ingress[0].action: "Pass" is not allowed here',
    ],
    [
      "another group's kind of that name",
      tiered("ingress: []").replace(/^apiVersion: .*/, "apiVersion: crd.antrea.io/v1beta1"),
      'apiVersion: "crd.antrea.io/v1beta1" is not allowed here',
    ],
  ])("refuses %s", (_, text, expected) => {
    const { errors } = parse(text);
    expect(errors.map(({ path, message }) => `${path}: ${message}`)).toEqual([expected]);
  });
});
