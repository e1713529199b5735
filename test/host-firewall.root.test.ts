/**
 * The node's own policy from a file to the packet, on a node made of namespaces: from outside, to
 * the outside, over both families, live; and what keeps an operator from locking himself out.
 */
import { spawnSync } from "node:child_process";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { afterAll, beforeAll, beforeEach, describe, expect, it, vi } from "vitest";
import type { PolicyView } from "../host/admin/types.ts";
import { Peer } from "../host/datapath/testdata/peer.ts";
import { WORLD } from "../host/demo/scenario.ts";
import type { Endpoint } from "../host/endpoint/types.ts";
import { pause, Rig } from "./rig.ts";

const IMKER = join(dirname(dirname(fileURLToPath(import.meta.url))), "imker");
const HOST = 65_535;
const SSH = 22;
const WEB = 8080;
const STATE = mkdtempSync(join(tmpdir(), "imker-host-"));
const OPTIONS = ["--host-firewall", "--node-label", "role=edge", "--cluster-state", STATE];
const FAMILIES = [
  { family: 4, node: WORLD.node4, world: WORLD.partner4 },
  { family: 6, node: WORLD.node6, world: WORLD.partner6 },
] as const;

const policy = (name: string, spec: string): string => `
apiVersion: cilium.io/v2
kind: CiliumClusterwideNetworkPolicy
metadata: { name: ${name} }
spec:
  nodeSelector: { matchLabels: { role: edge } }
${spec}`;
const sshAndEcho = policy(
  "ssh-and-echo",
  `  ingress:
    - fromEntities: [world]
      toPorts: [{ ports: [{ port: "22", protocol: TCP }] }]
    - fromEntities: [all]
      icmps: [{ fields: [{ type: EchoRequest, family: IPv4 }, { type: EchoRequest, family: IPv6 }] }]
`,
);
const webOnly = policy(
  "web-only",
  `  ingress:
    - toPorts: [{ ports: [{ port: "8080", protocol: TCP }] }]
`,
);

let rig: Rig;
let peers: { host: Peer; world: Peer };
const denied = { denied: true };

/** The command line, as an operator has it who came from outside by SSH. */
function imker(args: string[], input: string): { status: number | null; text: string } {
  const { stage } = rig;
  const connection = `${WORLD.partner4} 50022 ${WORLD.node4} ${SSH}`;
  const { status, stdout, stderr } = spawnSync(IMKER, ["--socket", stage.socket, ...args], {
    ...{ input, encoding: "utf8" },
    env: { ...process.env, SSH_CONNECTION: connection, NO_COLOR: "1" },
  });
  return { status, text: stdout + stderr };
}

const greeting = async (host: string, port: number, options = {}): Promise<string> => {
  const { id, greeting: text } = await peers.world.open(host, port, options);
  if (text !== "timeout") await peers.world.close(id);
  return text;
};
const pings = (to: string): boolean =>
  spawnSync("nsenter", [`--net=${rig.stage.worldNetns}`, "ping", "-c1", "-W1", to]).status === 0;
const host = (): Promise<Endpoint> => rig.client.call("GET", `/v1/endpoints/${HOST}`);
const policies = (): Promise<PolicyView[]> => rig.client.call("GET", "/v1/policies");
const apply = (text: string): Promise<unknown> =>
  rig.client.call("POST", "/v1/policies?wait=true&force=true", {
    files: [{ file: "host.yaml", text }],
  });

async function serve(): Promise<void> {
  for (const { node } of FAMILIES) {
    for (const port of [SSH, WEB]) await peers.host.listen("tcp", node, port);
  }
}

beforeAll(async () => {
  rig = await Rig.start("imker-t-host", "node", OPTIONS);
  const { nodeNetns, worldNetns } = rig.stage;
  peers = { host: new Peer(nodeNetns), world: new Peer(worldNetns) };
  await serve();
  for (const { world } of FAMILIES) await peers.world.listen("tcp", world, WEB);
});
afterAll(async () => {
  for (const peer of Object.values(peers ?? {})) await peer.kill();
  await rig?.close();
  rmSync(STATE, { recursive: true });
});
beforeEach(async () => {
  for (const { kind, name } of await policies()) {
    await rig.client.call("DELETE", `/v1/policies/${kind}/-/${name}?wait=true&force=true`);
  }
});

