/** What Cilium's policies become: every kind of peer, port and switch, and the traps among them. */
import { describe, expect, test } from "vitest";
import { parsePolicyFile } from "../document.ts";
import { groupOf } from "../kinds.ts";
import type { PolicySources } from "../sources.ts";
import { CCNP, item, policy } from "../testing/policy-text.ts";
import { itemTexts, selectorText } from "../testing/rule-text.ts";
import { parse } from "../testing/small-world.ts";
import { translate } from "./index.ts";

const service = (name: string, namespace: string, selector?: Record<string, string>) => ({
  ...{ name, namespace, selector, labels: { tier: name } },
  backends: ["10.1.0.1", "fd00::1"],
});
const SOURCES: PolicySources = {
  cidrGroups: () => [
    groupOf({ name: "office", labels: { team: "a" } }, ["10.0.0.0/8", "fd00::/8", "10.0.0.0/8"]),
    groupOf({ name: "home", labels: { team: "b" } }, ["192.168.0.0/16"]),
  ],
  services: () => [
    service("web", "shop", { app: "web" }),
    service("web", "test", { app: "web" }),
    service("db", "shop"),
  ],
};

function rulesOf(text: string) {
  const { documents, errors } = parsed(text);
  expect(errors).toEqual([]);
  const options = { cluster: "local", revision: 3, sources: SOURCES };
  return documents.flatMap((document) => translate(document, options));
}

const parsed = (text: string) => parse(text);
const NS = "io.kubernetes.pod.namespace";
const LOCAL = "k8s:CLUSTER=local";
const OWN = `${LOCAL} & k8s:NS=default`;

