/**
 * What a whole agent makes of its cluster's state from files: labels of namespaces are in
 * identities, services and groups in policies, nodes in the ipcache; and all of it live.
 */
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, expect, it, vi } from "vitest";
import type { PolicyView } from "../host/admin/types.ts";
import type { Endpoint } from "../host/endpoint/types.ts";
import { Rig } from "./rig.ts";

const FOLDER = mkdtempSync(join(tmpdir(), "imker-cluster-"));
const WAIT = { timeout: 10_000, interval: 100 };

let rig: Rig;
let web: Endpoint;
let friend: Endpoint;

const state = (name: string, text: string) => writeFileSync(join(FOLDER, `${name}.yaml`), text);
const namespace = (team: string) =>
  state(
    "namespaces",
    `{apiVersion: v1, kind: Namespace, metadata: {name: test, labels: {team: ${team}}}}\n`,
  );
const answers = (from: Endpoint, expected: string) =>
  vi.waitFor(async () => expect(await rig.curl(from, web, "/")).toContain(expected), WAIT);

beforeAll(async () => {
  namespace("red");
  rig = await Rig.start("imker-t-cluster", "node", ["--cluster-state", FOLDER]);
  web = await rig.pod("web", 8080);
  friend = await rig.pod("friend");
});
afterAll(async () => {
  await rig?.close();
  rmSync(FOLDER, { recursive: true });
});

it("knows pods by the labels of their namespaces, also by those that come later", async () => {
  expect(friend.labels).toContain("k8s:io.cilium.k8s.namespace.labels.team=red");
  await rig.apply(`
apiVersion: cilium.io/v2
kind: CiliumNetworkPolicy
metadata: { name: by-team, namespace: test }
spec:
  endpointSelector: { matchLabels: { app: web } }
  ingress:
    - fromEndpoints: [{ matchLabels: { "k8s:io.cilium.k8s.namespace.labels.team": blue } }]
`);
  expect(await rig.curl(friend, web, "/")).toBe("no answer");
  namespace("blue");
  await answers(friend, "200");
  const now = await rig.client.call<Endpoint>("GET", "/v1/endpoints/test%2Ffriend");
  expect(now.labels).toContain("k8s:io.cilium.k8s.namespace.labels.team=blue");
  expect(now.identity).not.toBe(friend.identity);
  namespace("green");
  await answers(friend, "no answer");
  namespace("blue");
  await answers(friend, "200");
});

it("lets pods reach a service as soon as there is one of that name", async () => {
  await rig.apply(`
apiVersion: cilium.io/v2
kind: CiliumNetworkPolicy
metadata: { name: to-service, namespace: test }
spec:
  endpointSelector: { matchLabels: { app: friend } }
  egress:
    - toServices: [{ k8sService: { serviceName: shop, namespace: test } }]
`);
  expect(await rig.curl(friend, web, "/")).toBe("no answer");
  const { degraded } = await rig.status();
  expect(degraded.join("\n")).toContain("there is no service shop in namespace test");
  const policies = await rig.client.call<PolicyView[]>("GET", "/v1/policies");
  expect(policies.find(({ name }) => name === "to-service")?.conditions).toMatchObject([
    { type: "ServiceMissing" },
  ]);
  state(
    "services",
    "{apiVersion: v1, kind: Service, metadata: {name: shop, namespace: test}, " +
      "spec: {selector: {app: web}}}\n",
  );
  await answers(friend, "200");
  expect((await rig.status()).degraded.join("\n")).not.toContain("service");
  await rig.client.call("DELETE", "/v1/policies/CiliumNetworkPolicy/test/to-service?wait=true");
});

it("knows the addresses of other nodes and of the Kubernetes API", async () => {
  const identityOf = async (prefix: string) => {
    const rows = await rig.client.call<{ prefix: string; identity: number }[]>(
      "GET",
      "/v1/bpf/ipcache",
    );
    return rows.find((row) => row.prefix === prefix)?.identity;
  };
  state(
    "nodes",
    "{apiVersion: v1, kind: Node, metadata: {name: far}, " +
      "status: {addresses: [{type: InternalIP, address: 192.0.2.7}]}}\n---\n" +
      "{apiVersion: v1, kind: Node, metadata: {name: master}, " +
      "status: {addresses: [{type: InternalIP, address: 192.0.2.8}]}}\n---\n" +
      "{apiVersion: v1, kind: Endpoints, metadata: {name: kubernetes, namespace: default}, " +
      "subsets: [{addresses: [{ip: 192.0.2.8}, {ip: 198.51.100.1}]}]}\n",
  );
  await vi.waitFor(async () => expect(await identityOf("192.0.2.7/32")).toBe(6), WAIT);
  expect(await identityOf("192.0.2.8/32")).toBe(7);
  expect(await identityOf("198.51.100.1/32")).toBeGreaterThan(1 << 24);
  rmSync(join(FOLDER, "nodes.yaml"));
  await vi.waitFor(async () => expect(await identityOf("192.0.2.7/32")).toBeUndefined(), WAIT);
});

it("keeps what a file said while it is wrong, and names it", async () => {
  state("namespaces", "{apiVersion: v1, kind: Namespace, metadata: {name: Test}}\n");
  await vi.waitFor(async () => {
    expect((await rig.status()).degraded.join("\n")).toContain(
      `${join(FOLDER, "namespaces.yaml")}: metadata.name is not a DNS label`,
    );
  }, WAIT);
  await answers(friend, "200");
});

it("refuses on apply what it validates with a warning", async () => {
  const text = `
apiVersion: cilium.io/v2
kind: CiliumNetworkPolicy
metadata: { name: names, namespace: test }
spec:
  endpointSelector: {}
  egress: [{ toFQDNs: [{ matchName: example.com }] }]
`;
  const body = { files: [{ file: "f.yaml", text }] };
  const asked = await rig.client.send("POST", "/v1/policies/validate", body);
  expect(asked).toMatchObject({
    status: 200,
    body: { warnings: [{ path: "spec.egress[0].toFQDNs" }] },
  });
  for (const path of ["/v1/policies/validate?forApply=true", "/v1/policies"]) {
    const refused = await rig.client.send("POST", path, body);
    expect(refused).toMatchObject({
      status: 422,
      body: { errors: [{ path: "spec.egress[0].toFQDNs" }] },
    });
  }
});
