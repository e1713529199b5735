/** Random policies of Kubernetes' own kinds: NetworkPolicy, and those with tiers. */
import fc from "fast-check";
import { app, CIDRS, cidrSet, namespaceSelector, plainSelector } from "./generate-parts.ts";

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
    fc.constantFrom("TCP", "UDP", "SCTP", undefined),
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
export const kubernetes = fc
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

const namespacedPod = fc.record({ namespaceSelector, podSelector: plainSelector });
const podPeer = fc.oneof(
  namespaceSelector.map((namespaces) => ({ namespaces })),
  namespacedPod.map((pods) => ({ pods })),
);
/** Of a newer language. */
const notUnderstood = fc.constant({});
const nodePeer = fc
  .constantFrom({}, { matchLabels: { role: "edge" } }, { matchLabels: { role: "none" } })
  .map((nodes) => ({ nodes }));
const ingressPeer = fc.oneof(
  { weight: 8, arbitrary: podPeer },
  { weight: 1, arbitrary: notUnderstood },
);
const egressPeer = fc.oneof(
  { weight: 5, arbitrary: podPeer },
  {
    weight: 2,
    arbitrary: fc
      .uniqueArray(fc.constantFrom(...CIDRS), { minLength: 1, maxLength: 2 })
      .map((networks) => ({ networks })),
  },
  { weight: 1, arbitrary: nodePeer },
  { weight: 1, arbitrary: notUnderstood },
);

/** Names are for pods: other peers have none. */
const isNameless = (peers: object[]) => peers.some((one) => "networks" in one || "nodes" in one);

const range = fc.constantFrom<[number, number]>([80, 90], [1, 1023], [8000, 9000]);
const destinationPort = fc.oneof(
  fc.constantFrom(80, 443, 8080).map((number) => ({ number })),
  range.map(([start, end]) => ({ range: { start, end } })),
);
const numberedProtocol = fc.oneof(
  destinationPort.map((port) => ({ tcp: { destinationPort: port } })),
  destinationPort.map((port) => ({ udp: { destinationPort: port } })),
  destinationPort.map((port) => ({ sctp: { destinationPort: port } })),
);
const portName = fc.constantFrom("http", "metrics");
const namedProtocol = portName.map((destinationNamedPort) => ({ destinationNamedPort }));

const protocolName = fc.constantFrom("TCP", "UDP", "SCTP", undefined);
const withProtocol = (protocol: string | undefined, rest: object) =>
  protocol === undefined ? rest : { protocol, ...rest };
const numberedPort = fc.oneof(
  fc
    .tuple(protocolName, fc.constantFrom(80, 443, 8080))
    .map(([protocol, port]) => ({ portNumber: withProtocol(protocol, { port }) })),
  fc
    .tuple(protocolName, range)
    .map(([protocol, [start, end]]) => ({ portRange: withProtocol(protocol, { start, end }) })),
);
const namedPort = portName.map((name) => ({ namedPort: name }));

interface Form {
  actions: readonly string[];
  field: "protocols" | "ports";
  numbered: fc.Arbitrary<object>;
  named: fc.Arbitrary<object>;
}

function rules(to: "from" | "to", { actions, field, numbered, named }: Form) {
  const peers: fc.Arbitrary<object[]> = fc.array(to === "from" ? ingressPeer : egressPeer, {
    ...{ minLength: 1, maxLength: 2 },
  });
  const rule = peers.chain((list) => {
    const port = isNameless(list)
      ? numbered
      : fc.oneof({ weight: 4, arbitrary: numbered }, { weight: 1, arbitrary: named });
    const ports = fc.option(fc.array(port, { minLength: 1, maxLength: 2 }), { nil: undefined });
    return fc.tuple(fc.constantFrom(...actions), ports).map(([action, some]) => ({
      ...{ action, [to]: list },
      ...(some === undefined ? {} : { [field]: some }),
    }));
  });
  return fc.array(rule, { maxLength: 3 });
}

const CURRENT: Form = {
  ...{ actions: ["Accept", "Deny", "Pass"], field: "protocols" },
  ...{ numbered: numberedProtocol, named: namedProtocol },
};
const FORMER: Form = {
  ...{ actions: ["Allow", "Deny", "Pass"], field: "ports" },
  ...{ numbered: numberedPort, named: namedPort },
};
const BASELINE: Form = { ...FORMER, actions: ["Allow", "Deny"] };

/** Equal priorities and neighbours, whose rules must not mix. */
const priority = fc.constantFrom(0, 0, 1, 2, 1000);
const subject = fc.oneof(
  { weight: 3, arbitrary: fc.constant({ namespaces: {} }) },
  { weight: 2, arbitrary: podPeer },
  {
    weight: 1,
    arbitrary: app.map((value) => ({
      pods: { namespaceSelector: {}, podSelector: { matchLabels: { app: value } } },
    })),
  },
);

const object = (version: string, kind: string) => (spec: object) => ({
  apiVersion: `policy.networking.k8s.io/${version}`,
  kind,
  metadata: { name: "" },
  spec,
});

export const tiered = fc.oneof(
  {
    weight: 4,
    arbitrary: fc
      .record({
        ...{ tier: fc.constantFrom("Admin", "Admin", "Baseline"), priority, subject },
        ...{ ingress: rules("from", CURRENT), egress: rules("to", CURRENT) },
      })
      .map(object("v1alpha2", "ClusterNetworkPolicy")),
  },
  {
    weight: 1,
    arbitrary: fc
      .record({
        ...{ priority, subject },
        ...{ ingress: rules("from", FORMER), egress: rules("to", FORMER) },
      })
      .map(object("v1alpha1", "AdminNetworkPolicy")),
  },
  {
    weight: 1,
    arbitrary: fc
      .record({ subject, ingress: rules("from", BASELINE), egress: rules("to", BASELINE) })
      .map(object("v1alpha1", "BaselineAdminNetworkPolicy")),
  },
);
