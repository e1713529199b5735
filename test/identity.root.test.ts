/**
 * A pod is relabelled: its identity changes, other pods' rules do not, and connections are judged
 * again. And pods of another node are known by their labels, through a real etcd.
 */
import { execFile, spawn } from "node:child_process";
import { promisify } from "node:util";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import type { IdentityView } from "../host/admin/types.ts";
import { ApiClient } from "../host/cli/client.ts";
import { request } from "../host/demo/request.ts";
import { WORLD } from "../host/demo/scenario.ts";
import type { Endpoint } from "../host/endpoint/types.ts";
import { allowPolicy, pause, Rig } from "./rig.ts";
import { TwoNodes } from "./two-nodes.ts";

const run = promisify(execFile);
const START_MS = 60_000;
const GRACE = ["--identity-change-grace-period", "2"];

describe("a relabelled pod", () => {
  let rig: Rig;
  let web: Endpoint;
  let friend: Endpoint;
  let stranger: Endpoint;

  beforeAll(async () => {
    rig = await Rig.start("imker-t-id", "node", GRACE);
    web = await rig.pod("web", 8080);
    friend = await rig.pod("friend");
    stranger = await rig.pod("stranger");
    await rig.apply(allowPolicy("web", "web", "friend"));
  }, START_MS);
  afterAll(() => rig?.close());

  const get = (name: string): Promise<Endpoint> =>
    rig.client.call<Endpoint>("GET", `/v1/endpoints/test/${name}`);
  const policyMap = (name: string): Promise<unknown> =>
    rig.client.call("GET", `/v1/bpf/policy/test/${name}`);
  const label = (name: string, labels: Record<string, string | null>): Promise<Endpoint> =>
    rig.client.call<Endpoint>("PATCH", `/v1/endpoints/test/${name}`, { labels });
  const identities = (): Promise<IdentityView[]> => rig.client.call("GET", "/v1/identities");
  const ipcache = async (address: string): Promise<number | undefined> => {
    const rows = await rig.client.call<{ prefix: string; identity: number }[]>(
      "GET",
      "/v1/bpf/ipcache",
    );
    return rows.find(({ prefix }) => prefix === `${address}/32`)?.identity;
  };

  it("is known by its service account, also to the agent that comes next", async () => {
    const pod = { namespace: "kube-system", name: "dns", serviceAccount: "coredns" };
    const body = { ...pod, labels: { "k8s-app": "kube-dns" } };
    const dns = await rig.client.call<Endpoint>("POST", "/v1/endpoints", body);
    expect(dns.labels).toContain("k8s:io.cilium.k8s.policy.serviceaccount=coredns");
    expect(dns.identity).toBe(112);
    await rig.restartAgent("SIGTERM");
    const path = "/v1/endpoints/kube-system/dns";
    expect((await rig.client.call<Endpoint>("GET", path)).identity).toBe(112);
    await rig.client.call("DELETE", path);
  });

  it("keeps its identity for the grace period and then has the one of its labels", async () => {
    expect(await rig.curl(stranger, web, "/")).toBe("no answer");
    const others = await policyMap("friend");
    const rules = await policyMap("web");
    // A client of its own: one asks for one thing at a time.
    const other = new ApiClient(rig.stage.socket);
    const changed = other.call<Endpoint>("PATCH", "/v1/endpoints/test/stranger", {
      labels: { app: "friend" },
    });
    await pause(300);
    expect((await get("stranger")).identity).toBe(stranger.identity);
    expect(await rig.curl(stranger, web, "/")).toBe("no answer");
    const after = await changed;
    await other.close();
    expect(after.identity).toBe(friend.identity);
    expect(after.labels).toContain("k8s:app=friend");
    expect(await ipcache(after.ipv4)).toBe(friend.identity);
    expect(await rig.curl(stranger, web, "/")).toBe("200");
    // No number came or went: nothing of the others' rules did either.
    expect(await policyMap("friend")).toEqual(others);
    expect(await policyMap("web")).toEqual(rules);
    const old = (await identities()).find(({ id }) => id === stranger.identity);
    expect(old?.endpoints ?? 0).toBe(0);
  });

  it("loses what its old labels allowed, live connections too", async () => {
    const connection = openFrom(friend, web);
    expect(await connection.ask()).toContain("200");
    const { stdout } = await run("./imker", [
      ...["--socket", rig.stage.socket, "endpoint", "label", "test/friend"],
      ...["app-", "role=former"],
    ]);
    expect(stdout).toContain("k8s:role=former");
    const after = await get("friend");
    expect(after.identity).not.toBe(friend.identity);
    expect(after.labels.some((text) => text.startsWith("k8s:app="))).toBe(false);
    expect(await connection.ask()).toBe("");
    connection.close();
    expect(await rig.curl(friend, web, "/")).toBe("no answer");
    expect(await rig.curl(stranger, web, "/")).toBe("200");
    await label("friend", { app: "friend", role: null });
    expect((await get("friend")).identity).toBe(friend.identity);
    expect(await rig.curl(friend, web, "/")).toBe("200");
  });

  it("does not go on under the L7 rules of its old labels", async () => {
    await rig.apply(allowPolicy("web", "web", "friend", "{ path: / }"));
    await rig.apply(allowPolicy("guests", "web", "guest", "{ path: /guest }"));
    const connection = openFrom(friend, web);
    expect(await connection.ask()).toContain("200");
    await label("friend", { app: "guest" });
    expect(await connection.ask()).toBe("");
    connection.close();
    expect(await rig.curl(friend, web, "/")).toBe("403");
    expect(await rig.curl(friend, web, "/guest")).toBe("200");
    await label("friend", { app: "friend" });
    await rig.apply(allowPolicy("web", "web", "friend"));
  });

  it("nor does one with an address that is in another group now", async () => {
    await rig.stage.startServer(rig.stage.worldNetns, 8080, "partner");
    const partner = { ipv4: WORLD.partner4 };
    const group = (name: string, address: string): string =>
      `apiVersion: cilium.io/v2\nkind: CiliumCIDRGroup\nmetadata: { name: ${name} }\n` +
      `spec: { externalCIDRs: [${address}/32] }\n---\n`;
    const to = (name: string, path: string): string =>
      `    - toCIDRSet: [{ cidrGroupRef: ${name} }]\n      toPorts:\n` +
      `        - ports: [{ port: "8080", protocol: TCP }]\n          rules: { http: [{ path: ${path} }] }\n`;
    await rig.apply(
      `${group("all", WORLD.partner4) + group("some", "192.0.2.200")}` +
        "apiVersion: cilium.io/v2\nkind: CiliumNetworkPolicy\n" +
        "metadata: { name: out, namespace: test }\nspec:\n" +
        "  endpointSelector: { matchLabels: { app: friend } }\n  egress:\n" +
        `${to("all", "/")}${to("some", "/guest")}`,
    );
    const connection = openFrom(friend, partner);
    expect(await connection.ask()).toContain("200");
    await rig.apply(group("all", "192.0.2.200") + group("some", WORLD.partner4));
    expect(await connection.ask()).toContain("403");
    await rig.apply(group("some", "192.0.2.200"));
    expect(await connection.ask()).toBe("");
    connection.close();
    for (const place of [
      "CiliumNetworkPolicy/test/out",
      "CiliumCIDRGroup/-/all",
      "CiliumCIDRGroup/-/some",
    ]) {
      await rig.client.call("DELETE", `/v1/policies/${place}?wait=true`);
    }
  });

  it("has a policy of its own by its new labels", async () => {
    await rig.apply(allowPolicy("locked", "locked", "nobody"));
    await rig.stage.startServer(stranger.netns, 8080, "stranger");
    expect(await rig.curl(friend, stranger, "/")).toBe("200");
    await label("stranger", { app: "locked" });
    expect(await rig.curl(friend, stranger, "/")).toBe("no answer");
  });

  it("is what it was after a restart of the agent", async () => {
    const before = await get("stranger");
    await rig.restartAgent("SIGKILL");
    expect(await get("stranger")).toMatchObject({
      ...{ identity: before.identity, labels: before.labels, state: "ready" },
    });
    expect(await rig.curl(friend, stranger, "/")).toBe("no answer");
    expect(await rig.curl(friend, web, "/")).toBe("200");
  });

  it("says what is wrong with a change", async () => {
    const socket = ["--socket", rig.stage.socket];
    await expect(
      run("./imker", [...socket, "endpoint", "label", "test/web", "app"]),
    ).rejects.toThrow('Cannot read "app": expected key=value or key-');
    await expect(label("nope", { a: "b" })).rejects.toThrow('Cannot find endpoint "test/nope"');
    const { stdout } = await run("./imker", [...socket, "identity", "get", "1"]);
    expect(stdout).toBe("ID  LABELS\n1   reserved:host\n");
    const found = await run("./imker", [...socket, "identity", "get", "app=friend", "--json"]);
    expect(JSON.parse(found.stdout)).toMatchObject([{ id: friend.identity, kind: "cluster" }]);
  });
});

