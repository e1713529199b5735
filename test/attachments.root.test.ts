/** Interfaces made anew under a running agent, and links unpinned by hand: enforced again soon. */
import { execFileSync } from "node:child_process";
import { readdirSync, unlinkSync } from "node:fs";
import { basename } from "node:path";
import { afterAll, beforeAll, describe, expect, it, vi } from "vitest";
import { Peer } from "../host/datapath/testdata/peer.ts";
import { WORLD } from "../host/demo/scenario.ts";
import type { Endpoint } from "../host/endpoint/types.ts";
import { allowPolicy, Rig } from "./rig.ts";

const SSH = 22;
const OPTIONS = ["--host-firewall", "--node-label", "role=edge"];
const SOON = { timeout: 10_000, interval: 200 };
const WEB_ONLY = `
apiVersion: cilium.io/v2
kind: CiliumClusterwideNetworkPolicy
metadata: { name: web-only }
spec:
  nodeSelector: { matchLabels: { role: edge } }
  ingress: [{ toPorts: [{ ports: [{ port: "8080", protocol: TCP }] }] }]
`;

let rig: Rig;
let web: Endpoint;
let stranger: Endpoint;
let friend: Endpoint;
let peers: { host: Peer; world: Peer };
beforeAll(async () => {
  rig = await Rig.start("imker-t-attach", "node", OPTIONS);
  web = await rig.pod("web", 8080);
  stranger = await rig.pod("stranger");
  friend = await rig.pod("friend");
  const { nodeNetns, worldNetns } = rig.stage;
  peers = { host: new Peer(nodeNetns), world: new Peer(worldNetns) };
  await peers.host.listen("tcp", "0.0.0.0", SSH);
  await rig.apply(WEB_ONLY);
  await rig.apply(allowPolicy("web", "web", "friend"));
  await rig.client.call("POST", "/v1/prefilter/prefixes", { prefixes: ["203.0.113.0/24"] });
});
afterAll(async () => {
  for (const peer of Object.values(peers ?? {})) await peer.kill();
  await rig?.close();
});

const ssh = async (): Promise<string> =>
  (await peers.world.open(WORLD.node4, SSH, { denied: true })).greeting;
const inNode = (...args: string[]): void => {
  execFileSync("nsenter", [`--net=${rig.stage.nodeNetns}`, "ip", ...args]);
};

it("says that an interface is missing, and judges what comes by its successor", async () => {
  expect(await ssh()).toBe("timeout");
  inNode("link", "del", "outside");
  await vi.waitFor(async () => {
    const { degraded } = await rig.status();
    expect(degraded.join()).toContain("--device outside: its traffic is not judged");
    expect(degraded.join()).toContain("prefilter on outside: no such interface");
  }, SOON);
  const world = `${rig.stage.name}-world`;
  inNode("link", "add", "outside", "type", "veth", "peer", "name", "node", "netns", world);
  inNode("address", "add", `${WORLD.node4}/24`, "dev", "outside");
  inNode("link", "set", "outside", "up");
  for (const args of [
    ["address", "add", `${WORLD.partner4}/24`, "dev", "node"],
    ["link", "set", "node", "up"],
  ])
    execFileSync("ip", ["-n", world, ...args]);
  await vi.waitFor(async () => expect((await rig.status()).degraded).toEqual([]), SOON);
  await vi.waitFor(async () => expect(await ssh()).toBe("timeout"), SOON);
  const { devices } = await rig.client.call<{ devices: object[] }>("GET", "/v1/prefilter");
  expect(devices).toMatchObject([{ name: "outside", attached: true }]);
});

it("attaches a pod's programs again that were unpinned", async () => {
  expect(await rig.curl(stranger, web, "/")).toBe("no answer");
  const links = `${rig.stage.bpffs}/links`;
  for (const file of readdirSync(links)) unlinkSync(`${links}/${file}`);
  await vi.waitFor(async () => expect(await rig.curl(stranger, web, "/")).toBe("no answer"), SOON);
});

describe("a pod whose link somebody took away", () => {
  const seen = async (name: string): Promise<string> => {
    const one = await rig.client.call<Endpoint>("GET", `/v1/endpoints/test/${name}`);
    return one.state === "disconnected" ? `${one.state}: ${one.trouble}` : one.state;
  };
  const link = async (name: string): Promise<string> => {
    const { id } = await rig.client.call<Endpoint>("GET", `/v1/endpoints/test/${name}`);
    return `imk${id}`;
  };
  const answers = async (): Promise<string[]> =>
    Promise.all([friend, stranger].map((from) => rig.curl(from, web, "/")));

  it("says so, goes on when there is one again, and lets through no more than before", async () => {
    expect(await answers()).toEqual(["200", "no answer"]);
    const ifname = await link("web");
    inNode("link", "del", ifname);
    const trouble = `its interface ${ifname} is gone, nothing reaches it or leaves it; remove it with`;
    await expect.poll(() => seen("web"), SOON).toContain(`disconnected: ${trouble}`);
    expect((await rig.status()).degraded.join()).toContain(`endpoint test/web: ${trouble}`);
    expect(await answers()).toEqual(["no answer", "no answer"]);
    // Bare: neither addresses nor routes, and other hardware addresses.
    inNode("link", "add", ifname, "type", "veth", "peer", "name", "eth0", "netns", web.netns);
    await expect.poll(() => seen("web"), SOON).toBe("ready");
    expect(await answers()).toEqual(["200", "no answer"]);
    expect(await rig.curl(friend, { ...web, ipv4: web.ipv6 }, "/")).toBe("200");
    expect((await rig.status()).degraded).toEqual([]);
    await rig.restartAgent("SIGKILL");
    expect(await answers()).toEqual(["200", "no answer"]);
  });

  it("judges an interface that was elsewhere for a while", async () => {
    const ifname = await link("web");
    const world = `${rig.stage.name}-world`;
    inNode("link", "set", ifname, "netns", world);
    execFileSync("ip", ["-n", world, "link", "set", ifname, "netns", rig.stage.name]);
    inNode("link", "set", ifname, "up");
    await expect.poll(answers, SOON).toEqual(["200", "no answer"]);
    expect(await seen("web")).toBe("ready");
  });

  it("is removed as any other, with its namespace gone or its interface", async () => {
    for (const name of ["lost", "bare"]) await rig.pod(name);
    const lost = await rig.client.call<Endpoint>("GET", "/v1/endpoints/test/lost");
    execFileSync("ip", ["netns", "del", basename(lost.netns)]);
    inNode("link", "del", await link("bare"));
    for (const name of ["lost", "bare"]) {
      await expect.poll(() => seen(name), SOON).toContain("imker endpoint delete test/");
      await rig.client.call("DELETE", `/v1/endpoints/test/${name}`);
    }
    const left = await rig.client.call<Endpoint[]>("GET", "/v1/endpoints");
    expect(left.filter(({ name }) => ["lost", "bare"].includes(name))).toEqual([]);
    expect((await rig.status()).degraded).toEqual([]);
    expect((await rig.pod("lost")).ipv4).toBe(lost.ipv4);
  });

  it("names a namespace that is gone while something still runs in it", async () => {
    execFileSync("ip", ["netns", "del", basename(web.netns)]);
    await expect.poll(() => seen("web"), SOON).toContain(`namespace ${web.netns} is gone`);
    expect(await answers()).toEqual(["200", "no answer"]);
    await rig.client.call("DELETE", "/v1/endpoints/test/web");
    expect(await answers()).not.toContain("200");
  });
});
