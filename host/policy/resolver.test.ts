import { describe, expect, test } from "vitest";
import { cidrLabels, parsePrefix } from "../identity/cidr.ts";
import { k8sLabel, parseLabel } from "../identity/label.ts";
import { podLabels } from "../identity/pod-labels.ts";
import { parsePolicyFile } from "./document.ts";
import { namedPrefixes } from "./prefix-sayings.ts";
import { PolicyRefusedError, PolicyRepository } from "./repository.ts";
import { PolicyConflictError, resolvePolicy } from "./resolver.ts";
import { SelectorCache } from "./selector-cache.ts";
import type { Identity, PolicySubject, ResolvedPolicy } from "./types.ts";

const pod = (id: number, app: string, namespace = "default"): Identity => ({
  id,
  labels: podLabels({ namespace, labels: { app } }),
});
const WEB = pod(256, "web");
const CLIENT = pod(257, "client");
const OTHER = pod(258, "client", "prod");
const NET_10: Identity = { id: (1 << 24) + 1, labels: cidrLabels(prefix("10.0.0.0/8")) };
const NET_10_1: Identity = { id: (1 << 24) + 2, labels: cidrLabels(prefix("10.1.0.0/16")) };
const IDENTITIES = [WEB, CLIENT, OTHER, NET_10, NET_10_1];
const SUBJECT: PolicySubject = {
  endpoint: 1,
  identity: WEB,
  namespace: "default",
  namedPorts: [{ name: "http", port: 8080, protocol: 6 }],
};

function prefix(text: string) {
  const parsed = parsePrefix(text);
  if (!parsed) throw new Error(`Cannot parse ${text}: test data is wrong`);
  return parsed;
}

function repositoryOf(...specs: string[]): PolicyRepository {
  if (specs.length === 0) return new PolicyRepository();
  const text = specs
    .map((spec, index) =>
      spec.startsWith("apiVersion")
        ? spec
        : `apiVersion: cilium.io/v2\nkind: CiliumNetworkPolicy\nmetadata: {name: p${index}, namespace: default}\nspec: ${spec}`,
    )
    .join("\n---\n");
  const { documents, errors } = parsePolicyFile(text, "f.yaml", { checkPattern: () => undefined });
  expect(errors).toEqual([]);
  const repository = new PolicyRepository();
  repository.upsertAll(documents);
  return repository;
}

const rule = (fields: string) => `{endpointSelector: {matchLabels: {app: web}}, ${fields}}`;
const HTTP = (rules: string) =>
  `toPorts: [{ports: [{port: "80", protocol: TCP}], rules: {${rules}}}]`;
const PORT_80 = 'toPorts: [{ports: [{port: "80", protocol: TCP}]}]';

/** `direction identity protocol port/prefix verdict[ rules]`, one line an entry. */
function table({ entries }: ResolvedPolicy, direction = "ingress"): string[] {
  return entries
    .filter((entry) => entry.direction === direction)
    .map(({ identity, protocol, port, portPrefix, deny, l7 }) => {
      const rules = l7?.rules.map(
        (fields) => fields.map((f) => `${f.key}=${f.value}`).join("&") || "*",
      );
      const verdict = deny ? "deny" : l7 ? `${l7.plugin}[${rules?.join(" | ")}]` : "allow";
      return `${identity} ${protocol}:${port}/${portPrefix} ${verdict}`;
    })
    .sort();
}

const resolve = (...specs: string[]) => resolvePolicy(repositoryOf(...specs), IDENTITIES, SUBJECT);

