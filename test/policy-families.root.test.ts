/**
 * Every family of rules on real traffic, with a real agent: both directions, IPv4 and IPv6, and
 * changes while it runs. Each row is policies and who reaches whom under them.
 */
import { afterAll, afterEach, beforeAll, describe, expect, it, vi } from "vitest";
import { type Family, PolicyWorld } from "./policy-world.ts";

const START_MS = 60_000;
const WAIT = { timeout: 10_000, interval: 50 };
const FAMILIES: readonly Family[] = [4, 6];
const WITH_PORT = "toPorts: [{ports: [{port: '8080', protocol: TCP}]}]";

const VERSIONS: Readonly<Record<string, string>> = {
  NetworkPolicy: "networking.k8s.io/v1",
  ClusterNetworkPolicy: "policy.networking.k8s.io/v1alpha2",
  BaselineAdminNetworkPolicy: "policy.networking.k8s.io/v1alpha1",
};

function policy(kind: string, spec: string, name = "p"): string {
  const namespace = /^(Cilium)?NetworkPolicy$/.test(kind) ? ", namespace: test" : "";
  const apiVersion = VERSIONS[kind] ?? "cilium.io/v2";
  const metadata = `{name: ${name}${namespace}}`;
  return `apiVersion: ${apiVersion}\nkind: ${kind}\nmetadata: ${metadata}\nspec: {${spec}}\n`;
}

const cnp = (app: string, spec: string, name?: string): string =>
  policy("CiliumNetworkPolicy", `endpointSelector: {matchLabels: {app: ${app}}}, ${spec}`, name);
const web = (spec: string, name?: string): string => cnp("web", spec, name);
const client = (spec: string, name?: string): string => cnp("client", spec, name);
const ccnp = (spec: string): string => policy("CiliumClusterwideNetworkPolicy", spec, "c");
const knp = (app: string, spec: string): string =>
  policy("NetworkPolicy", `podSelector: {matchLabels: {app: ${app}}}, ${spec}`, "k");
const tier = (name: string, where: string, spec: string): string =>
  policy("ClusterNetworkPolicy", `${where}, subject: {namespaces: {}}, ${spec}`, name);
const pods = (app: string): string =>
  `{pods: {namespaceSelector: {}, podSelector: {matchLabels: {app: ${app}}}}}`;

interface Row {
  name: string;
  policies: readonly string[];
  /** Questions of policy-world.ts. */
  yes: readonly string[];
  no: readonly string[];
}

const row = (name: string, policies: string[], yes: string[], no: string[]): Row => ({
  ...{ name, policies, yes, no },
});

