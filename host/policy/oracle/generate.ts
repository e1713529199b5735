/**
 * Random policies of all kinds over a small world of pods, reserved identities and addresses; those
 * of Cilium and visibility here, Kubernetes' own in generate-kubernetes.ts.
 */
import fc from "fast-check";
import { kubernetes, tiered } from "./generate-kubernetes.ts";
import {
  anyPort,
  app,
  CIDRS,
  cidrSet,
  expression,
  namespaceKey,
  numbered,
  port,
  protocol,
} from "./generate-parts.ts";

export const ENTITIES = [
  "all",
  "world",
  "cluster",
  "cluster-mesh",
  "host",
  "init",
  "ingress",
  "unmanaged",
  "remote-node",
  "health",
  "none",
  "kube-apiserver",
];

const endpointSelector = fc.oneof(
  fc.constant({}),
  app.map((value) => ({ matchLabels: { app: value } })),
  app.map((value) => ({ matchLabels: { "k8s:app": value } })),
  fc.record({
    matchExpressions: fc.array(expression(fc.constantFrom("app", "k8s:tier")), {
      minLength: 1,
      maxLength: 2,
    }),
  }),
  fc
    .tuple(namespaceKey, app)
    .map(([key, value]) => ({ matchLabels: { [key]: "prod", app: value } })),
  namespaceKey.map((key) => ({ matchExpressions: [{ key, operator: "Exists" }] })),
  fc
    .constantFrom("host", "world-ipv4", "remote-node", "kube-apiserver")
    .map((name) => ({ matchLabels: { [`reserved:${name}`]: "" } })),
  fc.constant({ matchLabels: { "k8s:io.cilium.k8s.namespace.labels.team": "blue" } }),
  fc.constant({ matchLabels: { "k8s:io.cilium.k8s.policy.cluster": "other" } }),
);

const httpRule = fc.record(
  {
    path: fc.constantFrom("/public", "/public/.*", "/api"),
    method: fc.constantFrom("GET", "POST|PUT"),
  },
  { requiredKeys: [] },
);

/** Protocols that have none. */
const portless = fc
  .tuple(
    fc.constantFrom("VRRP", "IGMP", "GRE", "IPIP", "IPV6", "ESP", "AH"),
    fc.constantFrom({}, { port: "0" }),
  )
  .map(([name, zero]) => ({ ...zero, protocol: name }));
/** All ports, without saying so. */
const noPort = protocol.map((name) => (name === undefined ? {} : { protocol: name }));
const onePort = fc.oneof(
  { weight: 8, arbitrary: port(anyPort, protocol) },
  { weight: 1, arbitrary: portless },
  { weight: 1, arbitrary: noPort },
);
const plainPorts = fc.record({
  ports: fc.array(onePort, { minLength: 1, maxLength: 3 }),
});
const httpPorts = fc.record({
  ports: fc.array(
    port(
      fc.oneof(numbered, fc.constant<[string, undefined]>(["http", undefined])),
      fc.constant("TCP"),
    ),
    { minLength: 1, maxLength: 2 },
  ),
  rules: fc.record({ http: fc.array(httpRule, { maxLength: 2 }) }),
});
const icmpField = fc.oneof(
  fc.record({ type: fc.constantFrom(0, 8, "8", "EchoRequest", "EchoReply", "Timestamp") }),
  fc.record({
    family: fc.constant("IPv4"),
    type: fc.constantFrom(0, 8, 13, 128, 200, "EchoRequest"),
  }),
  fc.record({
    family: fc.constant("IPv6"),
    type: fc.constantFrom(0, 8, 128, 129, 200, "EchoRequest", "HomeAgentAddressDiscoveryRequest"),
  }),
);
const icmps = fc.array(fc.record({ fields: fc.array(icmpField, { maxLength: 2 }) }), {
  maxLength: 2,
});

const groupSelector = fc.constantFrom(
  {},
  { matchLabels: { site: "a" } },
  { matchLabels: { "cidrgroup:site": "b" } },
  { matchLabels: { site: "a", tier: "x" } },
  { matchLabels: { "io.cilium.policy.cidrgroupname/policy-0": "" } },
  { matchExpressions: [{ key: "site", operator: "Exists" }] },
  { matchExpressions: [{ key: "site", operator: "DoesNotExist" }] },
  { matchExpressions: [{ key: "cidrgroup:site", operator: "NotIn", values: ["a"] }] },
  { matchExpressions: [{ key: "tier", operator: "In", values: ["x", "y"] }] },
);
const groupSet = fc
  .tuple(
    fc.oneof(
      fc
        .constantFrom("policy-0", "policy-1", "policy-2", "absent")
        .map((name) => ({ cidrGroupRef: name })),
      groupSelector.map((selector) => ({ cidrGroupSelector: selector })),
    ),
    fc.subarray(["10.1.2.0/24", "192.168.0.0/16", "fd00:1::/32"]),
  )
  .map(([group, except]) => (except.length === 0 ? group : { ...group, except }));

