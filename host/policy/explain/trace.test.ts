/** Traces of the cases that policy languages are misread in, from text to verdict and reason. */
import { describe, expect, it, test } from "vitest";
import { type Prefix, parsePrefix } from "../../identity/cidr.ts";
import { parseLabel } from "../../identity/label.ts";
import { PrefixLabels, prefixesByText } from "../../identity/prefix-labels.ts";
import { parsePolicyFile } from "../document.ts";
import { PolicySayings } from "../prefix-sayings.ts";
import { PolicyRepository } from "../repository.ts";
import type { Rule } from "../rule.ts";
import { ANY_SELECTOR, labelSelector } from "../selector.ts";
import type { CidrGroup } from "../sources.ts";
import { group } from "../testing/policy-text.ts";
import { SUBJECT } from "../testing/small-world.ts";
import { findEnd, type KnownWorld } from "./end.ts";
import { ExplainInputError } from "./input-error.ts";
import { parsePorts } from "./port.ts";
import { traceConnection } from "./trace.ts";
import type { TraceView } from "./types.ts";

const NOTHING: KnownWorld = {
  ...{ cluster: "default", endpoints: [], identities: [], prefixes: [] },
  labels: new PrefixLabels(),
};

function repositoryOf(text: string): PolicyRepository {
  if (text === "") return new PolicyRepository();
  const { documents, errors } = parsePolicyFile(text, "f.yaml", { checkPattern: () => undefined });
  expect(errors).toEqual([]);
  const repository = new PolicyRepository({ features: { tiers: true } });
  if (documents.length > 0) repository.upsertAll(documents);
  return repository;
}

function rulesOf(text: string): Rule[] {
  return [...repositoryOf(text).rules()];
}

function prefix(text: string): Prefix {
  const parsed = parsePrefix(text);
  if (!parsed) throw new Error(`Cannot read ${text}: not a prefix`);
  return parsed;
}

function labelsOf(rules: Rule[], groups: Iterable<CidrGroup> = []): PrefixLabels {
  return new PrefixLabels().with(new PolicySayings().of(rules, groups));
}

const cnp = (name: string, fields: string): string =>
  `apiVersion: cilium.io/v2\nkind: CiliumNetworkPolicy\n` +
  `metadata: {name: ${name}, namespace: default}\n` +
  `spec: {endpointSelector: {matchLabels: {app: web}}, ${fields}}\n---\n`;
const knp = (name: string, fields: string): string =>
  `apiVersion: networking.k8s.io/v1\nkind: NetworkPolicy\n` +
  `metadata: {name: ${name}, namespace: default}\n` +
  `spec: {podSelector: {matchLabels: {app: web}}, ${fields}}\n---\n`;

function trace(rules: Rule[], source: string, dport: string, destination = "app=web"): TraceView {
  const world = { ...NOTHING, labels: labelsOf(rules) };
  const [from, to] = [findEnd(source, world, 0), findEnd(destination, world, 1)];
  const ports = parsePorts([dport], to.namedPorts);
  return traceConnection({ source: from, destination: to, ports, rules });
}

const CLIENT = "fromEndpoints: [{matchLabels: {app: client}}]";
const HTTP = 'toPorts: [{ports: [{port: "80", protocol: TCP}], rules: {http: [{method: GET}]}}]';
const PORT80 = 'toPorts: [{ports: [{port: "80"}]}]';