describe("peers", () => {
  test.each<[string, string, string, string[]]>([
    [
      "absent, with ports",
      "ingress",
      "toPorts: [{ports: [{port: '80', protocol: TCP}]}]",
      ["ingress allow [*] on [6/80]"],
    ],
    ["absent, without ports", "ingress", "", []],
    [
      "an empty list, with ports",
      "ingress",
      "fromEndpoints: [], toPorts: [{ports: [{port: '80', protocol: TCP}]}]",
      ["ingress allow [] on [6/80]"],
    ],
    ...["fromNodes", "fromEntities", "fromCIDR", "fromCIDRSet", "fromGroups"].map(
      (field): [string, string, string, string[]] => [
        `${field}: [] with ports`,
        "ingress",
        `${field}: [], toPorts: [{ports: [{port: '80', protocol: TCP}]}]`,
        ["ingress allow [] on [6/80]"],
      ],
    ),
    ...["toFQDNs", "toGroups", "toServices"].map((field): [string, string, string, string[]] => [
      `${field}: [] with ports (fails closed)`,
      "egress",
      `${field}: [], toPorts: [{ports: [{port: '80', protocol: TCP}]}]`,
      ["egress allow [] on [6/80]"],
    ]),
    ["all of the namespace", "ingress", "fromEndpoints: [{}]", [`ingress allow [${OWN}]`]],
    [
      "labels",
      "ingress",
      "fromEndpoints: [{matchLabels: {app: a}}, {matchLabels: {'k8s:b': c}}]",
      [`ingress allow [any:app=a & ${OWN} | ${OWN} & k8s:b=c]`],
    ],
    [
      "another namespace",
      "ingress",
      `fromEndpoints: [{matchLabels: {'k8s:${NS}': prod}}]`,
      [`ingress allow [${LOCAL} & k8s:NS=prod]`],
    ],
    [
      "namespaces by label",
      "ingress",
      "fromEndpoints: [{matchLabels: {'k8s:io.cilium.k8s.namespace.labels.env': prod}}]",
      [`ingress allow [${LOCAL} & k8s:NSLABEL.env=prod]`],
    ],
    [
      "another cluster",
      "ingress",
      "fromEndpoints: [{matchLabels: {'k8s:io.cilium.k8s.policy.cluster': far}}]",
      ["ingress allow [k8s:CLUSTER=far & k8s:NS=default]"],
    ],
    [
      "a reserved label",
      "ingress",
      "fromEndpoints: [{matchLabels: {'reserved:host': ''}}]",
      ["ingress allow [reserved:host=]"],
    ],
    [
      "prefixes, host bits dropped",
      "egress",
      "toCIDR: [10.1.2.3/8, 'fd00::1/128']",
      ["egress allow [10.0.0.0/8 | fd00::1/128]"],
    ],
    [
      "exceptions of their own entry",
      "egress",
      "toCIDRSet: [{cidr: 10.0.0.0/8, except: [10.1.0.0/16]}, {cidr: 10.1.0.0/16}]",
      ["egress allow [10.0.0.0/8 -10.1.0.0/16 | 10.1.0.0/16]"],
    ],
    [
      "a group by name",
      "ingress",
      "fromCIDRSet: [{cidrGroupRef: office, except: [10.9.0.0/16]}]",
      ["ingress allow [group cidrgroup:NAME/office -10.9.0.0/16]"],
    ],
    [
      "groups by label",
      "ingressDeny",
      "fromCIDRSet: [{cidrGroupSelector: {matchExpressions: [{key: team, operator: In, values: [b, c]}]}}]",
      ["ingress deny [group cidrgroup:team=b,c]"],
    ],
    [
      "groups by label with their source",
      "ingress",
      "fromCIDRSet: [{cidrGroupSelector: {matchLabels: {'cidrgroup:team': b}}}]",
      ["ingress allow [group cidrgroup:team=b]"],
    ],
    [
      "a group that is not there",
      "ingress",
      "fromCIDRSet: [{cidrGroupRef: none}], toPorts: [{ports: [{port: '1', protocol: UDP}]}]",
      ["ingress allow [group cidrgroup:NAME/none] on [17/1]"],
    ],
    [
      "nodes",
      "ingress",
      "fromNodes: [{matchLabels: {role: a}}, {}]",
      ["ingress allow [any:role=a & reserved:remote-node | reserved:remote-node]"],
    ],
    [
      "a service with a selector",
      "egress",
      "toServices: [{k8sService: {serviceName: web, namespace: shop}}]",
      [`egress allow [${LOCAL} & k8s:NS=shop & k8s:app=web]`],
    ],
    [
      "services of any namespace",
      "egress",
      "toServices: [{k8sService: {serviceName: web}}], toPorts: [{ports: [{port: '80', protocol: TCP}]}]",
      [
        `egress allow [${LOCAL} & k8s:NS=shop & k8s:app=web | ${LOCAL} & k8s:NS=test & k8s:app=web] on [6/80]`,
      ],
    ],
    [
      "a service without a selector, denied",
      "egressDeny",
      "toServices: [{k8sServiceSelector: {selector: {matchLabels: {tier: db}}}}]",
      ["egress deny [10.1.0.1/32 | fd00::1/128]"],
    ],
    [
      "a service that is not there",
      "egress",
      "toServices: [{k8sService: {serviceName: none}}], toPorts: [{ports: [{port: '80', protocol: TCP}]}]",
      ["egress allow [] on [6/80]"],
    ],
    [
      "names, for the DNS plugin",
      "egress",
      "toFQDNs: [{matchName: Example.com.}, {matchPattern: '*.example.com'}]",
      ["egress allow [fqdn:example.com | fqdn:*.example.com]"],
    ],
  ])("%s", (_, direction, fields, expected) => {
    expect(itemTexts(rulesOf(item(direction, fields)))).toEqual(expected);
  });

  test.each<[string, string[]]>([
    ["{}", [`${LOCAL} & k8s:NS`]],
    ["{matchLabels: {app: a}}", [`any:app=a & ${LOCAL} & k8s:NS`]],
    ["{matchLabels: {'reserved:host': ''}}", ["reserved:host="]],
  ])("of a clusterwide policy: %s is never the host or the world", (selector, expected) => {
    const [rule] = rulesOf(item("ingress", `fromEndpoints: [${selector}]`, CCNP));
    expect(rule?.items.flatMap(({ peers }) => peers.map(selectorText))).toEqual(expected);
  });

  const parts = ["host", "remote-node", "init", "ingress", "health", "unmanaged", "kube-apiserver"];
  const reserved = parts.map((name) => `reserved:${name}`);
  test.each<[string, string[]]>([
    ["all", ["*"]],
    ["none", []],
    ["world", ["reserved:world", "reserved:world-ipv4", "reserved:world-ipv6"]],
    ["cluster", [...reserved, LOCAL]],
    ["cluster-mesh", [...reserved, "k8s:CLUSTER"]],
    ...parts.map((name): [string, string[]] => [name, [`reserved:${name}`]]),
  ])("entity %s", (entity, expected) => {
    const [rule] = rulesOf(item("ingress", `fromEntities: [${entity}]`));
    expect(rule?.items.flatMap(({ peers }) => peers.map(selectorText))).toEqual(expected);
  });
});