it("is an endpoint with the node's labels, and has no policy map without a policy", async () => {
  const one = await host();
  expect(one).toMatchObject({
    ...{ id: HOST, identity: 1, state: "ready", ipv4: WORLD.node4, ipv6: WORLD.node6 },
    labels: ["k8s:role=edge", "reserved:host"],
  });
  expect(one.policyRevision).toBeGreaterThan(0);
  expect(await rig.client.call("GET", `/v1/bpf/policy/${HOST}`)).toEqual([]);
  expect(imker(["endpoint", "list"], "").text).toMatch(/^65535 +reserved:host +1 /m);
  expect(imker(["endpoint", "get", "reserved:host"], "").text).toMatch(/^policy map 0 entries$/m);
  expect(imker(["endpoint", "delete", "reserved:host"], "")).toMatchObject({ status: 1 });
});

describe.each(FAMILIES)("IPv$family", ({ node, world }) => {
  it("lets in SSH and echo only, live, and everything again when the policy goes", async () => {
    expect(await greeting(node, WEB)).toMatch("hello");
    await apply(sshAndEcho);
    expect(await greeting(node, WEB, denied)).toBe("timeout");
    expect(await greeting(node, SSH)).toMatch("hello");
    expect(pings(node)).toBe(true);
    const { policyRevision } = await host();
    expect(policyRevision).toBe((await rig.status()).agent.enforcedRevision);

    await apply(webOnly);
    expect(await greeting(node, WEB)).toMatch("hello");
    await rig.client.call(
      "DELETE",
      "/v1/policies/CiliumClusterwideNetworkPolicy/-/ssh-and-echo?wait=true&force=true",
    );
    expect(await greeting(node, SSH, denied)).toBe("timeout");
    expect(pings(node)).toBe(false);
    await rig.client.call(
      "DELETE",
      "/v1/policies/CiliumClusterwideNetworkPolicy/-/web-only?wait=true&force=true",
    );
    expect(await greeting(node, SSH)).toMatch("hello");
    expect(pings(node)).toBe(true);
  });

  it("cuts a connection whose rule goes, and lets what the node opens go on", async () => {
    const { id } = await peers.world.open(node, WEB);
    const out = await peers.host.open(world, WEB);
    await apply(sshAndEcho);
    expect(await peers.world.exchange(id, "GET", 500)).toBe("timeout");
    expect(await peers.host.exchange(out.id, "GET")).toBe("GET");
    await peers.world.close(id, "reset");
    await peers.host.close(out.id);
  });

  it("judges what the node sends", async () => {
    await apply(
      policy(
        "out",
        `  egress:
    - toEntities: [world]
      toPorts: [{ ports: [{ port: "9999", protocol: TCP }] }]
`,
      ),
    );
    expect((await peers.host.open(world, WEB, denied)).greeting).toBe("timeout");
    expect(await greeting(node, WEB)).toMatch("hello");
    await apply(
      policy("out", `  egress:\n    - toCIDR: [${world}/${world.includes(":") ? 128 : 32}]\n`),
    );
    expect((await peers.host.open(world, WEB)).greeting).toMatch("hello");
  });

  it("shows what it drops as the node's, with the policies' names for what they allow", async () => {
    await apply(sshAndEcho);
    await greeting(node, SSH);
    await greeting(node, WEB, denied);
    const lines = imker(["observe", "--last", "200", "--output", "json"], "").text;
    const flows = lines
      .split("\n")
      .filter((line) => line.startsWith("{"))
      .map((line) => JSON.parse(line).flow)
      .filter((flow) => flow?.destination?.ID === HOST && flow.IP.destination === node);
    const dropped = flows.filter(({ verdict }) => verdict === "DROPPED");
    expect(dropped.at(-1)).toMatchObject({
      ...{ drop_reason: 133, traffic_direction: "INGRESS" },
      destination: { identity: 1, labels: ["k8s:role=edge", "reserved:host"] },
      l4: { TCP: { destination_port: WEB } },
    });
    expect(flows.find(({ ingress_allowed_by }) => ingress_allowed_by)).toMatchObject({
      ingress_allowed_by: [{ name: "ssh-and-echo" }],
    });
  });
});