const inNamespace = fc.constantFrom({}, { namespace: "default" }, { namespace: "prod" });
const service = fc.oneof(
  fc
    .tuple(fc.constantFrom("db", "outside", "empty", "absent"), inNamespace)
    .map(([serviceName, where]) => ({ k8sService: { serviceName, ...where } })),
  fc
    .tuple(
      fc.constantFrom(
        {},
        { matchLabels: { tier: "data" } },
        { matchLabels: { "k8s:tier": "far" } },
      ),
      inNamespace,
    )
    .map(([selector, where]) => ({ k8sServiceSelector: { selector, ...where } })),
);
const nodeLabels = fc.constantFrom(
  {},
  { matchLabels: { role: "edge" } },
  { matchLabels: { "node:role": "db" } },
  { matchExpressions: [{ key: "role", operator: "NotIn", values: ["edge"] }] },
);

/** `isDeny`: a deny item may not have names at all. */
function peers(to: "from" | "to", isDeny: boolean): fc.Arbitrary<Record<string, unknown>> {
  const list = <T>(item: fc.Arbitrary<T>) => fc.array(item, { maxLength: 2 });
  return fc.oneof(
    fc.constant({}),
    list(endpointSelector).map((value) => ({ [`${to}Endpoints`]: value })),
    list(fc.constantFrom(...CIDRS)).map((value) => ({ [`${to}CIDR`]: value })),
    list(fc.oneof(cidrSet, groupSet)).map((value) => ({ [`${to}CIDRSet`]: value })),
    list(nodeLabels).map((value) => ({ [`${to}Nodes`]: value })),
    // What is only accepted empty selects nobody.
    fc
      .constantFrom(
        ...(to === "from" ? ["fromGroups"] : isDeny ? ["toGroups"] : ["toGroups", "toFQDNs"]),
      )
      .map((field) => ({
        [field]: [],
      })),
    ...(to === "to" ? [list(service).map((value) => ({ toServices: value }))] : []),
    list(fc.constantFrom(...ENTITIES)).map((value) => ({ [`${to}Entities`]: value })),
  );
}

function l4(deny: boolean, l7: boolean): fc.Arbitrary<Record<string, unknown>> {
  const portRule = deny || !l7 ? plainPorts : fc.oneof(plainPorts, httpPorts);
  return fc.oneof(
    { weight: 2, arbitrary: fc.constant({}) },
    { weight: 4, arbitrary: fc.array(portRule, { maxLength: 2 }).map((toPorts) => ({ toPorts })) },
    { weight: 1, arbitrary: icmps.map((value) => ({ icmps: value })) },
  );
}

function items(to: "from" | "to", deny: boolean, l7: boolean) {
  // A list of another kind may stand beside the peers if it is empty.
  const kinds = ["Endpoints", "CIDR", "CIDRSet", "Entities", "Nodes", "Groups"];
  const beside = fc.option(fc.constantFrom(...kinds), { freq: 8, nil: undefined });
  const item = fc.tuple(beside, peers(to, deny), l4(deny, l7)).map(([kind, peer, ports]) => ({
    ...(kind === undefined ? {} : { [to + kind]: [] }),
    ...peer,
    ...ports,
  }));
  return fc.array(item, { maxLength: 3 });
}

const some = <T>(arbitrary: fc.Arbitrary<T[]>) =>
  fc.oneof({ weight: 3, arbitrary: fc.constant<T[]>([]) }, { weight: 1, arbitrary });

const switches = fc.option(
  fc.record({ ingress: fc.boolean(), egress: fc.boolean() }, { requiredKeys: [] }),
  { freq: 3, nil: undefined },
);

/** `l7`: also rules that look into what is said. */
function ruleFor(selector: fc.Arbitrary<Record<string, unknown>>, l7: boolean) {
  return fc
    .record({
      selector,
      ingress: items("from", false, l7),
      ingressDeny: some(items("from", true, l7)),
      egress: items("to", false, l7),
      egressDeny: some(items("to", true, l7)),
      enableDefaultDeny: switches,
    })
    .filter(
      ({ ingress, ingressDeny, egress, egressDeny }) =>
        ingress.length + ingressDeny.length + egress.length + egressDeny.length > 0,
    )
    .map(({ selector: whom, enableDefaultDeny, ...rest }) => ({
      ...whom,
      ...rest,
      ...(enableDefaultDeny ? { enableDefaultDeny } : {}),
    }));
}

const rule = ruleFor(
  fc
    .oneof(
      { weight: 6, arbitrary: fc.constant({}) },
      { weight: 4, arbitrary: fc.constant({ matchLabels: { app: "web" } }) },
      { weight: 2, arbitrary: endpointSelector },
      { weight: 1, arbitrary: fc.constant({ matchLabels: { "reserved:init": "" } }) },
    )
    .map((value) => ({ endpointSelector: value })),
  true,
);
/** For the node itself. */
const nodeRule = ruleFor(
  nodeLabels.map((value) => ({ nodeSelector: value })),
  false,
);