test("peers are of any cluster that they do not name, if the agent has the option", () => {
  const cluster = "io.cilium.k8s.policy.cluster";
  const { documents } = parsed(`
apiVersion: cilium.io/v2
kind: CiliumNetworkPolicy
metadata: { name: p }
spec:
  endpointSelector: {}
  ingress:
    - fromEndpoints: [{ matchLabels: { app: a } }, { matchLabels: { ${cluster}: b } }]
    - fromEntities: [cluster]
---
apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata: { name: p }
spec: { podSelector: {}, ingress: [{ from: [{ podSelector: {} }] }] }
---
apiVersion: policy.networking.k8s.io/v1alpha2
kind: ClusterNetworkPolicy
metadata: { name: p }
spec:
  tier: Admin
  priority: 1
  subject: { namespaces: {} }
  ingress: [{ action: Accept, from: [{ namespaces: {} }] }]
`);
  const options = { cluster: "local", anyCluster: true, revision: 1, sources: SOURCES };
  const [pods, entity, ...others] = itemTexts(documents.flatMap((one) => translate(one, options)));
  expect(pods).toBe("ingress allow [any:app=a & k8s:NS=default | any:CLUSTER=b & k8s:NS=default]");
  expect(entity).toContain("k8s:CLUSTER=local");
  expect(others).toEqual(["ingress allow [k8s:NS=default]", "ingress allow @1 [k8s:NS]"]);
});

describe("ports", () => {
  const ports = (text: string) => `toPorts: [{ports: [${text}]}]`;
  test.each<[string, string]>([
    [ports("{port: '80'}"), "6/80 | 17/80 | 132/80"],
    [ports("{port: '80', protocol: ANY}"), "6/80 | 17/80 | 132/80"],
    [ports("{port: '0', protocol: UDP}"), "17/all"],
    [ports("{port: '80', endPort: 90, protocol: TCP}"), "6/80-90"],
    [ports("{port: '80', endPort: 79, protocol: TCP}"), "6/80"],
    [ports("{port: HTTP, endPort: 90, protocol: TCP}"), "6/http"],
    [ports("{port: '0x10', protocol: TCP}"), "6/0x10"],
    [ports("{port: '1', protocol: SCTP}, {port: '2', protocol: TCP}"), "132/1 | 6/2"],
    [
      ports("{protocol: VRRP}, {protocol: IGMP, port: '0'}, {protocol: GRE}"),
      "112/all | 2/all | 47/all",
    ],
    [
      ports("{protocol: IPIP}, {protocol: IPV6}, {protocol: ESP}, {protocol: AH}"),
      "4/all | 41/all | 50/all | 51/all",
    ],
    ["icmps: [{fields: [{type: 8}, {type: EchoReply}]}]", "1/2048 | 1/0"],
    [
      "icmps: [{fields: [{family: IPv6, type: '128'}, {family: IPv6, type: PacketTooBig}]}]",
      "58/32768 | 58/512",
    ],
  ])("%s is %s", (fields, expected) => {
    expect(itemTexts(rulesOf(item("ingress", fields)))).toEqual([
      `ingress allow [*] on [${expected}]`,
    ]);
  });

  test("left out are all of them, if the agent has the option", () => {
    const text = item("ingress", "toPorts: [{ports: [{protocol: TCP}]}]");
    expect(parsed(text).errors).toHaveLength(1);
    const deps = { checkPattern: () => undefined, extendedProtocols: true };
    const { documents } = parsePolicyFile(text, "f.yaml", deps);
    const options = { cluster: "local", revision: 1, sources: SOURCES };
    expect(documents.flatMap((one) => itemTexts(translate(one, options)))).toEqual([
      "ingress allow [*] on [6/all]",
    ]);
  });

  test.each([
    [false, "http: [{}]", "port must be specified"],
    [true, "http: [{}]", "L7 rules can not be used when a port is 0"],
    [true, "http: []", undefined],
  ])("left out beside L7 rules (%s, %s)", (extendedProtocols, rules, message) => {
    const ports = `toPorts: [{ports: [{protocol: TCP}], rules: {${rules}}}]`;
    const deps = { checkPattern: () => undefined, extendedProtocols };
    const { errors } = parsePolicyFile(item("ingress", ports), "f.yaml", deps);
    expect(errors.map((one) => one.message)).toEqual(message === undefined ? [] : [message]);
  });
});