test.each([
  ["no policy", "", "app=client", "80", "allow", "default allow"],
  [
    "an item without peers and ports",
    cnp("a", "ingress: [{}]"),
    "app=client",
    "80",
    "drop",
    "deny",
  ],
  ["the same in a NetworkPolicy", knp("a", "ingress: [{}]"), "app=client", "80", "allow", "allow"],
  ["ports alone", cnp("a", `ingress: [{${PORT80}}]`), "reserved:world", "80", "allow", "allow"],
  [
    "an empty peer list",
    cnp("a", `ingress: [{fromEndpoints: [], ${PORT80}}]`),
    "app=client",
    "80",
    "drop",
    "default deny",
  ],
  [
    "a deny beats a narrower allow",
    cnp("a", `ingress: [{${CLIENT}, ${HTTP}}]`) + cnp("b", `ingressDeny: [{${CLIENT}}]`),
    "app=client",
    "80",
    "deny",
    "deny",
  ],
  [
    "a deny alone closes the direction",
    cnp("a", `ingressDeny: [{${CLIENT}}]`),
    "app=other",
    "80",
    "drop",
    "default deny",
  ],
  [
    "unless it is told not to",
    cnp("a", `enableDefaultDeny: {ingress: false}, ingressDeny: [{${CLIENT}}]`),
    "app=other",
    "80",
    "allow",
    "default allow",
  ],
  [
    "any protocol is not ICMP",
    cnp("a", `ingress: [{${PORT80}}]`),
    "app=client",
    "8/ICMP",
    "drop",
    "default deny",
  ],
  [
    "an ICMP type by name",
    cnp("a", "ingress: [{icmps: [{fields: [{type: EchoRequest, family: IPv4}]}]}]"),
    "app=client",
    "EchoRequest/ICMP",
    "allow",
    "allow",
  ],
  [
    "L7 rules hand over",
    cnp("a", `ingress: [{${CLIENT}, ${HTTP}}]`),
    "app=client",
    "80",
    "redirect",
    "allow",
  ],
  [
    "an exception of a prefix",
    cnp("a", "ingress: [{fromCIDRSet: [{cidr: 10.0.0.0/8, except: [10.1.0.0/16]}]}]"),
    "10.1.2.3",
    "80",
    "drop",
    "default deny",
  ],
  [
    "beside the exception",
    cnp("a", "ingress: [{fromCIDRSet: [{cidr: 10.0.0.0/8, except: [10.1.0.0/16]}]}]"),
    "10.2.2.3",
    "80",
    "allow",
    "allow",
  ],
  [
    "a prefix never selects a pod",
    cnp("a", "ingress: [{fromCIDR: [0.0.0.0/0]}]"),
    "app=client",
    "80",
    "drop",
    "default deny",
  ],
  [
    "another namespace",
    cnp("a", `ingress: [{${CLIENT}}]`),
    "ns:other,app=client",
    "80",
    "drop",
    "default deny",
  ],
])("%s", (_name, policies, source, dport, verdict, step) => {
  const { ports } = trace(rulesOf(policies), source, dport);
  const ingress = ports[0]?.ingress;
  const last = ingress?.steps.at(-1);
  expect(ingress?.verdict).toBe(verdict);
  expect(`${last?.tier === "default" ? "default " : ""}${last?.verdict}`).toContain(step);
  expect(ingress?.fault).toBeUndefined();
});

