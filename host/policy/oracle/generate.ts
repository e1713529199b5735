/**
 * Random policies over a small world of pods, reserved identities and addresses. Values come from
 * short lists, so that rules meet, contain and contradict each other often.
 */
import fc from "fast-check";

const CIDRS = [
  "10.0.0.0/8",
  "10.1.0.0/16",
  "10.1.2.0/24",
  "10.1.2.3/32",
  "192.168.0.0/16",
  "0.0.0.0/0",
  "fd00::/8",
  "fd00:1::/32",
  "fd00:1::5/128",
  "::/0",
];

const EXCEPTS: Record<string, string[]> = {
  "10.0.0.0/8": ["10.1.0.0/16", "10.1.2.0/24", "10.200.0.0/16"],
  "10.1.0.0/16": ["10.1.2.0/24"],
  "0.0.0.0/0": ["10.0.0.0/8", "192.168.0.0/16"],
  "fd00::/8": ["fd00:1::/32"],
  "::/0": ["fd00::/8"],
};

/** Every prefix that a policy may come to name. */
export const PREFIXES = [...new Set([...CIDRS, ...Object.values(EXCEPTS).flat()])];

export const ADDRESSES = [
  "10.1.2.3",
  "10.1.2.4",
  "10.1.9.9",
  "10.200.0.1",
  "192.168.7.7",
  "8.8.8.8",
  "fd00:1::5",
  "fd00:1::6",
  "fd00:2::1",
  "2001:db8::1",
];

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

const app = fc.constantFrom("web", "db", "client");
const namespaceKey = fc.constantFrom(
  "io.kubernetes.pod.namespace",
  "k8s:io.kubernetes.pod.namespace",
);

function expression(keys: fc.Arbitrary<string>) {
  return fc.oneof(
    fc.record({
      key: keys,
      operator: fc.constantFrom("In", "NotIn"),
      values: fc.uniqueArray(app, { minLength: 1, maxLength: 2 }),
    }),
    fc.record({ key: keys, operator: fc.constantFrom("Exists", "DoesNotExist") }),
  );
}

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

const cidrSet = fc.constantFrom(...CIDRS).chain((cidr) => {
  const except = EXCEPTS[cidr] ?? [];
  if (except.length === 0) return fc.constant({ cidr });
  return fc.subarray(except).map((some) => (some.length === 0 ? { cidr } : { cidr, except: some }));
});

const protocol = fc.constantFrom("TCP", "UDP", "SCTP", "ANY", undefined);
const numbered = fc.constantFrom<[string, number | undefined]>(
  ["80", undefined],
  ["443", undefined],
  ["8080", undefined],
  ["80", 90],
  ["1", 1023],
  ["8000", 9000],
  ["443", 80],
);
const anyPort = fc.oneof(
  { weight: 6, arbitrary: numbered },
  { weight: 1, arbitrary: fc.constant<[string, undefined]>(["0", undefined]) },
  {
    weight: 1,
    arbitrary: fc.constantFrom<[string, undefined]>(["http", undefined], ["Metrics", undefined]),
  },
);

function port(
  number: fc.Arbitrary<[string, number | undefined]>,
  proto: fc.Arbitrary<string | undefined>,
) {
  return fc.tuple(number, proto).map(([[value, endPort], name]) => ({
    port: value,
    ...(endPort === undefined ? {} : { endPort }),
    ...(name === undefined ? {} : { protocol: name }),
  }));
}

const httpRule = fc.record(
  {
    path: fc.constantFrom("/public", "/public/.*", "/api"),
    method: fc.constantFrom("GET", "POST|PUT"),
  },
  { requiredKeys: [] },
);

