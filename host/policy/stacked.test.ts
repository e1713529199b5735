/**
 * Policies that meet: several NetworkPolicies on one pod, one rule more or in another order in the
 * tiers around them, and Cilium's kinds beside both. A row says who reaches the pod x/a.
 */
import { describe, expect, test } from "vitest";
import { destinationsOf, EVERYONE, type Packet, sourcesOf } from "./testing/pod-matrix.ts";

const tcp = (port: number): Packet => ({ protocol: 6, port });
const udp = (port: number): Packet => ({ protocol: 17, port });
const sctp = (port: number): Packet => ({ protocol: 132, port });
const TCP80 = tcp(80);

const CLUSTERWIDE = /^(Cluster|Admin|Baseline|CiliumClusterwide)/;
const object = (version: string, kind: string, name: string, spec: string) =>
  `apiVersion: ${version}\nkind: ${kind}\n` +
  `metadata: {name: ${name}${CLUSTERWIDE.test(kind) ? "" : ", namespace: x"}}\nspec: {${spec}}\n`;
const A = "podSelector: {matchLabels: {pod: a}}";
const knp = (spec: string, name = "k") =>
  object("networking.k8s.io/v1", "NetworkPolicy", name, spec);
const cnp = (spec: string, name = "c") =>
  object("cilium.io/v2", "CiliumNetworkPolicy", name, `endpointSelector: {}, ${spec}`);
const ccnp = (spec: string) =>
  object("cilium.io/v2", "CiliumClusterwideNetworkPolicy", "w", `endpointSelector: {}, ${spec}`);
const X = "subject: {namespaces: {matchLabels: {ns: x}}}";
const GROUP = "policy.networking.k8s.io";
const tiered = (tier: string, rules: string, priority = 5) =>
  object(
    `${GROUP}/v1alpha2`,
    "ClusterNetworkPolicy",
    `${tier.toLowerCase()}-${priority}`,
    `tier: ${tier}, priority: ${priority}, ${X}, ${rules}`,
  );
const anp = (rules: string, priority = 5) =>
  object(
    `${GROUP}/v1alpha1`,
    "AdminNetworkPolicy",
    `a${priority}`,
    `priority: ${priority}, ${X}, ${rules}`,
  );
const banp = (rules: string) =>
  object(`${GROUP}/v1alpha1`, "BaselineAdminNetworkPolicy", "default", `${X}, ${rules}`);

const selector = (namespace: string) => `{matchLabels: {ns: ${namespace}}}`;
const ingress = (...rules: string[]) => `ingress: [${rules}]`;
/** A rule of a tier about the pods of a namespace; `more` are ports. */
const rule = (action: string, namespace: string, more = "") =>
  `{action: ${action}, from: [{namespaces: ${selector(namespace)}}]${more}}`;
const ON80 = ", protocols: [{tcp: {destinationPort: {number: 80}}}]";
const OLD80 = ", ports: [{portNumber: {protocol: TCP, port: 80}}]";
const from = (namespace: string, more = "") =>
  `{from: [{namespaceSelector: ${selector(namespace)}}]${more}}`;
const KNP_Y = knp(`podSelector: {}, ${ingress(from("y"))}`);
/** An endpoint selector of another namespace. */
const podsOf = (namespace: string) =>
  `[{matchLabels: {io.kubernetes.pod.namespace: ${namespace}}}]`;
const CNP80 = 'toPorts: [{ports: [{port: "80", protocol: TCP}]}]';
const NO_Y = "x z out";

type Row = [name: string, texts: string[], expected: string, packet?: Packet];
const sources = (rows: readonly Row[]) =>
  test.each(rows)("%s", (_, texts, expected, packet = TCP80) => {
    expect(sourcesOf(texts, "x/a", packet)).toBe(expected);
    expect(sourcesOf(texts.toReversed(), "x/a", packet)).toBe(expected);
  });
const destinations = (rows: readonly Row[]) =>
  test.each(rows)("%s", (_, texts, expected, packet = TCP80) => {
    expect(destinationsOf(texts, "x/a", packet)).toBe(expected);
    expect(destinationsOf(texts.toReversed(), "x/a", packet)).toBe(expected);
  });

/** A NetworkPolicy of Egress only. */
const egressOf = (subject: string, peer: string) =>
  knp(`${subject}, policyTypes: [Egress], egress: [{to: [${peer}]}]`);