/** How the L7 rules of a policy count; mostly as usual. */
const annotations = fc.oneof(
  { weight: 2, arbitrary: fc.constant({}) },
  {
    weight: 1,
    arbitrary: fc.record(
      {
        "imker.io/l7-mode": fc.constantFrom("enforce", "audit", "observe"),
        "imker.io/l7-failure": fc.constantFrom("closed", "open"),
      },
      { requiredKeys: [] },
    ),
  },
);

const visibility = fc
  .record({
    namespace: fc.constantFrom("default", "prod"),
    endpointSelector: fc.oneof(
      fc.constant({}),
      app.map((value) => ({ matchLabels: { app: value } })),
    ),
    direction: fc.constantFrom("ingress", "egress"),
    ports: fc.array(port(numbered, fc.constant("TCP")), { minLength: 1, maxLength: 2 }),
    plugin: fc.constantFrom("redis", "memcached", "l7-http"),
  })
  .map(({ namespace, ...spec }) => ({
    apiVersion: "imker.io/v1alpha1",
    kind: "VisibilityPolicy",
    metadata: { name: "", namespace },
    spec,
  }));

const body = fc.oneof(
  rule.map((spec) => ({ spec })),
  fc.array(rule, { minLength: 1, maxLength: 2 }).map((specs) => ({ specs })),
);

const cilium = fc
  .tuple(body, fc.boolean(), fc.constantFrom("default", "prod"), annotations)
  .map(([spec, clusterwide, namespace, annotations]) =>
    clusterwide
      ? {
          apiVersion: "cilium.io/v2",
          kind: "CiliumClusterwideNetworkPolicy",
          metadata: { name: "", annotations },
          ...spec,
        }
      : {
          apiVersion: "cilium.io/v2",
          kind: "CiliumNetworkPolicy",
          metadata: { name: "", namespace, annotations },
          ...spec,
        },
  );

const nodePolicy = nodeRule.map((spec) => ({
  apiVersion: "cilium.io/v2",
  kind: "CiliumClusterwideNetworkPolicy",
  metadata: { name: "" },
  spec,
}));

/** A policy that only denies, whatever it does to the default. */
export const denials = fc
  .record({
    endpointSelector: fc.constantFrom({}, { matchLabels: { app: "web" } }),
    ingressDeny: items("from", true, false),
    egressDeny: items("to", true, false),
    enableDefaultDeny: fc.constantFrom({}, { ingress: false, egress: false }),
  })
  .filter(({ ingressDeny, egressDeny }) => ingressDeny.length + egressDeny.length > 0)
  .map((spec) => ({
    apiVersion: "cilium.io/v2",
    kind: "CiliumClusterwideNetworkPolicy",
    metadata: { name: "denials" },
    spec,
  }));

/** Besides those that policies name. */
const GROUP_CIDRS = [
  ...["172.16.0.0/12", "8.8.8.0/24", "2001:db8::/32", "10.1.2.4/32", "10.200.0.0/16"],
  ...["192.168.7.7/32", "fd00:2::/32", "fd00:1::/64"],
];

const cidrGroup = fc
  .tuple(
    fc.constantFrom<Record<string, string>[]>(
      ...[{}, { site: "a" }, { site: "b" }, { site: "a", tier: "x" }, { tier: "y" }],
    ),
    fc.uniqueArray(fc.constantFrom(...CIDRS, ...GROUP_CIDRS), { maxLength: 4 }),
  )
  .map(([labels, externalCIDRs]) => ({
    apiVersion: "cilium.io/v2",
    kind: "CiliumCIDRGroup",
    metadata: { name: "", labels },
    spec: { externalCIDRs },
  }));

const BANP = "BaselineAdminNetworkPolicy";

const somePolicies = fc.array(
  fc.oneof<fc.Arbitrary<{ kind: string; metadata: object }>[]>(
    ...[cilium, cilium, cilium, cilium, kubernetes, kubernetes, visibility],
    ...[tiered, tiered, nodePolicy],
  ),
  { maxLength: 6 },
);

/**
 * Up to six policies and three groups, before or behind them, with names of their own; of
 * BaselineAdminNetworkPolicy there is one.
 */
export const policyObjects = fc
  .tuple(fc.array(cidrGroup, { maxLength: 3 }), somePolicies, fc.boolean())
  .map(([groups, policies, groupsFirst]) =>
    (groupsFirst ? [...groups, ...policies] : [...policies, ...groups])
      .filter(({ kind }, index, all) => kind !== BANP || !all.slice(0, index).some(isBaseline))
      .map((object, index) => ({
        ...object,
        metadata: {
          ...object.metadata,
          name: object.kind === BANP ? "default" : `policy-${index}`,
        },
      })),
  );

const isBaseline = ({ kind }: { kind: string }): boolean => kind === BANP;
