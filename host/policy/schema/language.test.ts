/** Rules of the Cilium kinds that document.test.ts has no room for, with the words for them. */
import { expect, test } from "vitest";
import { CCNP, CNP, group, item, policy } from "../testing/policy-text.ts";
import { AT } from "../testing/refusals.ts";
import { parse } from "../testing/small-world.ts";

const node = (rest: string) => policy(CCNP, `nodeSelector: {}, ${rest}`);
const dns = "toPorts: [{ports: [{port: '53', protocol: UDP}], rules: {dns: [{matchName: a.b}]}}]";
const icmps = new Array(41).fill("{type: 8}").join(", ");
const listener = (kind: string, rest = "") =>
  `${AT}, listener: {name: l, envoyConfig: {kind: ${kind}, name: e}${rest}}}]`;
const P = "spec.ingress[0].toPorts[0]";
const E = "spec.egress[0].toPorts[0]";
const log = (value: string) =>
  policy(CNP, `endpointSelector: {}, ingress: [{}], log: {value: ${JSON.stringify(value)}}`);
const kafka = (rule: string) => item("ingress", `${AT}, rules: {kafka: [{${rule}}]}}]`);
const fqdn = (text: string) => item("egress", `toFQDNs: [{${text}}]`);

test.each<[string, string, string]>([
  [
    "names beside services",
    item("egress", "toServices: [{k8sService: {serviceName: a}}], toFQDNs: [{matchName: a.b}]"),
    "spec.egress[0].toFQDNs: combining ToServices and ToFQDNs is not supported yet",
  ],
  [
    "entities beside nodes",
    item("ingressDeny", "fromEntities: [host], fromNodes: [{}]"),
    "spec.ingressDeny[0].fromNodes: combining FromEntities and FromNodes is not supported yet",
  ],
  [
    "a service without a form",
    item("egress", "toServices: [{}]"),
    "spec.egress[0].toServices[0]: exactly one of k8sService or k8sServiceSelector must be set",
  ],
  [
    "a service of both forms",
    item(
      "egress",
      "toServices: [{k8sService: {serviceName: a}, k8sServiceSelector: {selector: {}}}]",
    ),
    "spec.egress[0].toServices[0]: exactly one of k8sService or k8sServiceSelector must be set",
  ],
  [
    "toRequires",
    item("egressDeny", "toRequires: [{}]"),
    "spec.egressDeny[0].toRequires: ToRequires is not supported: it was removed from the language",
  ],
  [
    "41 ICMP types",
    item("ingress", `icmps: [{fields: [${icmps}]}]`),
    "spec.ingress[0].icmps[0].fields: too many types, the max is 40",
  ],
  [
    "an ICMP type above 255",
    item("ingress", "icmps: [{fields: [{family: IPv6, type: 256}]}]"),
    "spec.ingress[0].icmps[0].fields[0].type: ICMP type 256 not found in IPv6",
  ],
  [
    "HTTP on the host's egress",
    node(`egress: [{${AT}, rules: {http: [{}]}}]}]`),
    `${E}.rules: L7 protocol HTTP is not supported on host egress yet`,
  ],
  [
    "a listener beside L7 rules",
    item("egress", listener("CiliumEnvoyConfig").replace(/}]$/, ", rules: {http: [{}]}}]")),
    `${E}.listener: Listener is not allowed with L7 rules (l)`,
  ],
  [
    "a namespaced listener in a clusterwide policy",
    item("egress", listener("CiliumEnvoyConfig"), CCNP),
    `${E}.listener: a clusterwide policy may not use a listener of kind CiliumEnvoyConfig`,
  ],
  [
    "a listener's priority",
    item("egress", listener("CiliumEnvoyConfig", ", priority: 101")),
    `${E}.listener.priority: must be at most 100`,
  ],
  [
    "authentication in a deny rule",
    item("ingressDeny", "fromEndpoints: [{}], authentication: {mode: required}"),
    "spec.ingressDeny[0].authentication: is not allowed in a deny rule",
  ],
  [
    "server names in a deny rule",
    item("egressDeny", `${AT}, serverNames: [a.b]}]`),
    "spec.egressDeny[0].toPorts[0].serverNames: is not allowed in a deny rule",
  ],
  [
    "no server names",
    item("egress", `${AT}, serverNames: []}]`),
    `${E}.serverNames: must have at least 1 item`,
  ],
  [
    "a long log value",
    log("x".repeat(33)),
    "spec.log.value: is not at most 32 printable characters",
  ],
  [
    "a log value of control characters",
    log("a\u0007b"),
    "spec.log.value: is not at most 32 printable characters",
  ],
  [
    "a Kafka key",
    kafka("apiKey: prodduce"),
    `${P}.rules.kafka[0].apiKey: invalid Kafka APIKey: "prodduce"`,
  ],
  ["a Kafka topic", kafka("topic: a/b"), `${P}.rules.kafka[0].topic: is not a topic name`],
  ["a Kafka role", kafka("role: read"), `${P}.rules.kafka[0].role: "read" is not allowed here`],
  [
    "no form of a name",
    fqdn(""),
    "spec.egress[0].toFQDNs[0]: one of matchName or matchPattern must be provided",
  ],
  [
    "a name with a wildcard",
    fqdn("matchName: '*.a'"),
    "spec.egress[0].toFQDNs[0].matchName: holds characters that no DNS name has",
  ],
  [
    "a long name",
    fqdn(`matchName: ${"a".repeat(256)}`),
    "spec.egress[0].toFQDNs[0].matchName: is longer than 255",
  ],
  [
    "a prefix that is none in a group",
    group("g", "10.0.0.0/8, 10.0.0.1"),
    'spec.externalCIDRs[1]: unable to parse CIDR: "10.0.0.1"',
  ],
  [
    "a group in a namespace",
    group("g", "").replace("{name: g", "{namespace: n, name: g"),
    "metadata.namespace: a group of address prefixes has no namespace",
  ],
  [
    "a service among policies",
    "apiVersion: v1\nkind: Service\nmetadata: {name: a}\n",
    "kind: Service is not a policy; the agent reads it from --cluster-state",
  ],
])("refuses %s", (_, text, expected) => {
  const { errors } = parse(text);
  expect(errors.map(({ path, message }) => `${path}: ${message}`)).toEqual([expected]);
});

test.each<[string, string]>([
  ["DNS on the host's egress", node(`egress: [{${dns}}]`)],
  [
    "a listener of a clusterwide policy",
    item("egress", listener("CiliumClusterwideEnvoyConfig"), CCNP),
  ],
  [
    "server names with L7 rules where TLS ends",
    item(
      "ingress",
      `${AT}, serverNames: [a.b], terminatingTLS: {secret: {name: s}}, rules: {http: [{}]}}]`,
    ),
  ],
  [
    "an HTTP rule on a range",
    item(
      "ingress",
      "toPorts: [{ports: [{port: '1', endPort: 9, protocol: TCP}], rules: {http: [{}]}}]",
    ),
  ],
  [
    "40 ICMP types",
    item("ingress", `icmps: [{fields: [${new Array(40).fill("{type: 8}").join(", ")}]}]`),
  ],
  [
    "a Kafka key in any case",
    kafka("apiKey: OffsetForLeaderEpoch, apiVersion: '1', clientID: c, topic: a.b_c-d"),
  ],
  ["32 printable characters of any script", log("ж".repeat(32))],
  ["an old version of a group", group("g", "10.0.0.0/8").replace("/v2", "/v2alpha1")],
])("takes %s", (_, text) => {
  expect(parse(text).errors).toEqual([]);
});