describe("an explanation", () => {
  it("needs both directions, and says which denies", () => {
    const rules = rulesOf(
      cnp("in", `ingress: [{${CLIENT}}]`) +
        "apiVersion: cilium.io/v2\nkind: CiliumNetworkPolicy\n" +
        "metadata: {name: out, namespace: default}\n" +
        "spec: {endpointSelector: {matchLabels: {app: client}}, egress: [{toCIDR: [10.0.0.0/8]}]}",
    );
    const view = trace(rules, "app=client", "80");
    expect(view.verdict).toBe("denied");
    expect(view.ports[0]?.egress.verdict).toBe("drop");
    expect(view.ports[0]?.egress.reason).toBe(
      "no rule allows it, and default deny is turned on by CiliumNetworkPolicy default/out",
    );
    expect(view.ports[0]?.ingress).toMatchObject({
      ...{ verdict: "allow", match: "L3-Only" },
      decidedBy: ["CiliumNetworkPolicy default/in"],
    });
  });

  it("goes through the tiers, and a pass leads to the next", () => {
    const rule = (name: string, tier: Rule["tier"], items: Rule["items"]): Rule => ({
      origin: { kind: "NetworkPolicy", name, namespace: "", labels: [], revision: 1 },
      tier: tier ?? "normal",
      subject: labelSelector([]),
      defaultDeny: { ingress: tier === "normal", egress: false },
      items,
    });
    const item = { direction: "ingress" as const, peers: [ANY_SELECTOR], ports: undefined };
    const rules = [
      rule("late", "admin", [{ ...item, verdict: "deny", priority: 9 }]),
      rule("pass", "admin", [{ ...item, verdict: "pass", priority: 5 }]),
      rule("closed", "normal", []),
      rule("base", "baseline", [{ ...item, verdict: "allow" }]),
    ];
    const ingress = trace(rules, "app=client", "80").ports[0]?.ingress;
    expect(ingress?.verdict).toBe("allow");
    expect(ingress?.steps).toEqual([
      { tier: "admin", priority: 5, verdict: "pass", policies: ["NetworkPolicy pass"] },
      { tier: "baseline", priority: 0, verdict: "allow", policies: ["NetworkPolicy base"] },
    ]);
  });

  it("lets an endpoint in audit mode pass what its policies deny", () => {
    const rules = rulesOf(cnp("a", `ingress: [{${CLIENT}}]`));
    const [source, web] = [findEnd("app=x", NOTHING, 0), findEnd("app=web", NOTHING, 1)];
    const ports = parsePorts(["80"], []);
    const view = traceConnection({
      source,
      destination: { ...web, isAudited: true },
      ports,
      rules,
    });
    expect(view.verdict).toBe("allowed");
    expect(view.ports[0]?.ingress).toMatchObject({ verdict: "drop", isAudited: true });
  });

  it.each([
    ["ingress: [{}]", "allow", "the node may always reach its own pods unless a rule denies it"],
    [
      `ingress: [{${HTTP}}]`,
      "allow",
      "CiliumNetworkPolicy default/a allows it; the node may always reach its own pods unless a " +
        "rule denies it, and no L7 rules count",
    ],
    ["ingressDeny: [{fromEntities: [all]}]", "deny", "CiliumNetworkPolicy default/a denies it"],
  ])("lets the node reach its pods unless a rule denies it: %s", (fields, verdict, reason) => {
    const [port] = trace(rulesOf(cnp("a", fields)), "reserved:host", "80").ports;
    expect(port?.ingress).toMatchObject({ verdict, reason });
    expect(port?.ingress.l7).toBeUndefined();
    expect(port?.ingress.fault).toBeUndefined();
  });

  it("names few of many policies in its reason", () => {
    const texts = Array.from({ length: 9 }, (_, index) =>
      cnp(`p${index}`, "ingress: [{fromEndpoints: [{matchLabels: {app: x}}]}]"),
    );
    const [port] = trace(rulesOf(texts.join("")), "app=client", "80").ports;
    expect(port?.ingress.reason).toMatch(/turned on by .*p0, .*p5, 3 more$/);
    expect(port?.ingress.rules).toHaveLength(9);
  });

  it("says that policies contradict each other", () => {
    const rules = rulesOf(
      cnp("a", `ingress: [{${CLIENT}, ${HTTP}}]`) +
        cnp(
          "b",
          `ingress: [{${CLIENT}, ${HTTP.replace("http: [{method: GET}]", "l7proto: redis, l7: [{cmd: GET}]")}}]`,
        ),
    );
    const view = trace(rules, "app=client", "80");
    expect(view.verdict).toBe("error");
    expect(view.ports[0]?.ingress.reason).toBe(
      "Cannot merge L7 rules for ingress on 80/TCP: CiliumNetworkPolicy default/a asks for " +
        "l7-http, CiliumNetworkPolicy default/b for redis",
    );
  });

  it("shows what an item lacks", () => {
    const rules = rulesOf(cnp("a", `ingress: [{${CLIENT}, ${PORT80}}]`));
    const [rule] = trace(rules, "app=client", "443").ports[0]?.ingress.rules ?? [];
    expect(rule?.closes).toBe(true);
    expect(rule?.items).toEqual([
      {
        ...{ verdict: "allow", tier: "normal", priority: 0 },
        peers: ["app=client, namespace=default, cluster=default"],
        ports: ["80/TCP", "80/UDP", "80/SCTP"],
        ...{ matchesPeer: true, matchesPort: false, decides: false },
      },
    ]);
  });
});

