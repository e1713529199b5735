/**
 * Truth tables of Kubernetes' own kinds: NetworkPolicy, and the tiers around it. A row says who
 * reaches the pods a and b of namespace x, or whom x/a reaches, on TCP 80 if no port is named.
 */
import { describe, expect, test } from "vitest";
import { destinationsOf, EVERYONE, type Packet, sourcesOf } from "./testing/pod-matrix.ts";

const TCP80: Packet = { protocol: 6, port: 80 };
const tcp = (port: number): Packet => ({ protocol: 6, port });
const udp = (port: number): Packet => ({ protocol: 17, port });

const knp = (name: string, spec: string, namespace = "x") =>
  "apiVersion: networking.k8s.io/v1\nkind: NetworkPolicy\n" +
  `metadata: {name: ${name}, namespace: ${namespace}}\nspec: {${spec}}\n`;
const cnp = (spec: string) =>
  "apiVersion: cilium.io/v2\nkind: CiliumNetworkPolicy\n" +
  `metadata: {name: c, namespace: x}\nspec: {endpointSelector: {}, ${spec}}\n`;
const labelled = (key: string, value: string) => `{matchLabels: {${key}: ${value}}}`;
const ns = (name: string) => labelled("ns", name);
const tiered = (name: string, tier: string, spec: string, priority = 5) =>
  "apiVersion: policy.networking.k8s.io/v1alpha2\nkind: ClusterNetworkPolicy\n" +
  `metadata: {name: ${name}}\n` +
  `spec: {tier: ${tier}, priority: ${priority}, subject: {namespaces: ${ns("x")}}, ${spec}}\n`;
const banp = (spec: string) =>
  "apiVersion: policy.networking.k8s.io/v1alpha1\nkind: BaselineAdminNetworkPolicy\n" +
  `metadata: {name: default}\nspec: {subject: {namespaces: ${ns("x")}}, ${spec}}\n`;

/** Who reaches x/a, and x/b. */
type Row = [name: string, texts: string[], a: string, b: string, packet?: Packet];

function intoX(rows: readonly Row[]): void {
  test.each(rows)("%s", (_, texts, a, b, packet = TCP80) => {
    expect([sourcesOf(texts, "x/a", packet), sourcesOf(texts, "x/b", packet)]).toEqual([a, b]);
  });
}

