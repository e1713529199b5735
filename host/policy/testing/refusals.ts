/** For every row of ../refusal.ts: policies that have the field, and where it stands in them. */
import type { RefusalName } from "../refusal.ts";
import { CCNP, item, KNP, policy, tiered } from "./policy-text.ts";

/** The beginning of `toPorts` with TCP 443; the item is still open. */
export const AT = 'toPorts: [{ports: [{port: "443", protocol: TCP}]';
const E = "spec.egress[0]";
const I = "spec.ingress[0]";
const SECRET = "{secret: {namespace: n, name: s}}";
const HTTP = `${I}.toPorts[0].rules.http[0].headerMatches[0]`;
const http = (match: string) =>
  item("ingress", `${AT}, rules: {http: [{headerMatches: [${match}]}]}}]`);
const protocol = (name: string) => item("ingress", `toPorts: [{ports: [{protocol: ${name}}]}]`);
const admin = (kind: string, rest: string) => policy(kind, `subject: {namespaces: {}}${rest}`);

export const CASES: readonly (readonly [RefusalName, string, string])[] = [
  ["hostRules", "spec.nodeSelector", policy(CCNP, "nodeSelector: {}, ingress: [{}]")],
  ["tiers", "spec.tier", tiered("ingress: []")],
  ["tiers", "spec", admin("AdminNetworkPolicy", ", priority: 1")],
  ["tiers", "spec", admin("BaselineAdminNetworkPolicy", "")],
  ["nodes", `${I}.fromNodes`, item("ingress", "fromNodes: [{}]")],
  ["nodes", `${E}.toNodes`, item("egress", "toNodes: [{matchLabels: {a: b}}]")],
  ["nodes", "spec.egressDeny[0].toNodes", item("egressDeny", "toNodes: [{}]")],
  [
    "nodes",
    `${E}.to[0].nodes`,
    tiered("egress: [{action: Deny, to: [{nodes: {matchLabels: {a: b}}}]}]"),
  ],
  ["groups", `${I}.fromGroups`, item("ingress", "fromGroups: [{aws: {region: r}}]")],
  ["groups", `${E}.toGroups`, item("egress", "toGroups: [{aws: {securityGroupsIds: [sg-1]}}]")],
  ["fqdns", `${E}.toFQDNs`, item("egress", "toFQDNs: [{matchPattern: '*.a'}]")],
  [
    "fqdns",
    `${E}.to[0].domainNames`,
    tiered("egress: [{action: Accept, to: [{domainNames: ['*.example.com']}]}]"),
  ],
  [
    "namedPorts",
    `${E}.toPorts[0].ports[0].port`,
    item("egress", "toPorts: [{ports: [{port: http}]}]"),
  ],
  [
    "namedPorts",
    `${E}.ports[0].port`,
    policy(KNP, "podSelector: {}, egress: [{ports: [{port: http}]}]"),
  ],
  [
    "namedPorts",
    `${E}.protocols[0]`,
    tiered(
      "egress: [{action: Deny, to: [{pods: {namespaceSelector: {}, podSelector: {}}}], " +
        "protocols: [{destinationNamedPort: http}]}]",
    ),
  ],
  ...["VRRP", "IGMP", "GRE", "IPIP", "IPV6", "ESP", "AH"].map(
    (name) => ["extendedProtocols", `${I}.toPorts[0].ports[0].protocol`, protocol(name)] as const,
  ),
  ...["required", "test-always-fail"].map(
    (mode) =>
      [
        "authentication",
        `${I}.authentication.mode`,
        item("ingress", `fromEndpoints: [{}], authentication: {mode: ${mode}}`),
      ] as const,
  ),
  ["tls", `${I}.toPorts[0].terminatingTLS`, item("ingress", `${AT}, terminatingTLS: ${SECRET}}]`)],
  ["tls", `${E}.toPorts[0].originatingTLS`, item("egress", `${AT}, originatingTLS: ${SECRET}}]`)],
  [
    "serverNames",
    `${E}.toPorts[0].serverNames`,
    item("egress", `${AT}, serverNames: ['*.example.com']}]`),
  ],
  [
    "listeners",
    `${E}.toPorts[0].listener`,
    item("egress", `${AT}, listener: {name: l, envoyConfig: {name: e}}}]`),
  ],
  [
    "dns",
    `${E}.toPorts[0].rules.dns`,
    item("egress", "toPorts: [{ports: [{port: '53'}], rules: {dns: [{matchPattern: '*'}]}}]"),
  ],
  ["kafka", `${I}.toPorts[0].rules.kafka`, item("ingress", `${AT}, rules: {kafka: [{}]}}]`)],
  ["headerActions", `${HTTP}.mismatch`, http("{name: a, value: b, mismatch: REPLACE}")],
  ["secrets", `${HTTP}.secret`, http("{name: a, secret: {name: s}}")],
];