describe("addresses of the world", () => {
  const api = {
    ...{ key: "api", labels: [parseLabel("reserved:kube-apiserver")], byAddress: true },
    prefixes: prefixesByText([prefix("198.51.100.1/32")]),
  };
  const repository = repositoryOf(
    group("wide", "10.0.0.0/8", "{site: a}") +
      "---\n" +
      group("narrow", "10.1.0.0/16", "{site: b}") +
      "---\n" +
      cnp("a", "ingress: [{fromCIDRSet: [{cidrGroupRef: wide, except: [10.1.2.0/24]}]}]") +
      cnp("b", "ingressDeny: [{fromCIDRSet: [{cidrGroupSelector: {matchLabels: {site: b}}}]}]") +
      cnp("c", "ingress: [{fromEntities: [kube-apiserver]}]"),
  );
  const rules = [...repository.rules()];
  const said = new PolicySayings().of(rules, repository.sources.cidrGroups());
  const world = { ...NOTHING, labels: new PrefixLabels().with([...said, api]) };
  const traced = (source: string, known: KnownWorld = world): TraceView => {
    const [from, to] = [findEnd(source, known, 0), findEnd("app=web", known, 1)];
    const ports = parsePorts(["80"], []);
    return traceConnection({ source: from, destination: to, ports, rules });
  };
  const wide = "cidrgroup:io.cilium.policy.cidrgroupname/wide";
  const narrow = "cidrgroup:io.cilium.policy.cidrgroupname/narrow";
  const V4 = "reserved:world-ipv4";

  test.each<[string, string[], string, string | undefined]>([
    ["10.2.0.1", [wide, "cidrgroup:site=a", V4], "allow", "a"],
    ["10.1.0.1", [narrow, wide, "cidrgroup:site=a", "cidrgroup:site=b", V4], "deny", "b"],
    [
      "10.1.2.3",
      ["cidr:10.1.2.0/24", narrow, wide, "cidrgroup:site=a", "cidrgroup:site=b", V4],
      "deny",
      "b",
    ],
    ["cidr:10.2.0.0/16", ["cidr:10.2.0.0/16", wide, "cidrgroup:site=a", V4], "allow", "a"],
    ["192.0.2.1", [V4], "drop", undefined],
    ["198.51.100.1", ["cidr:198.51.100.1/32", "reserved:kube-apiserver", V4], "allow", "c"],
  ])("%s has the labels of all it is in", (source, labels, verdict, by) => {
    const view = traced(source);
    expect(view.source.labels).toEqual(labels);
    const [port] = view.ports;
    expect(port?.ingress.verdict).toBe(verdict);
    expect(port?.ingress.fault).toBeUndefined();
    expect(port?.ingress.decidedBy).toEqual(by ? [`CiliumNetworkPolicy default/${by}`] : []);
  });

  it("names the groups of a rule", () => {
    const items = traced("10.2.0.1").ports[0]?.ingress.rules.flatMap((one) => one.items) ?? [];
    expect(items.flatMap(({ peers }) => peers)).toEqual([
      `${wide} except 10.1.2.0/24`,
      "cidrgroup:site=b",
      "reserved:kube-apiserver",
    ]);
  });

  it("what the kernel has them as under other policies does not count, pods and nodes do", () => {
    const stale = { id: (1 << 24) + 5, labels: [parseLabel(wide), parseLabel(V4)] };
    const rows = [
      { prefix: "192.0.2.0/24", identity: stale.id },
      { prefix: "10.2.0.7/32", identity: SUBJECT.identity.id },
    ];
    const known = { ...world, identities: [stale, SUBJECT.identity], prefixes: rows };
    expect(traced("192.0.2.1", known).source).toMatchObject({ identity: 9, labels: [V4] });
    expect(traced("10.2.0.7", known).source.identity).toBe(SUBJECT.identity.id);
  });

  it("the host has its other label however one asks for it", () => {
    const labels = ["reserved:host", "reserved:kube-apiserver"].map((text) => parseLabel(text));
    const known = { ...world, identities: [{ id: 1, labels }] };
    for (const text of ["reserved:host", "identity:1"]) {
      expect(traced(text, known).source.labels).toHaveLength(2);
    }
  });
});