it("is for nodes with these labels only", async () => {
  await apply(sshAndEcho.replace("role: edge", "role: inner"));
  expect(await greeting(WORLD.node4, WEB)).toMatch("hello");
  expect(await rig.client.call("GET", `/v1/bpf/policy/${HOST}`)).toEqual([]);
});

it("is in what is asked about policies", async () => {
  const ask = (...more: string[]) =>
    imker(["policy", "trace", "--src", WORLD.partner4, "--dport", "8080/TCP", ...more], "");
  await apply(sshAndEcho);
  for (const dst of [WORLD.node4, "65535"]) {
    const { text } = ask("--dst", dst);
    expect(text).toContain("ssh-and-echo");
    expect(text).toMatch(/denied/i);
  }
  expect(imker(["endpoint", "get", "65535"], "").text).toMatch(/^ingress +default deny$/m);
});

it("follows the labels of its Node object", async () => {
  await apply(sshAndEcho.replace("role: edge", "zone: a"));
  expect(await greeting(WORLD.node4, WEB)).toMatch("hello");
  const node = join(STATE, "node.yaml");
  const labels = (text: string) =>
    writeFileSync(
      node,
      `{apiVersion: v1, kind: Node, metadata: {name: imker-t-host, labels: {${text}}}}`,
    );
  const answers = (expected: string) =>
    vi.waitFor(
      async () => expect(await greeting(WORLD.node4, WEB, denied)).toMatch(expected),
      10_000,
    );
  labels("zone: a");
  await answers("timeout");
  expect((await host()).labels).toEqual(["k8s:role=edge", "k8s:zone=a", "reserved:host"]);
  labels("zone: b");
  await answers("hello");
  rmSync(node);
});

it("treats a pod that shares the node's network as the node", async () => {
  // A process in the node's namespace is all that such a pod is to the kernel.
  const pod = new Peer(rig.stage.nodeNetns);
  await pod.listen("tcp", WORLD.node4, 9090);
  await apply(sshAndEcho);
  expect(await greeting(WORLD.node4, 9090, denied)).toBe("timeout");
  await apply(webOnly.replace('"8080"', '"9090"'));
  expect(await greeting(WORLD.node4, 9090)).toMatch("hello");
  await pod.kill();
});

it("judges with the pods' policies what is between the node and its pods", async () => {
  const web = await rig.pod("web", WEB);
  await apply(sshAndEcho);
  const inside = new Peer(web.netns);
  expect((await inside.open(WORLD.node4, SSH, denied)).greeting).toBe("timeout");
  await apply(policy("pods", "  ingress:\n    - fromEndpoints: [{ matchLabels: { app: web } }]\n"));
  expect((await inside.open(WORLD.node4, SSH)).greeting).toMatch("hello");
  await inside.kill();
});

it("goes on without the agent and with the next one", async () => {
  await apply(sshAndEcho);
  await rig.restartAgent("SIGKILL", 200);
  expect(await greeting(WORLD.node4, WEB, denied)).toBe("timeout");
  expect(await greeting(WORLD.node4, SSH)).toMatch("hello");
  expect((await host()).policyRevision).toBeGreaterThan(0);
});

