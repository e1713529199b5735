/** Kubernetes objects as text to what the agent knows of its cluster. */
import { describe, expect, test } from "vitest";
import { readClusterFile } from "./read.ts";
import { type ClusterChange, ClusterState } from "./state.ts";

const SHOP = `
apiVersion: v1
kind: Namespace
metadata: {name: shop, uid: u, labels: {env: prod, kubernetes.io/metadata.name: shop}}
spec: {finalizers: [kubernetes]}
status: {phase: Active}
`;
const SERVICES = `
apiVersion: v1
kind: List
items:
- apiVersion: v1
  kind: Service
  metadata: {name: web, namespace: shop, labels: {app: web}}
  spec: {selector: {app: web}, clusterIP: 10.96.0.7, ports: [{port: 80, targetPort: http}]}
- {apiVersion: v1, kind: Service, metadata: {name: db, namespace: shop}, spec: {ports: [{port: 5432}]}}
- apiVersion: discovery.k8s.io/v1
  kind: EndpointSlice
  metadata: {name: db-1, namespace: shop, labels: {kubernetes.io/service-name: db}}
  addressType: IPv4
  endpoints: [{addresses: [10.9.0.2], conditions: {ready: false}}, {addresses: [10.9.0.1]}]
  ports: [{port: 5432}]
- apiVersion: discovery.k8s.io/v1
  kind: EndpointSlice
  metadata: {name: db-2, namespace: shop, labels: {kubernetes.io/service-name: db}}
  addressType: FQDN
  endpoints: [{addresses: [db.example.com]}]
- apiVersion: v1
  kind: Endpoints
  metadata: {name: db, namespace: shop}
  subsets: [{addresses: [{ip: 10.9.0.1}], notReadyAddresses: [{ip: 'fd00::9'}], ports: [{port: 5432}]}]
- {apiVersion: v1, kind: Endpoints, metadata: {name: kubernetes}, subsets: [{addresses: [{ip: 192.0.2.1}]}]}
`;
const NODES = `
apiVersion: v1
kind: Node
metadata: {name: b, labels: {role: worker}}
spec: {podCIDR: 10.244.1.0/24}
status: {addresses: [{type: InternalIP, address: 192.0.2.2}, {type: Hostname, address: b}]}
---
apiVersion: cilium.io/v2
kind: CiliumNode
metadata: {name: b}
spec: {addresses: [{type: CiliumInternalIP, ip: 10.244.1.1}, {type: InternalIP, ip: 192.0.2.2}]}
---
{apiVersion: v1, kind: Node, metadata: {name: a}, status: {addresses: [{type: InternalIP, address: 192.0.2.1}]}}
`;
const GROUP = `
apiVersion: cilium.io/v2alpha1
kind: CiliumCIDRGroup
metadata: {name: office, labels: {team: a}}
spec: {externalCIDRs: [10.0.0.0/8]}
`;

function objectsOf(...texts: string[]) {
  const { objects, problems } = readClusterFile(texts.join("---\n"), "f.yaml");
  expect(problems).toEqual([]);
  return objects;
}

describe("ClusterState", () => {
  test("answers what policies, endpoints and nodes ask", () => {
    const state = new ClusterState();
    state.replace(objectsOf(SHOP, SERVICES, NODES, GROUP));
    expect(state.namespaceLabels("shop")).toMatchObject({ env: "prod" });
    expect(state.namespaceLabels("none")).toEqual({});
    const place = { namespace: "shop" };
    expect([...state.services()]).toEqual([
      { ...place, name: "web", labels: { app: "web" }, selector: { app: "web" }, backends: [] },
      {
        ...{ ...place, name: "db", labels: {}, selector: undefined },
        backends: ["10.9.0.1", "10.9.0.2", "fd00::9"],
      },
    ]);
    expect(state.nodes()).toEqual([
      { kind: "node", name: "a", labels: {}, addresses: ["192.0.2.1"] },
      {
        kind: "node",
        name: "b",
        labels: { role: "worker" },
        addresses: ["10.244.1.1", "192.0.2.2"],
      },
    ]);
    expect(state.apiServers()).toEqual(["192.0.2.1"]);
    expect([...state.cidrGroups()].map(({ name, labels }) => [name, labels])).toEqual([
      ["office", { team: "a" }],
    ]);
  });

  test("joins what files and the node itself say; of labels the node's word counts", () => {
    const state = new ClusterState();
    const changes: ClusterChange[] = [];
    state.onChange((change) => changes.push(change));
    const b = { kind: "node", name: "b", isShared: true } as const;
    state.replaceShared([{ ...b, labels: { role: "db", zone: "x" }, addresses: ["192.0.2.9"] }]);
    state.replace(objectsOf(NODES));
    const labels = { role: "db", zone: "x" };
    expect(state.nodes()).toEqual([
      { kind: "node", name: "a", labels: {}, addresses: ["192.0.2.1"] },
      { kind: "node", name: "b", labels, addresses: ["10.244.1.1", "192.0.2.2"] },
      { ...b, labels, addresses: ["192.0.2.9"] },
    ]);
    expect(changes).toHaveLength(2);
    state.replaceShared([]);
    expect(state.nodeLabels("b")).toEqual({ role: "worker" });
    expect(changes).toHaveLength(3);
  });

  test("tells which part is different, and nothing if none is", () => {
    const state = new ClusterState();
    const changes: ClusterChange[] = [];
    state.onChange((change) => changes.push(change));
    const none = { namespaces: false, nodes: false, policySources: false };
    state.replace(objectsOf(SHOP));
    state.replace(objectsOf(SHOP, NODES));
    state.replace(objectsOf(NODES, SHOP));
    state.replace(objectsOf(SHOP, NODES, GROUP));
    state.replace([]);
    expect(changes).toEqual([
      { ...none, namespaces: true },
      { ...none, nodes: true },
      { ...none, policySources: true },
      { namespaces: true, nodes: true, policySources: true },
    ]);
  });
});

describe("readClusterFile()", () => {
  test.each<[string, string, string]>([
    ["a kind", "kind: Namespce", '0 kind: unsupported kind "Namespce"; did you mean "Namespace"?'],
    ["no kind", "a: 1", "0 kind: is required"],
    ["a policy", "kind: NetworkPolicy", '0 kind: unsupported kind "NetworkPolicy"'],
    [
      "a slice of no service",
      "{apiVersion: discovery.k8s.io/v1, kind: EndpointSlice, metadata: {name: a, labels: {}}, addressType: IPv4, endpoints: []}",
      '0 metadata.labels["kubernetes.io/service-name"]: is required',
    ],
    [
      "an address",
      `${SHOP}---\n{apiVersion: v1, kind: Endpoints, metadata: {name: a}, subsets: [{addresses: [{ip: 10.0.0.256}]}]}`,
      '1 subsets[0].addresses[0].ip: "10.0.0.256" is not an address',
    ],
    [
      "an item of a list",
      "{kind: NodeList, items: [{apiVersion: v1, kind: Node, metadata: {name: A_B}}]}",
      "0 items[0].metadata.name: is not a DNS name",
    ],
    [
      "YAML",
      "a: [",
      "0 : Flow sequence in block collection must be sufficiently indented and end with a ]",
    ],
  ])("refuses %s", (_, text, expected) => {
    const { objects, problems } = readClusterFile(text, "f.yaml");
    expect(objects).toEqual([]);
    expect(
      problems.map(({ document, path, message }) => `${document} ${path}: ${message}`),
    ).toEqual([expected]);
    expect(problems[0]).toMatchObject({ file: "f.yaml", line: expect.any(Number) });
  });
});
