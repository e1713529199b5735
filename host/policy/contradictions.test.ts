/**
 * Policies that contradict each other, built so that a plausible wrong reading of
 * policy-semantics.md, section 2, gives another answer: who is let in, who is denied in so many
 * words (181), and who only by default (133: neither list).
 */
import { expect, test } from "vitest";
import { cidrLabels, parsePrefix } from "../identity/cidr.ts";
import { podLabels } from "../identity/pod-labels.ts";
import { createLookup } from "./lookup.ts";
import { FEATURES } from "./oracle/world.ts";
import { PolicyRepository } from "./repository.ts";
import { resolvePolicy } from "./resolver.ts";
import { CCNP, CNP, KCNP, KNP, policy } from "./testing/policy-text.ts";
import { parse, SUBJECT } from "./testing/small-world.ts";
import type { Identity } from "./types.ts";

const pod = (id: number, namespace: string, app: string): Identity => ({
  id,
  labels: podLabels({ namespace, labels: { app } }),
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
  host: { id: 1, labels: [] },
  node: { id: 6, labels: [] },
  world: { id: 9, labels: [] },
  ten: cidr(1, "10.0.0.0/8"),
  tenOne: cidr(2, "10.1.0.0/16"),
};
const IDENTITIES = Object.values(PEERS).filter(({ labels }) => labels.length > 0);
const ALL = Object.keys(PEERS).join(" ");

const cnp = (fields: string) => policy(CNP, `endpointSelector: {}, ${fields}`);
const ccnp = (fields: string) => policy(CCNP, `endpointSelector: {}, ${fields}`);
const knp = (fields: string) => policy(KNP, `podSelector: {}, ${fields}`);
const kcnp = (tier: string, priority: number, ...rules: string[]) =>
  policy(
    KCNP,
    `tier: ${tier}, priority: ${priority}, subject: {namespaces: {}}, ingress: [${rules.join()}]`,
  );
const CLIENTS = "{pods: {namespaceSelector: {}, podSelector: {matchLabels: {app: client}}}}";
const rule = (action: string, from = CLIENTS, ports = "") =>
  `{action: ${action}, from: [${from}]${ports === "" ? "" : `, protocols: [${ports}]`}}`;
const TCP80 = "{tcp: {destinationPort: {number: 80}}}";

const ports = (list: string, rules = "") =>
  `toPorts: [{ports: [${list}]${rules === "" ? "" : `, rules: {${rules}}`}}]`;
const P80 = ports("{port: '80', protocol: TCP}");
const HTTP80 = ports("{port: '80', protocol: TCP}", "http: [{path: /a}]");
const SAME = "fromEndpoints: [{}]";

/** `allow` and `deny` as lists of names; whoever is in neither was dropped by default. */
function verdicts(texts: readonly string[], protocol: number, port: number | undefined) {
  const named = texts.map((text, index) => text.replace("{name: p", `{name: p${index}`));
  const { documents, errors } = parse(...named);
  expect(errors).toEqual([]);
  const repository = new PolicyRepository({ features: FEATURES });
  repository.upsertAll(documents);
  const lookup = createLookup(resolvePolicy(repository, IDENTITIES, SUBJECT).entries);
  const decided = Object.entries(PEERS).map(([name, { id: identity }]) => {
    const { verdict, entry } = lookup({ direction: "ingress", identity, protocol, port });
    return { name, verdict, rules: entry?.l7?.rules };
  });
  const names = (...wanted: string[]) =>
    decided.filter(({ verdict }) => wanted.includes(verdict)).map(({ name }) => name);
  // Of what the proxy sees it lets everything through if one of the rules says nothing.
  const proxied = decided.filter(({ verdict }) => verdict === "redirect");
  const judged = proxied.filter(({ rules }) => !rules?.some((one) => one.length === 0));
  return {
    ...{ allow: names("allow", "redirect").join(" "), deny: names("deny").join(" ") },
    judged: judged.map(({ name }) => name).join(" "),
  };
}

interface Expected {
  allow?: string;
  deny?: string;
  /** Let in, but L7 rules decide on each request. */
  judged?: string;
}

const TCP = 6;
const ICMP = 1;
const GRE = 47;
const NO_PODS = "host node world ten tenOne";

test.each<[string, string[], Expected]>([
  [
    "2.2.1: an L3 deny beats an allow of peer, port and path, in either order",
    [knp("ingress: [{}]"), cnp(`ingress: [{${SAME}, ${HTTP80}}], ingressDeny: [{${SAME}}]`)],
    { allow: "other host node world ten tenOne", deny: "client" },
  ],
  [
    "2.2.1: a deny of anyone on a port beats an allow of one peer on it",
    [cnp(`ingress: [{${SAME}, ${P80}}]`), ccnp(`ingressDeny: [{${P80}}]`)],
    { deny: ALL },
  ],
  [
    "2.2.1: a deny of a range beats an allow of a port in it",
    [cnp(`ingress: [{${P80}}], ingressDeny: [{${SAME}, ${ports("{port: '1', endPort: 1023}")}}]`)],
    { allow: "other host node world ten tenOne", deny: "client" },
  ],
  [
    "2.2.1: a deny of a port in a range that is allowed leaves the others alone",
    [
      cnp(
        `ingress: [{${ports("{port: '1', endPort: 1023}")}}], ingressDeny: [{${ports("{port: '81'}")}}]`,
      ),
    ],
    { allow: ALL },
  ],
  [
    "2.2.1: a deny of one peer does not reach others that the same rule allows",
    [cnp("ingress: [{fromEntities: [all]}]"), ccnp("ingressDeny: [{fromEntities: [world]}]")],
    { allow: "client other host node", deny: "world ten tenOne" },
  ],
  [
    "2.1.1: a deny that matches nobody still turns default deny on",
    [cnp("ingressDeny: [{fromEndpoints: [{matchLabels: {app: ghost}}]}]")],
    {},
  ],
  [
    "2.1.2: an empty deny item denies nobody and turns default deny on",
    [cnp("ingressDeny: [{}]"), knp("ingress: [{from: [{podSelector: {}}]}]")],
    { allow: "client" },
  ],
  [
    "2.1.3: an empty list in a deny is nobody, not anyone",
    [cnp(`ingress: [{fromEntities: [all]}], ingressDeny: [{fromEndpoints: [], ${P80}}]`)],
    { allow: ALL },
  ],
  [
    "2.1.3: no list in a deny with ports is anyone",
    [cnp(`ingress: [{fromEntities: [all]}], ingressDeny: [{${P80}}]`)],
    { deny: ALL },
  ],
  [
    "2.1.3: an empty list beside another rule adds nothing to it",
    [cnp(`ingress: [{fromCIDR: [], ${P80}}, {fromEndpoints: [{}]}]`)],
    { allow: "client" },
  ],
  [
    "2.1.4: a switched-off rule alone lets everything in, its paths too",
    [cnp(`enableDefaultDeny: {ingress: false}, ingress: [{${SAME}, ${HTTP80}}]`)],
    { allow: ALL },
  ],
  [
    "2.1.4: one policy that denies by default brings the paths back",
    [
      cnp(`enableDefaultDeny: {ingress: false}, ingress: [{${SAME}, ${HTTP80}}]`),
      knp("policyTypes: [Ingress]"),
    ],
    { allow: "client", judged: "client" },
  ],
  [
    "2.1.4: a switch for one direction says nothing of the other",
    [cnp("enableDefaultDeny: {egress: false}, ingress: [{fromEntities: [host]}], egress: [{}]")],
    { allow: "host" },
  ],
  [
    "2.3.2: a plain allow of the same peer and port takes the paths away",
    [cnp(`ingress: [{${SAME}, ${HTTP80}}]`), ccnp(`ingress: [{${P80}}]`)],
    { allow: ALL },
  ],
  [
    "2.3.3: so does a broader one of the peer",
    [cnp(`ingress: [{${HTTP80}}]`), knp("ingress: [{from: [{podSelector: {}}]}]")],
    { allow: ALL, judged: "other host node world ten tenOne" },
  ],
  [
    "2.3.3: but not one of another peer",
    [cnp(`ingress: [{${SAME}, ${HTTP80}}, {fromEntities: [world], ${P80}}]`)],
    { allow: "client world ten tenOne", judged: "client" },
  ],
  [
    "2.4.2: a deny of every address denies no pod and no node",
    [cnp("ingress: [{fromEntities: [all]}], ingressDeny: [{fromCIDR: [0.0.0.0/0]}]")],
    { allow: "client other host node", deny: "world ten tenOne" },
  ],
  [
    "2.4.3: what a deny leaves out may be allowed, what another denies may not",
    [
      cnp("ingress: [{fromEntities: [world]}]"),
      cnp("ingressDeny: [{fromCIDRSet: [{cidr: 10.0.0.0/8, except: [10.1.0.0/16]}]}]"),
    ],
    { allow: "world tenOne", deny: "ten" },
  ],
  [
    "2.4.3: an exception of one entry is no deny of another's",
    [
      cnp("ingress: [{fromCIDRSet: [{cidr: 10.0.0.0/8, except: [10.1.0.0/16]}]}]"),
      knp("ingress: [{from: [{ipBlock: {cidr: 10.1.0.0/16}}]}]"),
    ],
    { allow: "ten tenOne" },
  ],
  [
    "2.4.3: a deny of a prefix beats an allow of a narrower one",
    [cnp("ingress: [{fromCIDR: [10.1.0.0/16]}], ingressDeny: [{fromCIDR: [10.0.0.0/8]}]")],
    { deny: "ten tenOne" },
  ],
  [
    "2.2.4: an admin accept beats a deny of a CNP",
    [kcnp("Admin", 5, rule("Accept")), cnp("ingressDeny: [{fromEntities: [all]}]")],
    { allow: "client other", deny: NO_PODS },
  ],
  [
    "2.2.4: an admin deny of a lower priority number beats an accept of a higher one",
    [kcnp("Admin", 5, rule("Accept")), kcnp("Admin", 4, rule("Deny", CLIENTS, TCP80))],
    { allow: NO_PODS, deny: "client other" },
  ],
  [
    "2.2.4: of rules of one policy the first counts, not the stricter",
    [kcnp("Admin", 5, rule("Accept", CLIENTS, TCP80), rule("Deny"))],
    { allow: ALL },
  ],
  [
    "2.2.1: of two policies of one priority deny beats accept beats pass",
    [
      kcnp("Admin", 5, rule("Pass")),
      kcnp("Admin", 5, rule("Accept")),
      kcnp(
        "Admin",
        5,
        rule("Deny", "{namespaces: {matchLabels: {kubernetes.io/metadata.name: prod}}}"),
      ),
      cnp("ingressDeny: [{fromEntities: [world]}]"),
    ],
    { allow: "client", deny: "other world ten tenOne" },
  ],
  [
    "2.2.4: a pass skips the rest of its tier, not the next tiers",
    [
      kcnp("Admin", 1, rule("Pass")),
      kcnp("Admin", 2, rule("Deny")),
      kcnp(
        "Baseline",
        1,
        rule("Deny", "{namespaces: {matchLabels: {kubernetes.io/metadata.name: prod}}}"),
      ),
    ],
    { allow: "client host node world ten tenOne", deny: "other" },
  ],
  [
    "2.2.4: baseline denies what no CNP allows, and no more",
    [kcnp("Baseline", 1, rule("Deny")), cnp(`ingress: [{${SAME}}]`)],
    { allow: "client", deny: "other" },
  ],
  [
    "2.2.4: baseline accepts what a CNP only leaves out",
    [kcnp("Baseline", 1, rule("Accept")), cnp("ingress: [{}]")],
    { allow: "client other" },
  ],
  ["2.2.4: an accept alone denies nobody", [kcnp("Admin", 1, rule("Accept"))], { allow: ALL }],
  [
    "2.2.4: a peer that is not understood: accept is nobody, deny is everybody",
    [kcnp("Admin", 1, rule("Accept", "{}")), kcnp("Admin", 2, rule("Deny", "{}", TCP80))],
    { deny: ALL },
  ],
  [
    "1.4: a port by a name that the pod lacks allows nothing",
    [cnp(`ingress: [{${ports("{port: ghost}")}}], ingressDeny: [{${ports("{port: ghost}")}}]`)],
    {},
  ],
])("TCP 80: %s", (_, texts, expected) => {
  const wanted = { allow: "", deny: "", judged: "", ...expected };
  expect(verdicts(texts, TCP, 80)).toEqual(wanted);
  expect(verdicts(texts.toReversed(), TCP, 80)).toEqual(wanted);
});

test.each<[string, string[], number, number | undefined, Expected]>([
  [
    "2.10: all ports denied are not ICMP",
    [
      cnp(
        `ingress: [{fromEntities: [all]}], ingressDeny: [{${ports("{port: '0', protocol: ANY}")}}]`,
      ),
    ],
    ...([ICMP, 8 << 8] as const),
    { allow: ALL },
  ],
  [
    "2.10: a deny of a peer is of ICMP too",
    [cnp(`ingress: [{icmps: [{fields: [{type: 8}]}]}], ingressDeny: [{${SAME}}]`)],
    ...([ICMP, 8 << 8] as const),
    { allow: "other host node world ten tenOne", deny: "client" },
  ],
  [
    "2.10: a rule about ports only blocks ICMP",
    [cnp(`ingress: [{fromEntities: [all], ${P80}}]`)],
    ...([ICMP, 8 << 8] as const),
    {},
  ],
  [
    "2.10: a fragment of unknown port meets rules without port only",
    [cnp(`ingress: [{${P80}}, {${SAME}}], ingressDeny: [{${ports("{port: '81'}")}}]`)],
    ...([TCP, undefined] as const),
    { allow: "client" },
  ],
  [
    "1.4: a protocol by its name, beside one that denies all of TCP",
    [cnp(`ingress: [{${SAME}, ${ports("{protocol: GRE}")}}], ingressDeny: [{${P80}}]`)],
    ...([GRE, undefined] as const),
    { allow: "client" },
  ],
  [
    "2.5: a port without protocol is TCP in a KNP, UDP too in a CNP",
    [
      knp("ingress: [{ports: [{port: 53}]}]"),
      cnp(`ingress: [{${SAME}, ${ports("{port: '53'}")}}]`),
    ],
    ...([17, 53] as const),
    { allow: "client" },
  ],
])("%s", (_, texts, protocol, port, expected) => {
  const wanted = { allow: "", deny: "", judged: "", ...expected };
  expect(verdicts(texts, protocol, port)).toEqual(wanted);
});