describe("resolvePolicy()", () => {
  test("leaves an endpoint without policies open in both directions", () => {
    const resolved = resolve();
    expect([resolved.ingressEnforced, resolved.egressEnforced]).toEqual([false, false]);
    expect(table(resolved)).toEqual(["0 0:0/0 allow"]);
    expect(table(resolved, "egress")).toEqual(["0 0:0/0 allow"]);
  });

  test.each<[string, string[], string[]]>([
    ["ingress: [{}] denies all", [rule("ingress: [{}]")], []],
    ["an absent peer list is anyone", [rule(`ingress: [{${PORT_80}}]`)], ["0 6:80/16 allow"]],
    ["an empty peer list is nobody", [rule(`ingress: [{fromEndpoints: [], ${PORT_80}}]`)], []],
    ["an empty list of names is nobody", [rule(`ingress: [{fromGroups: [], ${PORT_80}}]`)], []],
    [
      "{} is the namespace",
      [rule("ingress: [{fromEndpoints: [{}]}]")],
      ["256 0:0/0 allow", "257 0:0/0 allow"],
    ],
    [
      "ANY is TCP, UDP and SCTP",
      [rule('ingress: [{toPorts: [{ports: [{port: "53"}]}]}]')],
      ["0 132:53/16 allow", "0 17:53/16 allow", "0 6:53/16 allow"],
    ],
    [
      "port 0 is every port",
      [rule('ingress: [{toPorts: [{ports: [{port: "0", protocol: UDP}]}]}]')],
      ["0 17:0/0 allow"],
    ],
    [
      "a range becomes prefixes",
      [rule('ingress: [{toPorts: [{ports: [{port: "80", endPort: 85, protocol: TCP}]}]}]')],
      ["0 6:80/14 allow", "0 6:84/15 allow"],
    ],
    [
      "endPort below port is ignored",
      [rule('ingress: [{toPorts: [{ports: [{port: "80", endPort: 7, protocol: TCP}]}]}]')],
      ["0 6:80/16 allow"],
    ],
    [
      "a named port is the subject's",
      [rule("ingress: [{toPorts: [{ports: [{port: HTTP}]}]}]")],
      ["0 6:8080/16 allow"],
    ],
    [
      "an unknown named port adds nothing",
      [rule("ingress: [{toPorts: [{ports: [{port: 0x10}]}]}]").replace("0x10", '"0x10"')],
      [],
    ],
    [
      "ICMP types stand in the high byte",
      [rule("ingress: [{icmps: [{fields: [{type: EchoRequest}, {type: 128, family: IPv6}]}]}]")],
      ["0 1:2048/16 allow", "0 58:32768/16 allow"],
    ],
    [
      "a deny for the host is an entry",
      [rule("ingressDeny: [{fromEntities: [host]}]")],
      ["1 0:0/0 deny"],
    ],
    [
      "a broad deny shadows a narrow allow",
      [
        rule(`ingress: [{fromEndpoints: [{}], ${PORT_80}}]`),
        rule("ingressDeny: [{fromEndpoints: [{matchLabels: {app: client}}]}]"),
      ],
      ["256 6:80/16 allow", "257 0:0/0 deny"],
    ],
    [
      "a narrow deny stays inside a broad allow",
      [
        rule(`ingress: [{fromEntities: [all]}]`),
        rule(`ingressDeny: [{fromEndpoints: [{matchLabels: {app: client}}], ${PORT_80}}]`),
      ],
      ["0 0:0/0 allow", "257 6:80/16 deny"],
    ],
    [
      "CIDR identities under a broader prefix are selected",
      [rule("ingress: [{fromCIDRSet: [{cidr: 10.0.0.0/8}]}]")],
      [`${NET_10.id} 0:0/0 allow`, `${NET_10_1.id} 0:0/0 allow`],
    ],
    [
      "except is taken out of its own entry",
      [rule("ingress: [{fromCIDRSet: [{cidr: 10.0.0.0/8, except: [10.1.0.0/16]}]}]")],
      [`${NET_10.id} 0:0/0 allow`],
    ],
    [
      "0.0.0.0/0 is the IPv4 world",
      [rule(`ingress: [{fromCIDR: [0.0.0.0/0], ${PORT_80}}]`)],
      [`${NET_10.id} 6:80/16 allow`, `${NET_10_1.id} 6:80/16 allow`, "9 6:80/16 allow"],
    ],
    [
      "world is every world identity",
      [rule("ingress: [{fromEntities: [world]}]")],
      [
        "10 0:0/0 allow",
        `${NET_10.id} 0:0/0 allow`,
        `${NET_10_1.id} 0:0/0 allow`,
        "2 0:0/0 allow",
        "9 0:0/0 allow",
      ],
    ],
    [
      "L7 rules of one key are joined",
      [
        rule(`ingress: [{fromEndpoints: [{}], ${HTTP("http: [{method: GET}]")}}]`),
        rule(`ingress: [{fromEndpoints: [{}], ${HTTP('http: [{path: "/a", method: PUT}]')}}]`),
      ],
      [
        "256 6:80/16 l7-http[method=GET | path=/a&method=PUT]",
        "257 6:80/16 l7-http[method=GET | path=/a&method=PUT]",
      ],
    ],
    [
      "a plain allow of the same key lets all requests through the proxy",
      [
        rule(`ingress: [{fromEndpoints: [{}], ${HTTP("http: [{method: GET}]")}}]`),
        rule(`ingress: [{fromEndpoints: [{}], ${PORT_80}}]`),
      ],
      ["256 6:80/16 l7-http[*]", "257 6:80/16 l7-http[*]"],
    ],
    [
      "a broader allow defeats L7 for that peer only",
      [
        rule(`ingress: [{${HTTP("http: [{method: GET}]")}}]`),
        rule("ingress: [{fromEndpoints: [{matchLabels: {app: client}}]}]"),
      ],
      ["0 6:80/16 l7-http[method=GET]", "257 0:0/0 allow", "257 6:80/16 l7-http[*]"],
    ],
    [
      "an allow for anyone defeats L7 of a peer",
      [
        rule(
          `ingress: [{fromEndpoints: [{matchLabels: {app: client}}], ${HTTP("http: [{method: GET}]")}}]`,
        ),
        rule(`ingress: [{${PORT_80}}]`),
      ],
      ["0 6:80/16 allow", "257 6:80/16 l7-http[*]"],
    ],
    [
      "http: [{}] is seen, nothing denied",
      [rule(`ingress: [{${HTTP("http: [{}]")}}]`)],
      ["0 6:80/16 l7-http[*]"],
    ],
    ["http: [] is no L7 rule", [rule(`ingress: [{${HTTP("http: []")}}]`)], ["0 6:80/16 allow"]],
    [
      "l7proto names its plugin",
      [rule(`ingress: [{${HTTP("l7proto: redis@1.2.3, l7: [{cmd: GET, key: a}]")}}]`)],
      ["0 6:80/16 redis[cmd=GET&key=a]"],
    ],
    [
      "l7proto without rules allows everything",
      [rule(`ingress: [{${HTTP("l7proto: redis")}}]`)],
      ["0 6:80/16 redis[*]"],
    ],
    [
      "without default deny L7 rules deny nothing",
      [rule(`enableDefaultDeny: {ingress: false}, ingress: [{${HTTP("http: [{method: GET}]")}}]`)],
      ["0 0:0/0 allow", "0 6:80/16 l7-http[*]"],
    ],
    [
      "one policy with default deny brings L7 back",
      [
        rule(`enableDefaultDeny: {ingress: false}, ingress: [{${HTTP("http: [{method: GET}]")}}]`),
        rule("ingress: [{}]"),
      ],
      ["0 6:80/16 l7-http[method=GET]"],
    ],
    [
      "a conflicting namespace of the subject is overwritten",
      [
        '{endpointSelector: {matchLabels: {"k8s:io.kubernetes.pod.namespace": prod}}, ingress: [{}]}',
      ],
      [],
    ],
    [
      "KNP ingress: [{}] allows everything",
      [
        "apiVersion: networking.k8s.io/v1\nkind: NetworkPolicy\nmetadata: {name: k}\nspec: {ingress: [{}]}",
      ],
      ["0 0:0/0 allow"],
    ],
    [
      "KNP port without protocol is TCP",
      [
        "apiVersion: networking.k8s.io/v1\nkind: NetworkPolicy\nmetadata: {name: k}\nspec: {ingress: [{ports: [{port: 80}, {protocol: UDP}]}]}",
      ],
      ["0 17:0/0 allow", "0 6:80/16 allow"],
    ],
    [
      "KNP of egress only leaves ingress open",
      [
        "apiVersion: networking.k8s.io/v1\nkind: NetworkPolicy\nmetadata: {name: k}\nspec: {policyTypes: [Egress]}",
      ],
      ["0 0:0/0 allow"],
    ],
    [
      "a clusterwide {} peer is any pod, never host or world",
      [
        "apiVersion: cilium.io/v2\nkind: CiliumClusterwideNetworkPolicy\nmetadata: {name: c}\nspec: {endpointSelector: {}, ingress: [{fromEndpoints: [{}]}]}",
      ],
      ["256 0:0/0 allow", "257 0:0/0 allow", "258 0:0/0 allow"],
    ],
  ])("%s", (_, specs, expected) => {
    expect(table(resolve(...specs))).toEqual([...expected].sort());
  });

  test("never selects a pod by address, whatever labels it carries", () => {
    const odd = { id: 300, labels: [...CLIENT.labels, parseLabel("cidr:10.0.0.1/32")] };
    const repository = repositoryOf(rule("ingress: [{fromCIDR: [10.0.0.0/8]}]"));
    expect(resolvePolicy(repository, [WEB, odd], SUBJECT).entries.map((e) => e.identity)).toEqual([
      0,
    ]);
  });

  test("a clusterwide policy for pods without labels may select peers without namespace", () => {
    const text = `apiVersion: cilium.io/v2\nkind: CiliumClusterwideNetworkPolicy\nmetadata: {name: c}\nspec: {endpointSelector: {matchLabels: {"reserved:init": ""}}, ingress: [{fromEndpoints: [{matchLabels: {app: bare}}]}]}`;
    const bare = {
      id: 301,
      labels: [k8sLabel("app", "bare"), k8sLabel("io.cilium.k8s.policy.cluster", "default")],
    };
    const init = { ...SUBJECT, identity: { id: 5, labels: [parseLabel("reserved:init")] } };
    const resolved = resolvePolicy(repositoryOf(text), [bare], init);
    expect(table(resolved)).toEqual(["301 0:0/0 allow"]);
    expect(resolved.egressEnforced).toBe(true);
  });

  test("the lower parser priority decides the precedence of a redirect", () => {
    const [http] = resolve(rule(`ingress: [{${HTTP("http: [{}]")}}]`)).entries;
    const [generic] = resolve(rule(`ingress: [{${HTTP("l7proto: redis")}}]`)).entries;
    expect([(http?.precedence ?? 0) & 0xff, (generic?.precedence ?? 0) & 0xff]).toEqual([154, 144]);
  });

  test("fields of HTTP rules carry header matches under dotted keys", () => {
    const [entry] = resolve(
      rule(
        `ingress: [{${HTTP('http: [{host: a, headers: ["X-A: 1", X-B], headerMatches: [{name: c, value: d, mismatch: LOG}]}]')}}]`,
      ),
    ).entries;
    expect(entry?.l7?.rules).toEqual([
      [
        { key: "host", value: "a" },
        { key: "headers", value: "X-A: 1" },
        { key: "headers", value: "X-B" },
        { key: "headerMatches.0.name", value: "c" },
        { key: "headerMatches.0.value", value: "d" },
        { key: "headerMatches.0.mismatch", value: "LOG" },
      ],
    ]);
  });

  test.each([
    ["on one selector without any peer", "fromEndpoints: [{matchLabels: {app: ghost}}]"],
    ["on one peer", "fromEndpoints: [{}]"],
  ])("refuses different parsers %s, naming both policies", (_, peers) => {
    const specs = [
      rule(`ingress: [{${peers}, ${HTTP("http: [{}]")}}]`),
      rule(`ingress: [{${peers}, ${HTTP("l7proto: redis")}}]`),
    ];
    expect(() => resolve(...specs)).toThrow(PolicyConflictError);
    expect(() => resolve(...specs)).toThrow(/default\/p0 asks for l7-http.*default\/p1 for redis/);
  });

  test("refuses different versions of one plugin, lets a pinned one serve the unpinned", () => {
    const spec = (name: string) => rule(`ingress: [{${HTTP(`l7proto: ${name}`)}}]`);
    expect(() => resolve(spec("redis@1.0.0"), spec("redis@2.0.0"))).toThrow(PolicyConflictError);
    expect(resolve(spec("redis"), spec("redis@2.0.0")).entries[0]?.l7?.version).toBe("2.0.0");
  });

  test("named ports on egress are the peer's own", () => {
    const { documents } = parsePolicyFile(
      `apiVersion: cilium.io/v2\nkind: CiliumNetworkPolicy\nmetadata: {name: p}\nspec: ${rule("egress: [{toEndpoints: [{}], toPorts: [{ports: [{port: http}]}]}]")}`,
      "f.yaml",
      { checkPattern: () => undefined },
    );
    expect(() => new PolicyRepository().upsertAll(documents)).toThrow(PolicyRefusedError);
    const repository = new PolicyRepository({ features: { peerNamedPorts: true } });
    repository.upsertAll(documents);
    const namedPortsOf = (id: number) =>
      id === 257 ? [{ name: "http", port: 81, protocol: 6 }] : [];
    const resolved = resolvePolicy(repository, IDENTITIES, SUBJECT, { namedPortsOf });
    expect(table(resolved, "egress")).toEqual(["257 6:81/16 allow"]);
  });

  test.each([
    ["always", [true, true], []],
    ["never", [false, false], ["0 0:0/0 allow"]],
  ] as const)("enforcement %s", (enforcement, enforced, expected) => {
    const repository =
      enforcement === "never" ? repositoryOf(rule("ingress: [{}]")) : repositoryOf();
    const resolved = resolvePolicy(repository, IDENTITIES, SUBJECT, { enforcement });
    expect([resolved.ingressEnforced, resolved.egressEnforced]).toEqual(enforced);
    expect(table(resolved)).toEqual(expected);
  });

  test("1,000 policies, 1,000 identities and 10 endpoints take well under 2 s", () => {
    const apps = 200;
    const specs = Array.from(
      { length: 1000 },
      (_, i) =>
        `{endpointSelector: {matchLabels: {app: a${i % apps}}}, ingress: [{fromEndpoints: [{matchLabels: {app: a${(i * 7) % apps}}}, {matchExpressions: [{key: app, operator: NotIn, values: [a1]}]}], toPorts: [{ports: [{port: "${80 + (i % 50)}", endPort: ${400 + i}, protocol: TCP}]}]}, {fromCIDR: [10.${i % 256}.0.0/16]}]}`,
    );
    const repository = repositoryOf(...specs);
    const pods = Array.from(
      { length: 1000 },
      (_, i): Identity => ({
        id: 256 + i,
        labels: podLabels({ namespace: "default", labels: { app: `a${i % apps}`, pod: `p${i}` } }),
      }),
    );
    const cidrs = [...namedPrefixes(repository.rules()).values()].map((one, i) => ({
      id: (1 << 24) + 1 + i,
      labels: cidrLabels(one),
    }));
    // CPU, not wall time: other test files run beside this one.
    const started = process.threadCpuUsage();
    let entries = 0;
    for (const identity of pods.slice(0, 10)) {
      entries += resolvePolicy(repository, [...pods, ...cidrs], { ...SUBJECT, identity }).entries
        .length;
    }
    const used = process.threadCpuUsage(started);
    const elapsedMs = (used.user + used.system) / 1000;
    console.log(`10 endpoints: ${entries} entries in ${elapsedMs.toFixed(0)} ms of CPU`);
    expect(elapsedMs).toBeLessThan(2000);
  }, 60_000);
});

