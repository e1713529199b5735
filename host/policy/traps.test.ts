/**
 * Places where implementations of these languages go wrong (policy-semantics.md, section 2): who is
 * let in on TCP 80, or on another port, after parsing, translation, resolution and look-up.
 */
import { expect, test } from "vitest";
import { cidrLabels, parsePrefix } from "../identity/cidr.ts";
import { podLabels } from "../identity/pod-labels.ts";
import { createLookup } from "./lookup.ts";
import { resolvePolicy } from "./resolver.ts";
import { PROTOCOL } from "./rule.ts";
import { CCNP, CNP, KNP, policy } from "./testing/policy-text.ts";
import { repositoryOf, SUBJECT } from "./testing/small-world.ts";
import type { Identity } from "./types.ts";

const pod = (id: number, namespace: string, app: string, cluster = "default"): Identity => ({
  id,
  labels: podLabels({ namespace, cluster, labels: { app }, namespaceLabels: { env: namespace } }),
});
const cidr = (id: number, text: string): Identity => {
  const prefix = parsePrefix(text);
  if (!prefix) throw new Error(`Cannot test: ${text} is no prefix`);
  return { id: (1 << 24) + id, labels: cidrLabels(prefix) };
};

/** Reserved ones are there without being named. */
const PEERS: Readonly<Record<string, Identity>> = {
  client: pod(257, "default", "client"),
  other: pod(300, "prod", "client"),
  far: pod(301, "default", "client", "far"),
  host: { id: 1, labels: [] },
  node: { id: 6, labels: [] },
  api: { id: 7, labels: [] },
  world: { id: 9, labels: [] },
  ten: cidr(1, "10.0.0.0/8"),
  tenOne: cidr(2, "10.1.0.0/16"),
};
const IDENTITIES = Object.values(PEERS).filter(({ labels }) => labels.length > 0);
const EVERYONE = Object.keys(PEERS).join(" ");

const cnp = (fields: string) => policy(CNP, `endpointSelector: {}, ${fields}`);
const knp = (fields: string) =>
  policy(KNP, `podSelector: {}, ${fields}`).replace("{name: p", "{name: k");
const ccnp = (fields: string) =>
  policy(CCNP, `endpointSelector: {}, ${fields}`).replace("{name: p", "{name: c");
const named = (text: string, name: string) => text.replace("{name: p", `{name: ${name}`);
const P80 = "toPorts: [{ports: [{port: '80', protocol: TCP}]}]";

function allowed(texts: string[], protocol: number, port: number, direction: "ingress" | "egress") {
  const { entries } = resolvePolicy(
    texts.length > 0 ? repositoryOf(...texts) : [],
    IDENTITIES,
    SUBJECT,
  );
  const lookup = createLookup(entries);
  return Object.entries(PEERS)
    .filter(([, { id }]) => {
      const { verdict } = lookup({ direction, identity: id, protocol, port });
      return verdict === "allow" || verdict === "redirect";
    })
    .map(([name]) => name)
    .join(" ");
}