describe("a NetworkPolicy on ingress", () => {
  const ingress = (rules: string) => [knp("p", `podSelector: {}, ingress: ${rules}`)];
  const from = (peers: string) => ingress(`[{from: [${peers}]}]`);
  const ports = (list: string) => ingress(`[{ports: [${list}]}]`);
  const namespaces = (expression: string) =>
    from(`{namespaceSelector: {matchExpressions: [{${expression}}]}}`);

  intoX([
    ["without rules closes", [knp("p", "podSelector: {}")], "nobody", "nobody"],
    ["with an empty rule is open", ingress("[{}]"), EVERYONE, EVERYONE],
    ["with empty lists is open", ingress("[{from: [], ports: []}]"), EVERYONE, EVERYONE],
    [
      "of one pod leaves others open",
      [knp("p", `podSelector: ${labelled("pod", "a")}`)],
      "nobody",
      EVERYONE,
    ],
    ["lets in its namespace", from("{podSelector: {}}"), "x", "x"],
    [
      "lets in pods by label, of its namespace only",
      from(`{podSelector: ${labelled("pod", "b")}}`),
      "x",
      "nobody",
    ],
    [
      "lets in any namespace, and nobody outside",
      from("{namespaceSelector: {}}"),
      "x y z",
      "x y z",
    ],
    ["lets in namespaces by label", from(`{namespaceSelector: ${ns("y")}}`), "y", "y"],
    [
      "lets in namespaces by the name the API server gives them",
      from(`{namespaceSelector: ${labelled("kubernetes.io/metadata.name", "z")}}`),
      "z",
      "z",
    ],
    [
      "with both selectors in one peer needs both",
      from(`{namespaceSelector: ${ns("y")}, podSelector: ${labelled("pod", "a")}}`),
      "y/a",
      "y/a",
    ],
    [
      "with two peers needs one; pods alone are of its namespace",
      from(`{namespaceSelector: ${ns("y")}}, {podSelector: ${labelled("pod", "a")}}`),
      "y",
      "x y",
    ],
    [
      "with NotIn is about pods only",
      namespaces("key: ns, operator: NotIn, values: [x]"),
      "y z",
      "y z",
    ],
    [
      "with NotIn takes pods of namespaces without the label",
      namespaces("key: quiet, operator: NotIn, values: [loud]"),
      "x y z",
      "x y z",
    ],
    [
      "with DoesNotExist is about pods only",
      namespaces("key: quiet, operator: DoesNotExist"),
      "x y",
      "x y",
    ],
    ["with Exists takes any value", namespaces("key: quiet, operator: Exists"), "z", "z"],
    ["with a label nobody has", from(`{podSelector: ${labelled("pod", "c")}}`), "nobody", "nobody"],
    [
      "lets in addresses but those excepted",
      from("{ipBlock: {cidr: 192.0.2.0/24, except: [192.0.2.128/25]}}"),
      "192.0.2.1",
      "192.0.2.1",
    ],
    [
      "lets in an excepted address that another block has",
      from(
        "{ipBlock: {cidr: 192.0.2.0/24, except: [192.0.2.128/25]}}, " +
          "{ipBlock: {cidr: 192.0.2.200/32}}",
      ),
      "192.0.2.1 192.0.2.200",
      "192.0.2.1 192.0.2.200",
    ],
    [
      "with all of IPv4 takes no IPv6 and no pod",
      from("{ipBlock: {cidr: 0.0.0.0/0}}"),
      "192.0.2.1 192.0.2.200 198.51.100.7",
      "192.0.2.1 192.0.2.200 198.51.100.7",
    ],
    [
      "with all of IPv4 but one range",
      from("{ipBlock: {cidr: 0.0.0.0/0, except: [192.0.2.0/24]}}"),
      "198.51.100.7",
      "198.51.100.7",
    ],
    ["with a port is about TCP", ports("{port: 53}"), "nobody", "nobody", udp(53)],
    [
      "with a protocol is about all its ports",
      ports("{protocol: UDP}"),
      EVERYONE,
      EVERYONE,
      udp(9),
    ],
    ["with a protocol is about no other", ports("{protocol: UDP}"), "nobody", "nobody"],
    ["with a range has its first port", ports("{port: 80, endPort: 90}"), EVERYONE, EVERYONE],
    ["with a range has its last port", ports("{port: 70, endPort: 80}"), EVERYONE, EVERYONE],
    ["with a range has none behind it", ports("{port: 70, endPort: 79}"), "nobody", "nobody"],
    ["with a name means the pod's port", ports("{port: web}"), EVERYONE, EVERYONE, tcp(8080)],
    ["with a name of UDP allows no TCP", ports("{port: dns}"), "nobody", "nobody", tcp(53)],
    [
      "and another allow what either allows",
      [
        ...from(`{namespaceSelector: ${ns("y")}}`),
        knp("q", "podSelector: {}, ingress: [{from: [{podSelector: {}}]}]"),
      ],
      "x y",
      "x y",
    ],
    [
      "without rules takes nothing away from another",
      [...from(`{namespaceSelector: ${ns("y")}}`), knp("q", "podSelector: {}")],
      "y",
      "y",
    ],
    [
      "of another namespace is none of theirs",
      [knp("p", "podSelector: {}", "y")],
      EVERYONE,
      EVERYONE,
    ],
  ]);
});

describe("a NetworkPolicy on egress", () => {
  const egress = (rules: string, types = "[Egress]") =>
    knp("p", `podSelector: ${labelled("pod", "a")}, egress: ${rules}, policyTypes: ${types}`);
  const to = (peers: string) => egress(`[{to: [${peers}]}]`);

  test.each<[string, string[], string, Packet?]>([
    ["of Egress only with an empty rule is open", [egress("[{}]")], EVERYONE],
    ["of Egress only without rules closes", [egress("[]")], "nobody"],
    ["of Ingress only is not about egress", [egress("[]", "[Ingress]")], EVERYONE],
    [
      "with rules counts though types name Ingress only",
      [egress("[{to: []}]", "[Ingress]")],
      EVERYONE,
    ],
    ["to pods is not to addresses", [to("{namespaceSelector: {}}")], "x y z"],
    [
      "to addresses is not to pods",
      [to("{ipBlock: {cidr: 192.0.2.0/25}}, {ipBlock: {cidr: '2001:db8::/32'}}")],
      "192.0.2.1 2001:db8::1",
    ],
    [
      "with a name means the port of each destination",
      [egress("[{ports: [{port: web}]}]")],
      "x y",
      tcp(8080),
    ],
    [
      "with a name that differs elsewhere means another number there",
      [egress("[{ports: [{port: web}]}]")],
      "z",
      tcp(8081),
    ],
    [
      "and one of the destination must both allow",
      [
        to(`{namespaceSelector: ${ns("y")}}`),
        knp("q", `podSelector: ${labelled("pod", "b")}`, "y"),
      ],
      "y/a",
    ],
  ])("%s", (_, texts, expected, packet = TCP80) => {
    expect(destinationsOf(texts, "x/a", packet)).toBe(expected);
  });

  test.each<[string, string, string]>([
    ["without types", `podSelector: {}, egress: [{}]`, "nobody"],
    ["of Egress only", `podSelector: {}, egress: [{}], policyTypes: [Egress]`, EVERYONE],
    ["of no type", `podSelector: {}, egress: [{}], policyTypes: []`, "nobody"],
  ])("%s: who is let in", (_, spec, expected) => {
    expect(sourcesOf([knp("p", spec)], "x/a", TCP80)).toBe(expected);
  });
});