const ROWS: readonly Row[] = [
  row(
    "no policy",
    [],
    [
      ...["client > web tcp/8080", "world > web udp/5353", "web > world echo"],
      ...[47, 50, 112].map((protocol) => `client > web raw/${protocol}`),
      "world > web raw/47",
    ],
    [],
  ),
  row(
    "endpoints, in",
    [web("ingress: [{fromEndpoints: [{matchLabels: {app: client}}]}]")],
    ["client > web tcp/8080", "client > web udp/5353", "client > web echo", "node > web tcp/8080"],
    ["other > web tcp/8080", "world > web tcp/8080"],
  ),
  row(
    "endpoints, out, of another namespace",
    [client("egress: [{toEndpoints: [{matchLabels: {'k8s:io.kubernetes.pod.namespace': prod}}]}]")],
    ["client > other tcp/8080", "web > client tcp/8080"],
    ["client > web tcp/8080", "client > world tcp/8080", "client > node tcp/8080"],
  ),
  row(
    "the world, in",
    [web("ingress: [{fromEntities: [world]}]")],
    ["world > web tcp/8080", "world > web udp/5353"],
    ["client > web tcp/8080"],
  ),
  row(
    "the host and the cluster, out",
    [
      client("egress: [{toEntities: [host]}]"),
      cnp("web", "egress: [{toEntities: [cluster]}]", "q"),
    ],
    ["client > node tcp/8080", "web > node tcp/8080", "web > other tcp/8080"],
    ["client > web tcp/8080", "client > world tcp/8080", "web > world tcp/8080"],
  ),
  row(
    "a denied host is denied",
    [web("ingress: [{fromEntities: [all]}], ingressDeny: [{fromEntities: [host]}]")],
    ["client > web tcp/8080"],
    ["node > web tcp/8080"],
  ),
  row(
    "prefixes without a part, out and in",
    [
      client(
        "egress: [{toCIDRSet: [{cidr: 192.0.2.0/24, except: [192.0.2.66/32]}, " +
          "{cidr: '2001:db8:2::/64', except: ['2001:db8:2::66/128']}]}]",
      ),
      web("ingress: [{fromCIDR: [192.0.2.10/32, '2001:db8:2::10/128']}]", "q"),
    ],
    ["client > world tcp/8080", "world > web tcp/8080"],
    ["client > excepted tcp/8080", "client > web tcp/8080", "client > node tcp/8080"],
  ),
  row(
    "a port, in and out",
    [web(`ingress: [{${WITH_PORT}}]`), client(`egress: [{${WITH_PORT}}]`, "q")],
    ["other > web tcp/8080", "client > web tcp/8080", "client > world tcp/8080"],
    ["other > web tcp/9090", "other > web echo", "client > world tcp/9090", "client > web echo"],
  ),
  row(
    "a port by name, the subject's own and the peer's",
    [
      web("ingress: [{toPorts: [{ports: [{port: http, protocol: TCP}]}]}]"),
      client("egress: [{toEndpoints: [{}], toPorts: [{ports: [{port: http}]}]}]", "q"),
    ],
    ["other > web tcp/8080", "client > web tcp/8080"],
    ["other > web tcp/9090", "client > world tcp/8080"],
  ),
  row(
    "a range",
    [web("ingress: [{toPorts: [{ports: [{port: '8000', endPort: 8999}]}]}]")],
    ["client > web tcp/8080"],
    ["client > web tcp/9090", "client > web udp/5353"],
  ),
  row(
    "ICMP by type, in and out",
    [
      web(
        "ingress: [{icmps: [{fields: [{type: EchoRequest}, {type: 128, family: IPv6}]}]}], " +
          "egress: [{icmps: [{fields: [{type: 13}, {type: 129, family: IPv6}]}]}]",
      ),
    ],
    ["client > web echo", "world > web echo"],
    ["client > web tcp/8080", "web > client echo"],
  ),
  row(
    "UDP, and in pieces",
    [
      web("ingress: [{toPorts: [{ports: [{port: '5353', protocol: UDP}]}]}]"),
      client("egress: [{toPorts: [{ports: [{port: '5353', protocol: UDP}]}]}]", "q"),
    ],
    ["client > web udp/5353", "client > web large/5353", "world > web large/5353"],
    ["client > web tcp/8080"],
  ),
  row(
    "UDP in pieces by another port",
    [web("ingress: [{toPorts: [{ports: [{port: '5354', protocol: UDP}]}]}]")],
    [],
    ["client > web large/5353", "world > web udp/5353"],
  ),
  row(
    "protocols without ports, by their names",
    [
      web(
        "ingress: [{fromEndpoints: [{}], toPorts: [{ports: [{protocol: GRE}, {protocol: ESP}, " +
          "{protocol: VRRP, port: '0'}]}]}], ingressDeny: [{toPorts: [{ports: [{protocol: ESP}]}]}]",
      ),
      client("egress: [{toPorts: [{ports: [{protocol: GRE}, {protocol: ESP}]}]}]", "q"),
    ],
    ["client > web raw/47"],
    ["client > web raw/50", "client > web raw/112", "world > web raw/47", "client > web tcp/8080"],
  ),
  row(
    "all ports are not all protocols",
    [web("ingress: [{toPorts: [{ports: [{port: '0', protocol: ANY}]}]}]")],
    ["client > web tcp/8080", "client > web udp/5353"],
    ["client > web raw/47", "client > web raw/112", "client > web echo"],
  ),
  row(
    "deny beats what is narrower, in and out",
    [
      web(
        "ingress: [{fromEntities: [all]}, {fromEndpoints: [{matchLabels: {app: client}}], " +
          `${WITH_PORT}}], ingressDeny: [{fromEndpoints: [{matchLabels: {app: client}}]}]`,
      ),
      client(
        `egress: [{toEntities: [all]}], egressDeny: [{toEntities: [world], ${WITH_PORT}}]`,
        "q",
      ),
    ],
    ["world > web tcp/8080", "client > world tcp/9090", "client > other tcp/8080"],
    ["client > web tcp/8080", "client > world tcp/8080"],
  ),
  row(
    "an empty item denies, a switch leaves open",
    [
      web("ingress: [{}]"),
      client("enableDefaultDeny: {egress: false}, egressDeny: [{toEntities: [world]}]", "q"),
    ],
    ["client > other tcp/8080", "web > client tcp/8080"],
    ["client > web tcp/8080", "client > world tcp/8080"],
  ),
  row(
    "Kubernetes' own, in and out",
    [
      knp("web", "ingress: [{from: [{namespaceSelector: {}}], ports: [{port: 8080}]}]"),
      policy(
        "NetworkPolicy",
        "podSelector: {matchLabels: {app: client}}, policyTypes: [Egress], " +
          "egress: [{to: [{ipBlock: {cidr: 192.0.2.0/24, except: [192.0.2.66/32]}}, " +
          "{ipBlock: {cidr: '2001:db8:2::10/128'}}]}]",
        "q",
      ),
    ],
    ["other > web tcp/8080", "client > world udp/5353", "web > client tcp/8080"],
    [
      "world > web tcp/8080",
      "other > web tcp/9090",
      "client > web tcp/8080",
      "client > excepted tcp/8080",
    ],
  ),
  row(
    "clusterwide, of all pods",
    [ccnp("endpointSelector: {}, ingress: [{fromEndpoints: [{}]}]")],
    ["client > web tcp/8080", "client > other tcp/8080", "web > world tcp/8080"],
    ["world > web tcp/8080", "world > other tcp/8080"],
  ),
  row(
    "tiers: admin first, a pass leaves it to the rest, baseline last",
    [
      tier(
        "a",
        "tier: Admin, priority: 1",
        `ingress: [{action: Pass, from: [${pods("client")}]}, ` +
          `{action: Accept, from: [${pods("other")}]}], egress: [{action: Deny, ` +
          "to: [{networks: [192.0.2.66/32, '2001:db8:2::66/128']}]}]",
      ),
      tier(
        "b",
        "tier: Admin, priority: 2",
        `ingress: [{action: Deny, from: [${pods("client")}, ${pods("other")}]}]`,
      ),
      tier(
        "z",
        "tier: Baseline, priority: 0",
        `ingress: [{action: Deny, from: [${pods("client")}]}]`,
      ),
      web(`ingress: [{fromEndpoints: [{}], ${WITH_PORT}}]`),
    ],
    ["client > web tcp/8080", "other > web tcp/9090", "client > world tcp/8080"],
    ["client > web tcp/9090", "client > excepted tcp/8080", "client > other tcp/8080"],
  ),
  row(
    "what a NetworkPolicy isolates: the older baseline leaves it alone, the newer opens it",
    [
      knp("web", "ingress: [{from: [{podSelector: {matchLabels: {app: client}}}]}]"),
      policy(
        "NetworkPolicy",
        "podSelector: {matchLabels: {app: client}}, ingress: [], policyTypes: [Ingress]",
        "q",
      ),
      policy(
        "BaselineAdminNetworkPolicy",
        `subject: {namespaces: {}}, ingress: [{action: Allow, from: [${pods("other")}]}, ` +
          `{action: Deny, from: [${pods("web")}]}]`,
        "default",
      ),
      tier(
        "b",
        "tier: Baseline, priority: 0",
        `ingress: [{action: Accept, from: [${pods("web")}], ` +
          "protocols: [{tcp: {destinationPort: {number: 9090}}}]}]",
      ),
    ],
    ["client > web tcp/8080", "web > client tcp/9090", "web > other tcp/9090"],
    ["other > web tcp/8080", "other > client tcp/8080", "web > client tcp/8080"],
  ),
  row(
    "services: of pods, of addresses, of nothing",
    [
      client("egress: [{toServices: [{k8sService: {serviceName: shop, namespace: test}}]}]"),
      web(
        "egress: [{toServices: [{k8sServiceSelector: {selector: {matchLabels: {far: 'yes'}}}}]}]",
        "q",
      ),
      policy(
        "CiliumClusterwideNetworkPolicy",
        "endpointSelector: {matchLabels: {app: other}}, " +
          "egress: [{toServices: [{k8sService: {serviceName: absent}}]}]",
        "r",
      ),
    ],
    ["client > web tcp/8080", "web > world tcp/8080"],
    [
      "client > other tcp/8080",
      "web > excepted tcp/8080",
      "web > client tcp/8080",
      "other > web tcp/8080",
    ],
  ),
];

