/**
 * Two nodes whose etcd has a bad day. Whatever it does, a pod of one node may do on the other what
 * it might before, no more and no less; status says what it is, and all mends by itself.
 */
import { afterAll, beforeAll, expect, it, vi } from "vitest";
import { request } from "../host/demo/request.ts";
import type { Endpoint } from "../host/endpoint/types.ts";
import { pause } from "./rig.ts";
import { TwoNodes } from "./two-nodes.ts";

const TEST_MS = 120_000;
const SOON = { timeout: 20_000, interval: 200 };
/** Longer than keys linger (host/store/mirror.ts), and than what looks for troubles waits. */
const WATCHED_MS = 18_000;
const QUOTA_BYTES = 2_000_000;

/** Closed but for friends; open but for foes, which is what an unknown pod would be let in by. */
const POLICIES = `
apiVersion: cilium.io/v2
kind: CiliumNetworkPolicy
metadata: { name: closed, namespace: test }
spec:
  endpointSelector: { matchLabels: { app: closed } }
  ingress: [{ fromEndpoints: [{ matchLabels: { app: friend } }] }]
---
apiVersion: cilium.io/v2
kind: CiliumNetworkPolicy
metadata: { name: open, namespace: test }
spec:
  endpointSelector: { matchLabels: { app: open } }
  ingress: [{ fromEntities: [all] }]
  ingressDeny: [{ fromEndpoints: [{ matchLabels: { app: foe } }] }]
`;

const nodes = new TwoNodes("imker-t-etcd");
const { a, b } = nodes;
let servers: Record<"closed" | "open", Endpoint>;
let clients: Record<"friend" | "foe", Endpoint>;

beforeAll(async () => {
  await nodes.start(["--quota-backend-bytes", String(QUOTA_BYTES)]);
  servers = { closed: await b.pod("closed"), open: await b.pod("open") };
  for (const [name, { netns }] of Object.entries(servers)) {
    await b.stage.startServer(netns, 8080, name);
  }
  clients = { friend: await a.pod("friend"), foe: await a.pod("foe") };
  const files = [{ file: "b.yaml", text: POLICIES }];
  await b.call("POST", "/v1/policies?wait=true", { files });
  await vi.waitFor(async () => expect(await answers()).toEqual(EXPECTED), SOON);
}, TEST_MS);
afterAll(() => nodes.remove(), TEST_MS);

const EXPECTED = {
  "friend to closed": "200",
  "friend to open": "200",
  "foe to closed": "no answer",
  "foe to open": "no answer",
};

async function answers(): Promise<Record<string, string>> {
  const pairs = Object.entries(clients).flatMap(([client, { netns }]) =>
    Object.entries(servers).map(async ([server, { ipv4: address }]) => {
      const answer = await request({
        ...{ netns, address, port: 8080, path: "/", method: "GET", headers: [], askSource: false },
      });
      return [`${client} to ${server}`, answer] as const;
    }),
  );
  return Object.fromEntries(await Promise.all(pairs));
}

async function stay(forMs: number): Promise<void> {
  for (const endMs = performance.now() + forMs; performance.now() < endMs; await pause(50)) {
    expect(await answers()).toEqual(EXPECTED);
  }
}

async function degraded(): Promise<string> {
  const all = await Promise.all([a, b].map((node) => node.call<Status>("GET", "/v1/status")));
  return all.map((one) => one.degraded.join()).join("\n");
}

interface Status {
  degraded: string[];
}

it(
  "hangs, also while an agent starts",
  async () => {
    nodes.etcd.pause();
    await expect.poll(degraded, SOON).toMatch(/etcd does not answer.*\n.*etcd does not answer/);
    await b.restart();
    await stay(3_000);
    await expect(a.pod("unheard-of")).rejects.toThrow(/etcd does not answer .*known ones go on/);
    nodes.etcd.proceed();
    await expect.poll(degraded, SOON).toBe("\n");
  },
  TEST_MS,
);

it(
  "revokes every lease",
  async () => {
    for (const line of nodes.etcd.ctl("lease", "list").split("\n").slice(1)) {
      if (line.trim() !== "") nodes.etcd.ctl("lease", "revoke", line.trim());
    }
    await stay(WATCHED_MS);
    expect(nodes.etcd.ctl("get", "--prefix", "cilium/state/ip/")).toContain(clients.foe.ipv4);
    expect(await degraded()).toBe("\n");
  },
  TEST_MS,
);

it(
  "is emptied, and is another cluster",
  async () => {
    await nodes.etcd.wipe();
    await stay(2_000);
    const published = () => nodes.etcd.ctl("get", "--prefix", "cilium/state/ip/");
    await expect.poll(published, SOON).toContain(clients.foe.ipv4);
    await stay(1_000);
    await expect.poll(degraded, SOON).toBe("\n");
  },
  TEST_MS,
);

it(
  "is full",
  async () => {
    expect(() => {
      for (let n = 0; n < 60; n++) nodes.etcd.ctl("put", `fill/${n}`, "x".repeat(100_000));
    }).toThrow("database space exceeded");
    await expect.poll(degraded, SOON).toMatch(/NOSPACE.*'etcdctl alarm disarm'/);
    await b.restart();
    await stay(2_000);
    await expect(a.pod("unheard-of")).rejects.toThrow(/etcd takes no changes .*known ones go on/);
    nodes.etcd.ctl("del", "--prefix", "fill/");
    const revision = /"revision":(\d+)/.exec(nodes.etcd.ctl("get", "x", "-w", "json"))?.[1];
    nodes.etcd.ctl("compaction", "--physical", String(revision));
    nodes.etcd.ctl("defrag");
    nodes.etcd.ctl("alarm", "disarm");
    await expect.poll(degraded, SOON).toBe("\n");
    await stay(1_000);
    await a.pod("unheard-of");
  },
  TEST_MS,
);