const rule = (action: string, namespace: string, more = "") =>
  `{action: ${action}, from: [{namespaces: ${ns(namespace)}}]${more}}`;
/** It isolates all pods of x. */
const LETS_IN_Y = knp("p", `podSelector: {}, ingress: [{from: [{namespaceSelector: ${ns("y")}}]}]`);

describe("tiers around a NetworkPolicy", () => {
  const policy = (tier: string, ...rules: string[]) => tiered("t", tier, `ingress: [${rules}]`);
  const TCP81 = ", protocols: [{tcp: {destinationPort: {number: 81}}}]";

  intoX([
    [
      "admin denies what it allows",
      [policy("Admin", rule("Deny", "y")), LETS_IN_Y],
      "nobody",
      "nobody",
    ],
    [
      "admin accepts what it isolates",
      [policy("Admin", rule("Accept", "z")), LETS_IN_Y],
      "y z",
      "y z",
    ],
    [
      "admin passes to it, before a later deny",
      [policy("Admin", rule("Pass", "y"), rule("Deny", "y"), rule("Pass", "z")), LETS_IN_Y],
      "y",
      "y",
    ],
    [
      "the lower number of priority decides",
      [
        tiered("late", "Admin", `ingress: [${rule("Deny", "z")}]`, 9),
        tiered("early", "Admin", `ingress: [${rule("Accept", "z")}]`, 8),
        LETS_IN_Y,
      ],
      "y z",
      "y z",
    ],
    [
      "of one policy the first rule that matches decides, ports counted",
      [policy("Admin", rule("Accept", "z", TCP81), rule("Deny", "z"), rule("Accept", "z"))],
      "x y out",
      "x y out",
    ],
    [
      "baseline denies where no NetworkPolicy selects",
      [policy("Baseline", rule("Deny", "z"))],
      "x y out",
      "x y out",
    ],
    [
      "baseline gives way to what it allows",
      [policy("Baseline", rule("Deny", "y")), LETS_IN_Y],
      "y",
      "y",
    ],
    [
      "baseline is asked before isolation, as the tiers stand",
      [policy("Baseline", rule("Accept", "z")), LETS_IN_Y],
      "y z",
      "y z",
    ],
    [
      "accepts close nothing",
      [
        policy("Admin", rule("Accept", "z")),
        tiered("b", "Baseline", `ingress: [${rule("Accept", "z")}]`),
      ],
      EVERYONE,
      EVERYONE,
    ],
    [
      "all namespaces are all pods, and nobody outside",
      [policy("Admin", "{action: Deny, from: [{namespaces: {}}]}")],
      "out",
      "out",
    ],
  ]);

  test("networks are addresses of their family, never pods", () => {
    const deny = "{action: Deny, to: [{networks: [0.0.0.0/0]}]}";
    const egress = `egress: [{action: Accept, to: [{networks: [192.0.2.0/25]}]}, ${deny}]`;
    const words = destinationsOf([tiered("t", "Admin", egress)], "x/a", TCP80);
    expect(words).toBe("x y z 192.0.2.1 2001:db8::1");
  });
});

describe("a BaselineAdminNetworkPolicy", () => {
  const policy = (...rules: string[]) => banp(`ingress: [${rules}]`);
  intoX([
    ["denies where no NetworkPolicy selects", [policy(rule("Deny", "z"))], "x y out", "x y out"],
    ["gives way to what one allows", [policy(rule("Deny", "y")), LETS_IN_Y], "y", "y"],
    ["opens nothing that one isolates", [policy(rule("Allow", "z")), LETS_IN_Y], "y", "y"],
    [
      "counts where one isolates the other direction only",
      [policy(rule("Deny", "z")), knp("p", "podSelector: {}, policyTypes: [Egress], egress: [{}]")],
      "x y out",
      "x y out",
    ],
    [
      "counts for the pods that one does not select",
      [
        policy(rule("Allow", "z"), "{action: Deny, from: [{namespaces: {}}]}"),
        knp("p", `podSelector: ${labelled("pod", "a")}`),
      ],
      "nobody",
      "z out",
    ],
    [
      "is asked before the default deny of a CiliumNetworkPolicy",
      [policy(rule("Allow", "z")), cnp("ingress: [{}]")],
      "z",
      "z",
    ],
    [
      "is not asked where both select",
      [policy(rule("Allow", "z")), cnp("ingress: [{}]"), LETS_IN_Y],
      "y",
      "y",
    ],
  ]);
});
