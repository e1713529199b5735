/**
 * Nodes know each other's own addresses through a real etcd: to the pods of one the other is
 * `remote-node`, with its labels where policies choose by them, and the world when it is gone.
 */
import { afterAll, beforeAll, expect, it } from "vitest";
import { request } from "../host/demo/request.ts";
import type { Endpoint } from "../host/endpoint/types.ts";
import { TwoNodes } from "./two-nodes.ts";

const START_MS = 120_000;
/** What is gone lingers (host/store/mirror.ts). */
const SOON = { timeout: 30_000, interval: 100 };
const KEY = "cilium/state/nodes/v1/default/";
const REMOTE_NODE_MIN = 2 << 24;

const labels = (role: string) => ["--node-label", `role=${role}`, "--node-selector-labels"];
const nodes = new TwoNodes("imker-t-node", { a: labels("gateway"), b: labels("worker") });
const { a, b } = nodes;
let web: Endpoint;

beforeAll(async () => {
  await nodes.start();
  web = await b.pod("web");
  await b.stage.startServer(web.netns, 8080, "web");
}, START_MS);
afterAll(() => nodes.remove(), START_MS);

/** The whole policy of the pod: who may come, or where it may go. */
function allow(peer: string): Promise<unknown> {
  const direction = peer.startsWith("from") ? "ingress" : "egress";
  const text = `
apiVersion: cilium.io/v2
kind: CiliumNetworkPolicy
metadata: { name: web, namespace: test }
spec:
  endpointSelector: { matchLabels: { app: web } }
  ${direction}: [{ ${peer} }]
`;
  return b.call("POST", "/v1/policies?wait=true", { files: [{ file: "b.yaml", text }] });
}

const ask = (address: string, netns = a.stage.nodeNetns): Promise<string> =>
  request({
    ...{ netns, address, port: 8080, path: "/", method: "GET", headers: [], askSource: false },
  });

/** Of node a, as node b's kernel has it. */
async function identity(): Promise<number | undefined> {
  const rows = await b.call<{ prefix: string; identity: number }[]>("GET", "/v1/bpf/ipcache");
  return rows.find(({ prefix }) => prefix === `${a.address}/32`)?.identity;
}

it("another node is remote-node with its labels, in both families", async () => {
  await expect.poll(identity, SOON).toBeGreaterThan(REMOTE_NODE_MIN);
  const { labels: known } = await b.call<{ labels: string[] }>(
    "GET",
    `/v1/identities/${await identity()}`,
  );
  expect(known.sort()).toEqual(["node:role=gateway", "reserved:remote-node"]);
  const record = JSON.parse(nodes.etcd.ctl("get", "--print-value-only", `${KEY}${a.stage.name}`));
  expect(record).toMatchObject({ Name: a.stage.name, Cluster: "default", BootID: /./ });
  expect(record.IPAddresses).toContainEqual({ Type: "InternalIP", IP: a.address });
});

it.each([
  ["fromEntities: [remote-node]", "200"],
  ["fromEntities: [cluster]", "200"],
  ["fromEntities: [host]", "no answer"],
  ["fromEntities: [world]", "no answer"],
  ["fromCIDR: [172.31.0.0/16]", "no answer"],
  ["fromNodes: [{ matchLabels: { role: gateway } }]", "200"],
  ["fromNodes: [{ matchLabels: { role: worker } }]", "no answer"],
])("%s: %s", async (from, expected) => {
  await allow(from);
  expect([await ask(web.ipv4), await ask(web.ipv6)]).toEqual([expected, expected]);
});

it(
  "is the world when its lease has ended, and a node again when it is back",
  async () => {
    await allow("fromEntities: [remote-node]");
    expect(await ask(web.ipv4)).toBe("200");
    await a.killAgent();
    expect(await ask(web.ipv4)).toBe("200");
    // As text: a lease is a number of 64 bits.
    const row = nodes.etcd.ctl("get", `${KEY}${a.stage.name}`, "-w", "json");
    const lease = BigInt(/"lease":(\d+)/.exec(row)?.[1] ?? "0");
    nodes.etcd.ctl("lease", "revoke", lease.toString(16));
    await expect.poll(identity, SOON).toBeUndefined();
    expect(await ask(web.ipv4)).toBe("no answer");
    await allow("fromEntities: [world]");
    expect([await ask(web.ipv4), await ask(web.ipv6)]).toEqual(["200", "200"]);
    await a.startAgent();
    await expect.poll(identity, SOON).toBeGreaterThan(REMOTE_NODE_MIN);
    expect(await ask(web.ipv4)).toBe("no answer");
  },
  START_MS,
);

it(
  "is known over a restart without etcd, and its new labels count at once",
  async () => {
    await allow("fromNodes: [{ matchLabels: { role: gateway } }]");
    const before = await identity();
    await nodes.etcd.stop();
    await b.restart();
    expect(await identity()).toBe(before);
    expect(await ask(web.ipv4)).toBe("200");
    await nodes.etcd.resume();
    await a.killAgent();
    await a.startAgent(["--node-label", "role=former"]);
    await expect.poll(() => ask(web.ipv4), SOON).toBe("no answer");
    await allow("fromNodes: [{ matchLabels: { role: former } }]");
    expect(await ask(web.ipv4)).toBe("200");
  },
  START_MS,
);

it(
  "CIDRs select nodes by their addresses where the agent is told so, this one too",
  async () => {
    await b.stage.startServer(b.stage.nodeNetns, 8080, "node");
    const toOwn = (): Promise<string> => ask(b.address, web.netns);
    await allow(`toCIDR: [${b.address}/32]`);
    expect(await toOwn()).toBe("no answer");
    await b.killAgent();
    await b.startAgent(["--policy-cidr-match-mode", "nodes"]);
    expect(await toOwn()).toBe("200");
    await allow("toCIDR: [0.0.0.0/0]");
    expect(await toOwn()).toBe("no answer");
    await allow(`toCIDRSet: [{ cidr: 172.31.0.0/16, except: [${b.address}/32] }]`);
    expect(await toOwn()).toBe("no answer");
    b.enter("ip", "address", "add", "172.31.7.7/32", "dev", "peer");
    await expect.poll(() => ask("172.31.7.7", web.netns), SOON).toBe("200");

    await allow("fromCIDR: [172.31.0.0/16, 'fd31::/64']");
    await expect.poll(() => ask(web.ipv4), SOON).toBe("200");
    expect(await ask(web.ipv6)).toBe("200");
    await allow("fromCIDR: [0.0.0.0/0, '::/0']");
    expect([await ask(web.ipv4), await ask(web.ipv6)]).toEqual(["no answer", "no answer"]);
    await allow("fromEntities: [remote-node]");
    expect(await ask(web.ipv4)).toBe("200");
  },
  START_MS,
);