const SERVICES = `
{apiVersion: v1, kind: Service, metadata: {name: shop, namespace: test}, spec: {selector: {app: web}}}
---
{apiVersion: v1, kind: Service, metadata: {name: far, namespace: test, labels: {far: 'yes'}}, spec: {}}
---
{apiVersion: v1, kind: Endpoints, metadata: {name: far, namespace: test},
 subsets: [{addresses: [{ip: 192.0.2.10}, {ip: '2001:db8:2::10'}]}]}
`;

let world: PolicyWorld;
beforeAll(async () => {
  world = await PolicyWorld.start();
  world.state("services", SERVICES);
}, START_MS);
afterEach(() => world.withdrawAll());
afterAll(() => world?.close());

/** The questions whose answer is another than expected. */
async function wrong(yes: readonly string[], no: readonly string[]): Promise<string[]> {
  const found: string[] = [];
  const ask = async (question: string, family: Family, expected: boolean): Promise<void> => {
    const reaches = await world.reaches(question, family, expected);
    if (reaches !== expected) found.push(`IPv${family}: ${question}: ${reaches ? "yes" : "no"}`);
  };
  const questions = [
    ...yes.map((text) => ({ text, expected: true })),
    ...no.map((text) => ({ text, expected: false })),
  ];
  await Promise.all(
    FAMILIES.flatMap((family) =>
      questions.map(({ text, expected }) => ask(text, family, expected)),
    ),
  );
  return found;
}