describe("NetworkPolicies on one pod", () => {
  const y81 = knp(`${A}, ${ingress(from("y", ", ports: [{port: 81}]"))}`);
  const y80 = knp(`${A}, ${ingress(from("y", ", ports: [{protocol: TCP, port: 80}]"))}`, "l");
  const overSctp = knp(`${A}, ${ingress("{ports: [{protocol: SCTP, port: 81}]}")}`);
  const both = knp(
    `${A}, policyTypes: [Egress, Ingress], egress: [{ports: [{port: 80}]}], ` +
      "ingress: [{from: [{podSelector: {matchLabels: {pod: b}}}]}]",
  );
  const closed = knp("podSelector: {}, policyTypes: [Ingress, Egress]", "closed");
  sources([
    ["the first opens its port", [y81], "y", tcp(81)],
    ["and no other", [y81], "nobody"],
    ["the second opens the other", [y81, y80], "y"],
    ["and leaves the first", [y81, y80], "y", tcp(81)],
    ["neither is about UDP", [y81, y80], "nobody", udp(80)],
    [
      "one port of all open beside all ports of all",
      [y81, knp("podSelector: {}, ingress: [{}]", "l")],
      EVERYONE,
    ],
    ["SCTP opens no TCP", [overSctp], "nobody", tcp(81)],
    ["SCTP isolates for all of TCP", [overSctp], "nobody"],
    ["SCTP opens SCTP", [overSctp], EVERYONE, sctp(81)],
    ["both directions: who is let in", [both], "x"],
    ["on every port", [both], "x", tcp(81)],
    ["closed both ways takes nothing from another", [closed, y80], "y"],
  ]);
  const toYa = knp(
    `${A}, policyTypes: [Egress], egress: [{to: [{namespaceSelector: ${selector("y")}, ` +
      "podSelector: {matchLabels: {pod: a}}}]}]",
  );
  const notY = "{key: kubernetes.io/metadata.name, operator: NotIn, values: [y]}";
  destinations([
    ["both directions: where to", [both], EVERYONE],
    ["not on another port", [both], "nobody", tcp(81)],
    ["closed both ways", [closed], "nobody"],
    ["what the server lets in the client may still not send", [toYa], "y/a"],
    [
      "all but one namespace are pods only",
      [egressOf(A, `{namespaceSelector: {matchExpressions: [${notY}]}}`)],
      "x z",
    ],
    [
      "a server that is closed in its own namespace",
      [knp(`${A}, policyTypes: [Egress], egress: [{}]`), closed],
      "y z out",
    ],
  ]);
});

/** The action that comes first in place of a deny: Pass, where the tier has it. */
describe.each([
  ["Admin", "v1alpha2", "Accept", "Pass", ON80],
  ["Baseline", "v1alpha2", "Accept", "Accept", ON80],
  ["Admin", "v1alpha1", "Allow", "Pass", OLD80],
  ["Baseline", "v1alpha1", "Allow", "Allow", OLD80],
])("rules of the %s tier (%s)", (tier, version, ACCEPT, SKIP, on80) => {
  const old = tier === "Admin" ? anp : banp;
  const policy = (...rules: string[]) =>
    version === "v1alpha2" ? tiered(tier, ingress(...rules)) : old(ingress(...rules));
  const accept = rule(ACCEPT, "y");
  const deny = rule("Deny", "y");
  const skip = rule(SKIP, "y");
  sources([
    ["accept, deny", [policy(accept, deny, skip)], EVERYONE],
    ["deny, accept", [policy(deny, accept, skip)], NO_Y],
    ["pass or accept, deny", [policy(skip, deny, accept)], EVERYONE],
    ["deny of a port", [policy(rule("Deny", "y", on80))], NO_Y],
    ["deny of a port leaves others", [policy(rule("Deny", "y", on80))], EVERYONE, tcp(81)],
    [
      "a port accepted before its peer is denied",
      [policy(rule(ACCEPT, "y", on80), deny)],
      EVERYONE,
    ],
    ["a peer denied before its port is accepted", [policy(deny, rule(ACCEPT, "y", on80))], NO_Y],
    ["all of the peer's rest is denied", [policy(rule(ACCEPT, "y", on80), deny)], NO_Y, udp(80)],
    ["another namespace's rule in between", [policy(rule("Deny", "z"), accept, deny)], "x y out"],
  ]);
});

describe("tiers that meet", () => {
  const admin = (action: string, priority: number, namespace = "y") =>
    tiered("Admin", ingress(rule(action, namespace)), priority);
  const baseline = (action: string) => tiered("Baseline", ingress(rule(action, "y")), 0);
  sources([
    ["the earlier number accepts", [admin("Accept", 49), admin("Deny", 50)], EVERYONE],
    ["and denies, once numbers are swapped", [admin("Accept", 50), admin("Deny", 49)], NO_Y],
    ["a pass skips later numbers", [admin("Pass", 1), admin("Deny", 50)], EVERYONE],
    ["a pass of another peer does not", [admin("Pass", 1, "z"), admin("Deny", 50)], NO_Y],
    ["pass, a NetworkPolicy, a baseline deny", [admin("Pass", 1), KNP_Y, baseline("Deny")], "y"],
    ["pass and the baseline deny, once it is gone", [admin("Pass", 1), baseline("Deny")], NO_Y],
    ["an admin deny before them", [admin("Deny", 1), KNP_Y, baseline("Accept")], "nobody"],
    [
      "a deny of the older kind's baseline is not asked where one isolates",
      [anp(ingress(rule("Pass", "y"))), KNP_Y, banp(ingress(rule("Deny", "y")))],
      "y",
    ],
    [
      "it is, once that is gone",
      [anp(ingress(rule("Pass", "y"))), banp(ingress(rule("Deny", "y")))],
      NO_Y,
    ],
    [
      "an older and a newer kind share their numbers",
      [anp(ingress(rule("Deny", "y")), 7), admin("Accept", 6)],
      EVERYONE,
    ],
  ]);
});