describe("two nodes on one etcd", () => {
  const nodes = new TwoNodes("imker-t-id");
  const { a, b } = nodes;
  let web: Endpoint;
  let friend: Endpoint;
  let stranger: Endpoint;

  beforeAll(async () => {
    await nodes.start();
    web = await a.pod("web");
    await a.stage.startServer(web.netns, 8080, "web");
    friend = await b.pod("friend");
    stranger = await b.pod("stranger");
    const files = [{ file: "a.yaml", text: allowPolicy("web", "web", "friend") }];
    await a.call("POST", "/v1/policies?wait=true", { files });
  }, START_MS);
  afterAll(() => nodes.remove(), START_MS);

  const ask = (from: Endpoint): Promise<string> =>
    request({
      ...{ netns: from.netns, address: web.ipv4, port: 8080, path: "/", method: "GET" },
      ...{ headers: [], askSource: false },
    });

  it(
    "know each other's pods by their labels",
    async () => {
      await expect.poll(() => ask(friend), { timeout: 10_000 }).toBe("200");
      expect(await ask(stranger)).toBe("no answer");
      const seen = await a.call<IdentityView>("GET", `/v1/identities/${friend.identity}`);
      expect(seen).toMatchObject({ kind: "cluster", endpoints: 0 });
      expect(seen.labels).toContain("k8s:app=friend");
      const pair = JSON.parse(
        nodes.etcd.ctl("get", "--print-value-only", `cilium/state/ip/v1/default/${friend.ipv4}`),
      );
      expect(pair).toMatchObject({ IP: friend.ipv4, ID: friend.identity, K8sPodName: "friend" });
    },
    START_MS,
  );

  it(
    "see it when a pod of the other is relabelled, or goes",
    async () => {
      await b.call("PATCH", "/v1/endpoints/test/stranger", { labels: { app: "friend" } });
      await expect.poll(() => ask(stranger), { timeout: 10_000 }).toBe("200");
      await b.call("PATCH", "/v1/endpoints/test/stranger", { labels: { app: "stranger" } });
      await expect.poll(() => ask(stranger), { timeout: 10_000 }).toBe("no answer");
      const gone = await b.pod("gone");
      const has = async (): Promise<boolean> =>
        (await a.call<{ prefix: string }[]>("GET", "/v1/bpf/ipcache")).some(
          ({ prefix }) => prefix === `${gone.ipv4}/32`,
        );
      await expect.poll(has, { timeout: 10_000 }).toBe(true);
      await b.call("DELETE", "/v1/endpoints/test/gone");
      // It lingers (host/store/mirror.ts).
      await expect.poll(has, { timeout: 30_000 }).toBe(false);
    },
    START_MS,
  );

  it(
    "go on without etcd, over a restart too; only new identities must wait",
    async () => {
      await nodes.etcd.stop();
      expect(await ask(friend)).toBe("200");
      expect(await ask(stranger)).toBe("no answer");
      await expect(b.pod("new")).rejects.toThrow(/etcd does not answer/);
      await a.restart();
      expect(await ask(friend)).toBe("200");
      expect(await ask(stranger)).toBe("no answer");
      await nodes.etcd.resume();
      await expect
        .poll(() => b.pod("new").then(() => "made", String), { timeout: 10_000 })
        .toBe("made");
      expect(await ask(friend)).toBe("200");
      const degraded = async (): Promise<string[]> =>
        (await a.call<{ degraded: string[] }>("GET", "/v1/status")).degraded;
      await expect.poll(degraded, { timeout: 20_000 }).toEqual([]);
    },
    START_MS,
  );
});

/** A connection out of a pod that asks again and again; "" when it gets no answer. */
function openFrom(from: Endpoint, to: Pick<Endpoint, "ipv4">) {
  const args = [`--net=${from.netns}`, process.execPath, "-e", PIPE, to.ipv4];
  const child = spawn("nsenter", args, { stdio: ["pipe", "pipe", "inherit"] });
  // It ends with its connection; who asks then gets no answer.
  child.stdin.on("error", () => {});
  return {
    async ask(): Promise<string> {
      const answer = new Promise<string>((resolve) => {
        child.stdout.once("data", (chunk: Buffer) => resolve(chunk.toString("latin1")));
        child.once("exit", () => resolve(""));
      });
      child.stdin.write("GET / HTTP/1.1\r\nHost: web\r\n\r\n");
      return Promise.race([answer, pause(1_500).then(() => "")]);
    },
    close: (): unknown => child.kill("SIGKILL"),
  };
}

const PIPE = `
const socket = require("node:net").connect({ host: process.argv[1], port: 8080 });
process.stdin.pipe(socket);
socket.pipe(process.stdout);
socket.on("error", () => process.exit(1));
socket.on("close", () => process.exit(0));
`;