describe("the lock-out guard", () => {
  // What was cut in other tests is still open to the node.
  beforeAll(async () => {
    await peers.host.kill();
    peers.host = new Peer(rig.stage.nodeNetns);
    await serve();
  });

  it("refuses what would cut the operator's connection, and names both", async () => {
    const refused = imker(["policy", "apply", "-f", "-", "--wait"], webOnly);
    expect(refused.text).toContain(
      `they would cut the connection ${WORLD.partner4}:50022 -> ${WORLD.node4}:22, by which you ` +
        "came (no rule allows it, and CiliumClusterwideNetworkPolicy web-only closes what none allows)",
    );
    expect(refused.status).toBe(1);
    expect(await policies()).toEqual([]);
    const deny = policy("no-ssh", "  ingressDeny:\n    - fromEntities: [world]\n");
    expect(imker(["policy", "apply", "-f", "-"], deny).text).toContain(
      "denied by CiliumClusterwideNetworkPolicy no-ssh",
    );
    expect(imker(["policy", "apply", "-f", "-"], sshAndEcho).status).toBe(0);
  });

  it("knows connections that nobody told it of, and those that are cut already", async () => {
    const { id } = await peers.world.open(WORLD.node6, WEB);
    const body = { files: [{ file: "host.yaml", text: sshAndEcho }] };
    const refused = await rig.client.send("POST", "/v1/policies?wait=true", body);
    expect(refused).toMatchObject({
      status: 409,
      body: {
        type: "urn:imker:problem:conflict",
        cuts: [{ peer: WORLD.partner6, local: WORLD.node6, localPort: WEB, isCallers: false }],
      },
    });
    const forced = imker(["policy", "apply", "-f", "-", "--wait", "--force"], sshAndEcho);
    expect(forced).toMatchObject({ status: 0 });
    expect(forced.text).toContain("warning: ");
    expect((await rig.client.send("POST", "/v1/policies?wait=true", body)).status).toBe(200);
    await peers.world.close(id, "reset");
  });

  it("refuses to delete what lets the operator in", async () => {
    await apply(sshAndEcho);
    // Of a port to which nobody is connected.
    await apply(webOnly.replace("8080", "9091"));
    const refused = imker(["policy", "delete", "ssh-and-echo"], "");
    expect(refused.text).toContain("Cannot delete CiliumClusterwideNetworkPolicy ssh-and-echo: it");
    expect(refused.status).toBe(1);
    expect(imker(["policy", "delete", "web-only"], "").status).toBe(0);
    expect(imker(["policy", "delete", "ssh-and-echo"], "").status).toBe(0);
  });
});

describe("a confirm timeout", () => {
  const applyFor = (duration: string, text: string) =>
    imker(["policy", "apply", "-f", "-", "--wait", "--confirm-timeout", duration], text);

  it("puts back what was there unless it is confirmed", async () => {
    await apply(sshAndEcho);
    const closed = sshAndEcho.replace('"22"', '"23"');
    const applied = applyFor("6s", closed);
    expect(applied.text).toMatch(/undone at .* unless 'imker policy confirm' comes before/);
    expect(await greeting(WORLD.node4, SSH, denied)).toBe("timeout");
    expect((await policies())[0]?.conditions).toMatchObject([{ type: "ConfirmationPending" }]);
    expect(applyFor("2s", webOnly).status).toBe(1);
    await vi.waitFor(async () => expect(await greeting(WORLD.node4, SSH)).toMatch("hello"), 10_000);
    expect((await policies()).map(({ conditions }) => conditions)).toEqual([[]]);
    expect(imker(["policy", "confirm"], "").text).toContain("no change waits for it");
  });

  it("keeps what is confirmed", async () => {
    expect(applyFor("5s", webOnly).status).toBe(0);
    expect(imker(["policy", "confirm"], "")).toMatchObject({
      ...{ status: 0, text: "CiliumClusterwideNetworkPolicy web-only is kept\n" },
    });
    await pause(5_500);
    expect(await greeting(WORLD.node4, SSH, denied)).toBe("timeout");
  });

  it("undoes it also if the agent was not there at its time", async () => {
    expect(applyFor("2s", webOnly).status).toBe(0);
    await rig.restartAgent("SIGKILL", 2_500);
    expect(await policies()).toEqual([]);
    expect(await greeting(WORLD.node4, SSH)).toMatch("hello");
    expect(applyFor("12s", webOnly).status).toBe(0);
    await rig.restartAgent("SIGTERM");
    expect(await greeting(WORLD.node4, SSH, denied)).toBe("timeout");
    await vi.waitFor(async () => expect(await policies()).toEqual([]), 15_000);
    expect(await greeting(WORLD.node4, SSH)).toMatch("hello");
  });

  it("leaves alone what was changed again since", async () => {
    expect(applyFor("5s", webOnly).status).toBe(0);
    await apply(webOnly);
    await pause(5_500);
    expect((await policies()).map(({ name }) => name)).toEqual(["web-only"]);
  });
});