it.each(ROWS)("$name", async ({ policies, yes, no }) => {
  if (policies.length > 0) await world.apply(policies.join("---\n"));
  expect(await wrong(yes, no)).toEqual([]);
});

describe("live changes", () => {
  it("a connection that lives is cut when its rule goes, and only that", async () => {
    await world.apply(web(`ingress: [{fromEndpoints: [{}], ${WITH_PORT}}]`));
    const both = FAMILIES.map(async (family) => ({
      client: await world.connect("client", "web", 8080, family),
      node: await world.connect("node", "web", 8080, family),
    }));
    const connections = await Promise.all(both);
    const alive = (expected: boolean) =>
      Promise.all(connections.map((one) => one.client(expected)));
    expect(await alive(true)).toEqual([true, true]);
    await world.apply(web("ingress: [{fromEndpoints: [{matchLabels: {app: nobody}}]}]"));
    expect(await alive(false)).toEqual([false, false]);
    expect(await Promise.all(connections.map((one) => one.node(true)))).toEqual([true, true]);
  });

  it("a connection of the pod that opens is cut by its own policy too", async () => {
    const connections = await Promise.all(
      FAMILIES.map((family) => world.connect("client", "world", 8080, family)),
    );
    await world.apply(client(`egressDeny: [{toEntities: [world], ${WITH_PORT}}]`));
    expect(await Promise.all(connections.map((alive) => alive(false)))).toEqual([false, false]);
  });

  it("a group of prefixes may change", async () => {
    const group = (cidrs: string): string =>
      policy("CiliumCIDRGroup", `externalCIDRs: [${cidrs}]`, "partners");
    const partner = "192.0.2.10/32, '2001:db8:2::10/128'";
    const excepted = "192.0.2.66/32, '2001:db8:2::66/128'";
    await world.apply(client("egress: [{toCIDRSet: [{cidrGroupRef: partners}]}]"));
    const [first, second] = ["client > world tcp/8080", "client > excepted tcp/8080"];
    expect(await wrong([], [first, second])).toEqual([]);
    await world.apply(group(partner));
    expect(await wrong([first], [second])).toEqual([]);
    await world.apply(group(excepted));
    expect(await wrong([second], [first])).toEqual([]);
  });

  it("an address is no part of a prefix any more when it is a node's", async () => {
    await world.apply(
      client("egress: [{toEntities: [remote-node]}]") +
        `---\n${web("egress: [{toCIDR: [192.0.2.0/24, '2001:db8:2::/64']}]", "q")}`,
    );
    const [node, outside] = ["client > excepted tcp/8080", "web > excepted tcp/8080"];
    expect(await wrong([outside], [node])).toEqual([]);
    world.state(
      "nodes",
      "{apiVersion: v1, kind: Node, metadata: {name: far}, status: {addresses: " +
        "[{type: InternalIP, address: 192.0.2.66}, {type: InternalIP, address: '2001:db8:2::66'}]}}\n",
    );
    await vi.waitFor(async () => expect(await wrong([node], [outside])).toEqual([]), WAIT);
    world.forgetState("nodes");
    await vi.waitFor(async () => expect(await wrong([outside], [node])).toEqual([]), WAIT);
  });

  it("a pod may become another", async () => {
    await world.apply(web("ingress: [{fromEndpoints: [{matchLabels: {team: blue}}]}]"));
    const question = "client > web tcp/8080";
    expect(await wrong([], [question])).toEqual([]);
    const label = (team: string) =>
      world.rig.client.call("PATCH", "/v1/endpoints/test%2Fclient", { labels: { team } });
    await label("blue");
    await vi.waitFor(async () => expect(await wrong([question], [])).toEqual([]), WAIT);
  });
});