describe("Cilium's kinds beside them", () => {
  const denyY = cnp(`ingressDeny: [{fromEndpoints: ${podsOf("y")}}]`);
  const quietZ = cnp(
    `enableDefaultDeny: {ingress: false}, ingress: [{fromEndpoints: ${podsOf("z")}}]`,
  );
  const block = (text: string) => knp(`podSelector: {}, ingress: [{from: [{ipBlock: {${text}}}]}]`);
  const adminY = (action: string, more = "") => tiered("Admin", ingress(rule(action, "y", more)));
  sources([
    ["a deny beats a NetworkPolicy's allow", [denyY, KNP_Y], "nobody"],
    ["an admin accept beats the deny", [denyY, KNP_Y, adminY("Accept")], "y"],
    ["on its port only", [denyY, KNP_Y, adminY("Accept", ON80)], "nobody", tcp(81)],
    ["an admin pass does not", [denyY, KNP_Y, adminY("Pass")], "nobody"],
    [
      "an empty item and an empty rule",
      [cnp("ingress: [{}]"), knp("podSelector: {}, ingress: [{}]")],
      EVERYONE,
    ],
    ["a switched-off rule adds to an isolated pod", [quietZ, KNP_Y], "y z"],
    ["a switched-off rule closes nothing", [quietZ], EVERYONE],
    [
      "what baseline denies a switched-off rule lets in, and no more",
      [quietZ, tiered("Baseline", ingress(rule("Deny", "z"), rule("Deny", "y")))],
      NO_Y,
    ],
    [
      "a deny of the world beats a block",
      [
        ccnp("ingressDeny: [{fromEntities: [world]}]"),
        block("cidr: 192.0.2.0/24"),
        KNP_Y.replace("name: k", "name: l"),
      ],
      "y",
    ],
    [
      "a deny of a part leaves the rest of a block",
      [cnp("ingressDeny: [{fromCIDR: [192.0.2.128/25]}]"), block("cidr: 192.0.2.0/24")],
      "192.0.2.1",
    ],
    [
      "what a block leaves out another kind may let in",
      [
        cnp("ingress: [{fromCIDR: [192.0.2.200/32]}]"),
        block("cidr: 192.0.2.0/24, except: [192.0.2.128/25]"),
      ],
      "192.0.2.1 192.0.2.200",
    ],
    ["a deny of anyone on a port", [cnp(`ingressDeny: [{${CNP80}}]`), KNP_Y], "nobody"],
    ["and on others nothing changes", [cnp(`ingressDeny: [{${CNP80}}]`), KNP_Y], "y", tcp(81)],
    [
      "an empty list is nobody, an absent one anyone",
      [
        cnp(`ingress: [{fromEndpoints: [], ${CNP80}}]`),
        knp(`${A}, ingress: [{from: [], ports: [{port: 81}]}]`),
      ],
      "nobody",
    ],
    [
      "a cluster is its pods, and no address",
      [ccnp("ingress: [{fromEntities: [cluster]}]"), tiered("Admin", ingress(rule("Deny", "z")))],
      "x y",
    ],
  ]);
  const networks = (action: string, text: string) =>
    tiered("Admin", `egress: [{action: ${action}, to: [{networks: [${text}]}]}]`);
  destinations([
    [
      "a network denied to a tier is closed to a narrower prefix",
      [
        networks("Deny", "192.0.2.0/24"),
        cnp("egress: [{toCIDR: [192.0.2.1/32]}, {toCIDR: [198.51.100.0/24]}]"),
      ],
      "198.51.100.7",
    ],
    [
      "one that a tier accepts is open to a wider deny",
      [networks("Accept", "192.0.2.1/32"), cnp("egressDeny: [{toCIDR: [192.0.2.0/24]}]")],
      "192.0.2.1",
    ],
    [
      "a tier's networks are no pods, another's deny of them is",
      [networks("Accept", "0.0.0.0/0"), cnp("egressDeny: [{toEntities: [all]}]")],
      "192.0.2.1 192.0.2.200 198.51.100.7",
    ],
    [
      "a NetworkPolicy's egress and a deny of a port",
      [
        egressOf("podSelector: {}", `{namespaceSelector: ${selector("y")}}`),
        cnp(`egressDeny: [{${CNP80}}]`),
      ],
      "nobody",
    ],
  ]);
});