describe("a rule", () => {
  const both = "ingress: [{fromEndpoints: [{}]}], egress: [{toEndpoints: [{}]}]";
  test.each<[string, string, { ingress: boolean; egress: boolean }]>([
    ["with an empty item", "ingress: [{}]", { ingress: true, egress: false }],
    ["that only denies", "egressDeny: [{toEntities: [all]}]", { ingress: false, egress: true }],
    ["with an empty list beside", "ingress: [], egress: [{}]", { ingress: false, egress: true }],
    [
      "switched off",
      `enableDefaultDeny: {ingress: false}, ${both}`,
      { ingress: false, egress: true },
    ],
    [
      "switched on",
      "enableDefaultDeny: {egress: true}, ingress: [{}]",
      { ingress: true, egress: true },
    ],
  ])("%s denies by default", (_, fields, expected) => {
    const [rule] = rulesOf(policy("CiliumNetworkPolicy", `endpointSelector: {}, ${fields}`));
    expect(rule?.defaultDeny).toEqual(expected);
  });

  test.each<[string, string, string]>([
    ["CiliumNetworkPolicy", "{}", "k8s:NS=default"],
    [
      "CiliumNetworkPolicy",
      `{matchLabels: {'k8s:${NS}': other, app: a}}`,
      "any:app=a & k8s:NS=default",
    ],
    [
      "CiliumNetworkPolicy",
      "{matchLabels: {'reserved:init': ''}}",
      "k8s:NS=default & reserved:init=",
    ],
    [CCNP, "{matchLabels: {'reserved.init': ''}}", "reserved:init="],
    [
      "CiliumNetworkPolicy",
      "{matchExpressions: [{key: 'reserved:init', operator: DoesNotExist}]}",
      "!reserved:init & k8s:NS=default",
    ],
    [CCNP, "{}", ""],
    [CCNP, `{matchLabels: {'k8s:${NS}': other}}`, "k8s:NS=other"],
  ])("of %s with %s selects", (kind, selector, expected) => {
    const [rule] = rulesOf(policy(kind, `endpointSelector: ${selector}, ingress: [{}]`));
    expect(rule && selectorText(rule.subject)).toBe(expected);
    expect(rule?.scope).toBeUndefined();
  });

  test("with a node selector is about nodes", () => {
    const text = policy(
      CCNP,
      "nodeSelector: {matchLabels: {role: a}}, ingress: [{fromEntities: [all]}]",
    );
    const [rule] = rulesOf(text);
    expect(rule).toMatchObject({ scope: "node" });
    expect(rule && selectorText(rule.subject)).toBe("any:role=a");
  });

  test("keeps labels, uid and log value for those who explain decisions", () => {
    const text = policy(
      "CiliumNetworkPolicy",
      "endpointSelector: {}, ingress: [{}], description: why, log: {value: für Prüfer}, " +
        "labels: [{key: team, value: a, source: user}, 'b=c']",
    ).replace("{name: p}", "{name: p, namespace: shop, uid: u-1}");
    expect(rulesOf(text)[0]?.origin).toEqual({
      kind: "CiliumNetworkPolicy",
      name: "p",
      namespace: "shop",
      revision: 3,
      log: "für Prüfer",
      labels: [
        "k8s:io.cilium.k8s.policy.derived-from=CiliumNetworkPolicy",
        "k8s:io.cilium.k8s.policy.name=p",
        "k8s:io.cilium.k8s.policy.namespace=shop",
        "k8s:io.cilium.k8s.policy.uid=u-1",
        "unspec:b=c",
        "user:team=a",
      ],
    });
  });
});