describe("ends", () => {
  const world: KnownWorld = {
    ...NOTHING,
    endpoints: [
      {
        subject: { ...SUBJECT, namedPorts: [{ name: "http", port: 8080, protocol: 6 }] },
        addresses: ["10.9.0.1"],
      },
    ],
    identities: [SUBJECT.identity],
    prefixes: [{ prefix: "10.9.0.0/16", identity: 1 }],
    labels: labelsOf(rulesOf(cnp("a", "ingress: [{fromCIDR: [10.8.0.0/16]}]"))),
  };

  test.each([
    ["1", "pod", 256, "default/web-1"],
    ["web-1", "pod", 256, "default/web-1"],
    ["default/web-1", "pod", 256, "default/web-1"],
    ["10.9.0.1", "pod", 256, "default/web-1"],
    ["10.9.0.2", "node", 1, "10.9.0.2"],
    ["10.8.0.2", "outside", undefined, "10.8.0.2 in 10.8.0.0/16"],
    ["8.8.8.8", "outside", 9, "8.8.8.8"],
    ["2001:db8::1", "outside", 10, "2001:db8::1"],
    ["identity:256", "pod", 256, "identity 256"],
    ["app=web", "pod", 256, "app=web"],
    ["ns:default,k8s:app=web", "pod", 256, "ns:default,k8s:app=web"],
    ["app.kubernetes.io/name=web", "pod", undefined, "app.kubernetes.io/name=web"],
    ["reserved:host", "node", 1, "reserved:host"],
    ["reserved:world-ipv4", "outside", 9, "reserved:world-ipv4"],
    ["cidr:10.0.0.0/8", "outside", undefined, "cidr:10.0.0.0/8"],
    ["cidr:fd00::/8", "outside", undefined, "cidr:fd00::/8"],
  ])("%s", (text, kind, id, name) => {
    const end = findEnd(text, world, 0);
    expect(end).toMatchObject({ kind, name });
    expect(end.isHypothetical ? undefined : end.identity.id).toBe(id);
  });

  test.each(["nobody", "identity:7777", "app=web,", "cidr:x", ":", ""])("not %j", (text) => {
    expect(() => findEnd(text, world, 0)).toThrow(ExplainInputError);
  });
});

describe("ports", () => {
  const named = [{ name: "http", port: 8080, protocol: 6 }];

  test.each([
    ["80", ["80/TCP"]],
    ["80,53/udp", ["80/TCP", "53/UDP"]],
    ["80/ANY", ["80/TCP", "80/UDP", "80/SCTP"]],
    ["http", ["8080/TCP (http)"]],
    ["EchoRequest/ICMP", ["8/ICMP"]],
    ["128/ICMPv6", ["128/ICMPv6"]],
    ["ESP", ["ESP"]],
  ])("%s", (text, expected) => {
    expect(parsePorts([text], named).map((port) => port.text)).toEqual(expected);
  });

  test.each(["", "80/XXX", "70000", "https", "1/2/3", "80/ESP", "x/ICMP", "300/ICMP", "TCP"])(
    "not %j",
    (text) => {
      expect(() => parsePorts([text], named)).toThrow(ExplainInputError);
    },
  );
});

test("names the policy that is not asked, since a NetworkPolicy isolates the pod", () => {
  const baseline =
    "apiVersion: policy.networking.k8s.io/v1alpha1\nkind: BaselineAdminNetworkPolicy\n" +
    "metadata: {name: default}\nspec: {subject: {namespaces: {}}, " +
    "ingress: [{action: Allow, from: [{namespaces: {}}]}]}\n";
  const ask = (text: string) => trace(rulesOf(text), "app=client", "80").ports[0]?.ingress;
  expect(ask(baseline)).toMatchObject({
    verdict: "allow",
    decidedBy: [expect.stringMatching(/BaselineAdmin/)],
  });
  const isolated = ask(knp("a", "ingress: []") + baseline);
  expect(isolated).toMatchObject({ verdict: "drop", setAside: [expect.stringMatching(/default/)] });
  expect(isolated?.fault).toBeUndefined();
});