const plainPorts = fc.record({
  ports: fc.array(port(anyPort, protocol), { minLength: 1, maxLength: 3 }),
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
const icmps = fc.array(
  fc.record({
    fields: fc.array(
      fc.record({ family: fc.constantFrom("IPv4", "IPv6"), type: fc.constantFrom(0, 8, 128) }),
      { maxLength: 2 },
    ),
  }),
  { maxLength: 2 },
);

function peers(to: "from" | "to"): fc.Arbitrary<Record<string, unknown>> {
  const list = <T>(item: fc.Arbitrary<T>) => fc.array(item, { maxLength: 2 });
  return fc.oneof(
    fc.constant({}),
    list(endpointSelector).map((value) => ({ [`${to}Endpoints`]: value })),
    list(fc.constantFrom(...CIDRS)).map((value) => ({ [`${to}CIDR`]: value })),
    list(cidrSet).map((value) => ({ [`${to}CIDRSet`]: value })),
    list(fc.constantFrom(...ENTITIES)).map((value) => ({ [`${to}Entities`]: value })),
  );
}

function l4(deny: boolean): fc.Arbitrary<Record<string, unknown>> {
  const portRule = deny ? plainPorts : fc.oneof(plainPorts, httpPorts);
  return fc.oneof(
    { weight: 2, arbitrary: fc.constant({}) },
    { weight: 4, arbitrary: fc.array(portRule, { maxLength: 2 }).map((toPorts) => ({ toPorts })) },
    { weight: 1, arbitrary: icmps.map((value) => ({ icmps: value })) },
  );
}

function items(to: "from" | "to", deny: boolean) {
  const item = fc.tuple(peers(to), l4(deny)).map(([peer, ports]) => ({ ...peer, ...ports }));
  return fc.array(item, { maxLength: 3 });
}

const rule = fc
  .record({
    endpointSelector: fc.oneof(
      { weight: 3, arbitrary: fc.constant({}) },
      { weight: 2, arbitrary: fc.constant({ matchLabels: { app: "web" } }) },
      { weight: 1, arbitrary: endpointSelector },
    ),
    ingress: items("from", false),
    ingressDeny: fc.oneof(
      { weight: 3, arbitrary: fc.constant([]) },
      { weight: 1, arbitrary: items("from", true) },
    ),
    egress: items("to", false),
    egressDeny: fc.oneof(
      { weight: 3, arbitrary: fc.constant([]) },
      { weight: 1, arbitrary: items("to", true) },
    ),
    enableDefaultDeny: fc.oneof(
      { weight: 3, arbitrary: fc.constant(undefined) },
      {
        weight: 1,
        arbitrary: fc.record({ ingress: fc.boolean(), egress: fc.boolean() }, { requiredKeys: [] }),
      },
    ),
  })
  .filter(
    ({ ingress, ingressDeny, egress, egressDeny }) =>
      ingress.length + ingressDeny.length + egress.length + egressDeny.length > 0,
  )
  .map(({ enableDefaultDeny, ...rest }) =>
    enableDefaultDeny ? { ...rest, enableDefaultDeny } : rest,
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

const plainSelector = fc.oneof(
  fc.constant({}),
  app.map((value) => ({ matchLabels: { app: value } })),
  fc.record({
    matchExpressions: fc.array(expression(fc.constantFrom("app", "tier")), {
      minLength: 1,
      maxLength: 1,
    }),
  }),
);
const namespaceSelector = fc.oneof(
  fc.constant({}),
  fc.constant({ matchLabels: { team: "blue" } }),
  fc.constant({ matchLabels: { "kubernetes.io/metadata.name": "prod" } }),
);
const kubernetesPeer = fc.oneof(
  plainSelector.map((podSelector) => ({ podSelector })),
  namespaceSelector.map((value) => ({ namespaceSelector: value })),
  fc.record({ podSelector: plainSelector, namespaceSelector }),
  cidrSet.map((ipBlock) => ({ ipBlock })),
);
const kubernetesPort = fc
  .tuple(
    fc.constantFrom<[number | string | undefined, number | undefined]>(
      [80, undefined],
      [80, 90],
      [8000, 9000],
      ["http", undefined],
      [undefined, undefined],
    ),
    fc.constantFrom("TCP", "UDP", undefined),
  )
  .map(([[value, endPort], name]) => ({
    ...(value === undefined ? {} : { port: value }),
    ...(endPort === undefined ? {} : { endPort }),
    ...(name === undefined ? {} : { protocol: name }),
  }));
const kubernetesItems = (to: "from" | "to") =>
  fc.array(
    fc.record(
      {
        [to]: fc.array(kubernetesPeer, { maxLength: 2 }),
        ports: fc.array(kubernetesPort, { maxLength: 2 }),
      },
      { requiredKeys: [] },
    ),
    { maxLength: 2 },
  );
const kubernetes = fc
  .tuple(
    fc.record(
      {
        podSelector: plainSelector,
        ingress: kubernetesItems("from"),
        egress: kubernetesItems("to"),
        policyTypes: fc.subarray(["Ingress", "Egress"]),
      },
      { requiredKeys: ["podSelector"] },
    ),
    fc.constantFrom("default", "prod"),
  )
  .map(([spec, namespace]) => ({
    apiVersion: "networking.k8s.io/v1",
    kind: "NetworkPolicy",
    metadata: { name: "", namespace },
    spec,
  }));

/** Up to six policy objects with names of their own. */
export const policyObjects = fc
  .array(
    fc.oneof(
      { weight: 3, arbitrary: cilium },
      { weight: 1, arbitrary: kubernetes },
      { weight: 1, arbitrary: visibility },
    ),
    { maxLength: 6 },
  )
  .map((objects) =>
    objects.map((object, index) => ({
      ...object,
      metadata: { ...object.metadata, name: `policy-${index}` },
    })),
  );
