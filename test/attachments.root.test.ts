/** Interfaces made anew under a running agent, and links unpinned by hand: enforced again soon. */
import { execFileSync } from "node:child_process";
import { readdirSync, unlinkSync } from "node:fs";
import { afterAll, beforeAll, expect, it, vi } from "vitest";
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
let peers: { host: Peer; world: Peer };
beforeAll(async () => {
  rig = await Rig.start("imker-t-attach", "node", OPTIONS);
  web = await rig.pod("web", 8080);
  stranger = await rig.pod("stranger");
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