test.each<[string, string[], string]>([
  ["no policy", [], EVERYONE],
  ["a CNP with an empty item is deny all", [cnp("ingress: [{}]")], ""],
  ["a KNP with an empty item is allow all", [knp("ingress: [{}]")], EVERYONE],
  ["a KNP without rules is deny all", [knp("policyTypes: [Ingress]")], ""],
  ["a KNP for egress only leaves ingress", [knp("policyTypes: [Egress]")], EVERYONE],
  ["a KNP with no types is about ingress", [knp("egress: [{}]")], ""],
  ["absent peers with ports are anyone", [cnp(`ingress: [{${P80}}]`)], EVERYONE],
  ["an empty list with ports is nobody", [cnp(`ingress: [{fromEndpoints: [], ${P80}}]`)], ""],
  [
    "an empty list is nobody, whatever kind stands beside it",
    ["fromEntities", "fromCIDR", "fromCIDRSet", "fromNodes"].map((field, index) =>
      named(cnp(`ingress: [{fromEndpoints: [{}], ${field}: [], ${P80}}]`), `p${index}`),
    ),
    "",
  ],
  ["an empty KNP list is anyone", [knp("ingress: [{from: []}]")], EVERYONE],
  [
    "{} in a CNP is the namespace, of this cluster",
    [cnp("ingress: [{fromEndpoints: [{}]}]")],
    "client",
  ],
  [
    "{} in a CCNP is any pod, of this cluster",
    [ccnp("ingress: [{fromEndpoints: [{}]}]")],
    "client other",
  ],
  [
    "an empty podSelector is the namespace",
    [knp("ingress: [{from: [{podSelector: {}}]}]")],
    "client",
  ],
  [
    "an empty namespaceSelector is any namespace",
    [knp("ingress: [{from: [{namespaceSelector: {}}]}]")],
    "client other",
  ],
  [
    "what a namespace lacks selects no host and no world",
    [
      knp(
        "ingress: [{from: [{namespaceSelector: {matchExpressions: [{key: env, operator: NotIn, values: [prod]}]}}]}]",
      ),
    ],
    "client",
  ],
  [
    "pod and namespace of one peer are both meant",
    [knp("ingress: [{from: [{podSelector: {matchLabels: {app: x}}, namespaceSelector: {}}]}]")],
    "",
  ],
  [
    "pod and namespace of two peers are either",
    [knp("ingress: [{from: [{podSelector: {matchLabels: {app: x}}}, {namespaceSelector: {}}]}]")],
    "client other",
  ],
  [
    "a prefix selects no pods and no nodes",
    [cnp("ingress: [{fromCIDR: [0.0.0.0/0]}]")],
    "world ten tenOne",
  ],
  [
    "nor does an ipBlock",
    [knp("ingress: [{from: [{ipBlock: {cidr: 0.0.0.0/0}}]}]")],
    "world ten tenOne",
  ],
  [
    "an exception is of its own entry only",
    [
      cnp(
        "ingress: [{fromCIDRSet: [{cidr: 10.0.0.0/8, except: [10.1.0.0/16]}, {cidr: 10.1.0.0/16}]}]",
      ),
    ],
    "ten tenOne",
  ],
  [
    "an exception holds",
    [cnp("ingress: [{fromCIDRSet: [{cidr: 10.0.0.0/8, except: [10.1.0.0/16]}]}]")],
    "ten",
  ],
  [
    "a wider prefix covers narrower ones",
    [cnp("ingress: [{fromCIDR: [10.0.0.0/7]}]")],
    "ten tenOne",
  ],
  ["world", [cnp("ingress: [{fromEntities: [world]}]")], "world ten tenOne"],
  [
    "cluster is this one, with its nodes",
    [cnp("ingress: [{fromEntities: [cluster]}]")],
    "client other host node api",
  ],
  [
    "cluster-mesh is all of them",
    [cnp("ingress: [{fromEntities: [cluster-mesh]}]")],
    "client other far host node api",
  ],
  ["kube-apiserver is a node too", [cnp("ingress: [{fromEntities: [remote-node]}]")], "node api"],
  ["none is nobody", [cnp(`ingress: [{fromEntities: [none], ${P80}}]`)], ""],
  [
    "deny wins over what is narrower",
    [
      cnp(
        `ingress: [{fromEndpoints: [{}], ${P80}}, {fromEntities: [all]}], ingressDeny: [{fromEndpoints: [{}]}]`,
      ),
    ],
    "other far host node api world ten tenOne",
  ],
  [
    "deny of one kind wins over allow of another",
    [cnp("ingressDeny: [{fromEntities: [world]}]"), knp("ingress: [{}]")],
    "client other far host node api",
  ],
  ["a deny alone denies by default", [cnp("ingressDeny: [{fromEntities: [world]}]")], ""],
  [
    "without default deny a deny only denies",
    [cnp("enableDefaultDeny: {ingress: false}, ingressDeny: [{fromEntities: [world]}]")],
    "client other far host node api",
  ],
  [
    "one policy with default deny is enough",
    [
      cnp("enableDefaultDeny: {ingress: false}, ingress: [{fromEntities: [host]}]"),
      named(cnp("ingress: [{fromEndpoints: [{}]}]"), "q"),
    ],
    "client host",
  ],
  ["egress rules leave ingress alone", [cnp("egress: [{}]")], EVERYONE],
  [
    "a port by name that the pod does not have adds nothing",
    [cnp("ingress: [{toPorts: [{ports: [{port: ghost}]}]}]")],
    "",
  ],
  [
    "0x50 is a name, not a number",
    [cnp("ingress: [{toPorts: [{ports: [{port: '0x50', protocol: TCP}]}]}]")],
    "",
  ],
  [
    "port 0 is every port",
    [cnp("ingress: [{toPorts: [{ports: [{port: '0', protocol: TCP}]}]}]")],
    EVERYONE,
  ],
  [
    "http: [] is no L7 rule",
    [cnp("ingress: [{toPorts: [{ports: [{port: '80', protocol: TCP}], rules: {http: []}}]}]")],
    EVERYONE,
  ],
])("%s", (_, texts, expected) => {
  expect(allowed(texts, PROTOCOL.tcp, 80, "ingress")).toBe(expected);
});