describe("PolicyRepository", () => {
  test("counts revisions, replaces by name and names policies in order", () => {
    const repository = repositoryOf(rule("ingress: [{}]"), rule("egress: [{}]"));
    expect([repository.revision, repository.list().map((p) => p.document.name)]).toEqual([
      2,
      ["p0", "p1"],
    ]);
    const key = { kind: "CiliumNetworkPolicy", namespace: "default", name: "p0" } as const;
    const copy = repository.clone();
    expect([copy.delete(key), copy.delete(key), copy.revision]).toEqual([true, false, 3]);
    expect([repository.get(key)?.revision, copy.get(key)]).toEqual([2, undefined]);
    expect(resolvePolicy(copy, IDENTITIES, SUBJECT).ingressEnforced).toBe(false);
  });

  test("changes nothing when one of several documents is refused", () => {
    const text = [rule("ingress: [{}]"), rule("egress: [{toFQDNs: [{matchName: a}]}]")]
      .map(
        (spec, i) =>
          `apiVersion: cilium.io/v2\nkind: CiliumNetworkPolicy\nmetadata: {name: q${i}}\nspec: ${spec}`,
      )
      .join("\n---\n");
    const { documents } = parsePolicyFile(text, "f.yaml", { checkPattern: () => undefined });
    const repository = new PolicyRepository();
    expect(() => repository.upsertAll(documents)).toThrow(
      "spec.egress[0].toFQDNs: DNS name peers are not enforced",
    );
    expect([repository.revision, repository.list()]).toEqual([1, []]);
  });

  test("origins carry the policy's labels and its log value", () => {
    const [entry] = resolve(
      rule(
        'labels: [{key: team, value: a}, "k8s:x=y"], log: {value: hello}, ingress: [{fromEntities: [host]}]',
      ),
    ).entries;
    expect(entry?.origins).toEqual([
      {
        kind: "CiliumNetworkPolicy",
        name: "p0",
        namespace: "default",
        revision: 2,
        log: "hello",
        labels: [
          "k8s:io.cilium.k8s.policy.derived-from=CiliumNetworkPolicy",
          "k8s:io.cilium.k8s.policy.name=p0",
          "k8s:io.cilium.k8s.policy.namespace=default",
          "k8s:x=y",
          "unspec:team=a",
        ],
      },
    ]);
  });

  test("lists the prefixes the ipcache must tell apart", () => {
    const repository = repositoryOf(
      rule(
        "ingress: [{fromCIDR: [0.0.0.0/0, 10.1.2.3/8]}, {fromCIDRSet: [{cidr: '::/0', except: ['FD00::/8']}]}]",
      ),
    );
    expect([...namedPrefixes(repository.rules()).keys()]).toEqual(["10.0.0.0/8", "fd00::/8"]);
  });
});

describe("SelectorCache", () => {
  test("keeps selections while identities come, change and go", () => {
    const repository = repositoryOf(
      rule("ingress: [{fromEndpoints: [{matchLabels: {app: client}}]}]"),
    );
    const cache = new SelectorCache([WEB]);
    const peers = () =>
      resolvePolicy(repository, cache, SUBJECT)
        .entries.filter((e) => e.direction === "ingress")
        .map((e) => e.identity);
    expect(peers()).toEqual([]);
    cache.upsert(CLIENT);
    expect(peers()).toEqual([257]);
    cache.upsert(pod(257, "other"));
    expect(peers()).toEqual([]);
    cache.upsert(CLIENT);
    cache.remove(257);
    expect(peers()).toEqual([]);
  });
});
