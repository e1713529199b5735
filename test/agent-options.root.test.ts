/**
 * Options of the agent, by Cilium's names, that change what the kernel does: how long connections
 * are known, whether policies bind the node itself, what a pod is told, how many entries there are.
 */
import { spawn } from "node:child_process";
import { once } from "node:events";
import { afterAll, beforeAll, expect, it } from "vitest";
import type { Endpoint } from "../host/endpoint/types.ts";
import { allowPolicy, Rig } from "./rig.ts";

const START_MS = 60_000;
const ARGS = [
  ...["--bpf-ct-timeout-regular-tcp", "3s", "--bpf-ct-timeout-regular-any", "1m30s"],
  ...["--allow-localhost", "policy", "--bpf-policy-map-max", "256"],
  ...["--policy-deny-response", "icmp"],
];

let rig: Rig;
let web: Endpoint;
let friend: Endpoint;
let node: Endpoint;

beforeAll(async () => {
  rig = await Rig.start("imker-t-options", "node", ARGS);
  web = await rig.pod("web", 8080);
  friend = await rig.pod("friend");
  node = { ...friend, netns: rig.stage.nodeNetns };
}, START_MS);
afterAll(() => rig?.close());

/** Speaks at once, then each second, and after five of silence once more. */
const SPEAKER = `
require("node:net").createServer((socket) => {
  for (const second of [0, 1, 2, 3, 4, 9]) setTimeout(() => socket.write(second + " "), second * 1000);
  socket.on("error", () => {});
}).listen(9000, () => console.log("listens"));
`;
/** Prints what it hears in so many seconds. */
const LISTENER = `
const socket = require("node:net").connect({ host: process.argv[1], port: 9000 });
let heard = "";
socket.on("data", (data) => (heard += data));
setTimeout(() => { console.log(heard.trim()); process.exit(0); }, 11_000);
`;

/** Prints why it cannot connect. */
const CALLER = `
const socket = require("node:net").connect({ host: process.argv[1], port: 8080 });
socket.on("error", ({ code }) => console.log(code));
socket.on("connect", () => console.log("connected"));
setTimeout(() => { console.log("no answer"); process.exit(0); }, 5_000).unref();
`;

function run(netns: string, script: string, ...args: string[]) {
  const all = [`--net=${netns}`, process.execPath, "-e", script, ...args];
  return spawn("nsenter", all, { stdio: ["ignore", "pipe", "inherit"] });
}

it("a connection is forgotten when it was silent for the time that was set", async () => {
  // Only answers may reach the friend: what the speaker says of itself is not for it.
  await rig.apply(allowPolicy("friend", "friend", "nobody"));
  const speaker = run(web.netns, SPEAKER);
  try {
    await once(speaker.stdout, "data");
    const listener = run(friend.netns, LISTENER, web.ipv4);
    const [heard] = (await once(listener.stdout, "data")) as [Buffer];
    expect(heard.toString().trim()).toBe("0 1 2 3 4");
  } finally {
    speaker.kill("SIGKILL");
  }
}, 30_000);

it("each kind of connection has its own time", async () => {
  const bash = ["bash", "-c", `echo > /dev/udp/${web.ipv4}/9`];
  await once(spawn("nsenter", [`--net=${friend.netns}`, ...bash]), "exit");
  expect(await rig.curl(friend, web, "/")).toBe("200");
  const rows = await rig.client.call<{ protocol: number; expiresInSeconds: number }[]>(
    "GET",
    "/v1/bpf/ct",
  );
  const life = (wanted: number) =>
    Math.max(...rows.map((row) => (row.protocol === wanted ? row.expiresInSeconds : 0)));
  expect(life(17)).toBeGreaterThan(60);
  expect(life(17)).toBeLessThanOrEqual(90);
  // It has ended; the time for that was not set.
  expect(life(6)).toBeGreaterThan(3);
  expect(life(6)).toBeLessThanOrEqual(10);
});

it.each([
  ["a friend", "fromEndpoints: [{ matchLabels: { app: friend } }]", "no answer"],
  ["the node", "fromEntities: [host]", "200"],
  [
    "the node with rules that only a proxy can judge",
    'fromEntities: [host], toPorts: [{ ports: [{ port: "8080", protocol: TCP }], rules: { http: [{ path: "/" }] } }]',
    "no answer",
  ],
])("the node reaches a pod only as policies say: %s may", async (_name, rule, expected) => {
  expect(await rig.curl(node, web, "/")).toBe("200");
  await rig.apply(`
apiVersion: cilium.io/v2
kind: CiliumNetworkPolicy
metadata: { name: web, namespace: test }
spec:
  endpointSelector: { matchLabels: { app: web } }
  ingress: [{ ${rule} }]
`);
  expect(await rig.curl(node, web, "/")).toBe(expected);
  await rig.client.call("DELETE", "/v1/policies/CiliumNetworkPolicy/test/web?wait=true");
});

it("a pod is told of what it may not send, not of what others do not take", async () => {
  const policy = (direction: string) => `
apiVersion: cilium.io/v2
kind: CiliumNetworkPolicy
metadata: { name: closed, namespace: test }
spec: { endpointSelector: { matchLabels: { app: friend } }, ${direction}: [{}] }
`;
  await rig.apply(policy("egress"));
  // At its second SYN: while it sends the first one a socket does not listen.
  for (const [address, expected] of [
    [web.ipv4, "EHOSTUNREACH"],
    [web.ipv6, "EACCES"],
  ] as const) {
    const [said] = (await once(run(friend.netns, CALLER, address).stdout, "data")) as [Buffer];
    expect(said.toString().trim()).toBe(expected);
  }
  await rig.apply(policy("ingress"));
  for (const address of [friend.ipv4, friend.ipv6]) {
    expect(await rig.curl(web, friend, "/", { address })).toBe("no answer");
  }
});

it("a policy with more entries than the map was made for is told of", async () => {
  const cidrs = Array.from({ length: 300 }, (_, index) => `192.0.${index >> 8}.${index & 255}/32`);
  await rig.apply(`
apiVersion: cilium.io/v2
kind: CiliumNetworkPolicy
metadata: { name: many, namespace: test }
spec:
  endpointSelector: { matchLabels: { app: web } }
  ingress: [{ fromCIDR: [${cidrs.join(", ")}] }]
`);
  const { degraded } = await rig.status();
  expect(degraded.join("\n")).toMatch(/make 30\d entries, the policy map holds 256/);
});