test.each<[string, string, number, number, string]>([
  [
    "a CNP's port without protocol is UDP too",
    cnp("ingress: [{toPorts: [{ports: [{port: '80'}]}]}]"),
    PROTOCOL.udp,
    80,
    EVERYONE,
  ],
  ["and SCTP", cnp("ingress: [{toPorts: [{ports: [{port: '80'}]}]}]"), PROTOCOL.sctp, 80, EVERYONE],
  ["a KNP's is not", knp("ingress: [{ports: [{port: 80}]}]"), PROTOCOL.udp, 80, ""],
  [
    "a KNP's protocol without port is all of its ports",
    knp("ingress: [{ports: [{protocol: UDP}]}]"),
    PROTOCOL.udp,
    9,
    EVERYONE,
  ],
  [
    "ANY is never ICMP",
    cnp("ingress: [{toPorts: [{ports: [{port: '0', protocol: ANY}]}]}]"),
    PROTOCOL.icmp,
    8 << 8,
    "",
  ],
  [
    "ICMP by type",
    cnp("ingress: [{icmps: [{fields: [{type: EchoRequest}]}]}]"),
    PROTOCOL.icmp,
    8 << 8,
    EVERYONE,
  ],
  [
    "no other type",
    cnp("ingress: [{icmps: [{fields: [{type: EchoRequest}]}]}]"),
    PROTOCOL.icmp,
    0,
    "",
  ],
  [
    "nor the other family",
    cnp("ingress: [{icmps: [{fields: [{type: 8}]}]}]"),
    PROTOCOL.icmpv6,
    8 << 8,
    "",
  ],
  [
    "an L3 rule is about ICMP too",
    cnp("ingress: [{fromEntities: [host]}]"),
    PROTOCOL.icmp,
    8 << 8,
    "host",
  ],
  [
    "endPort ends the range",
    cnp("ingress: [{toPorts: [{ports: [{port: '80', endPort: 90}]}]}]"),
    PROTOCOL.tcp,
    91,
    "",
  ],
])("%s", (_, text, protocol, port, expected) => {
  expect(allowed([text], protocol, port, "ingress")).toBe(expected);
});

test("services that are not there are no destination, with ports and without", () => {
  const egress = (rest: string) =>
    cnp(`egress: [{toServices: [{k8sService: {serviceName: s}}]${rest}}]`);
  for (const text of [egress(""), egress(`, ${P80}`), cnp(`egress: [{toServices: [], ${P80}}]`)]) {
    expect(allowed([text], PROTOCOL.tcp, 80, "egress")).toBe("");
  }
});
