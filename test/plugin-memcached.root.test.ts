/**
 * A plugin in full TypeScript on a node: memcached's, interpreted in the sandbox, with Debian's
 * server through a whole agent. What a policy allows and denies, what the client sees of a denial,
 * that values larger than any buffer pass, and what flows say.
 */
import { type ChildProcess, spawn } from "node:child_process";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import type { Endpoint } from "../host/endpoint/types.ts";
import { endProcess } from "../host/process-list.ts";
import { ROOT } from "../runtime/testkit/built-plugin.ts";
import { Vendor } from "./plugin-node.ts";
import { pause, Rig } from "./rig.ts";

const PLUGIN = join(ROOT, "examples/plugins/memcached");
const BUILD_MS = 180_000;
const CLIENT_TIMEOUT_SECONDS = 20;
const DENIED = "CLIENT_ERROR denied by network policy";

const POLICY = `
apiVersion: cilium.io/v2
kind: CiliumNetworkPolicy
metadata: { name: cache, namespace: test }
spec:
  endpointSelector: { matchLabels: { app: cache } }
  ingress:
    - fromEndpoints: [{ matchLabels: { app: shop } }]
      toPorts:
        - ports: [{ port: "11211", protocol: TCP }]
          rules:
            l7proto: memcached
            l7:
              - { command: "gets?|set|add|incr", key: "user:.*" }
              - { command: version }
`;

/**
 * Sends standard input to argv[1], prints what comes until the server closes, then ends by itself:
 * process.exit() would drop what standard output has not taken yet.
 */
const CLIENT = `
  const socket = require("node:net").connect(11211, process.argv[1]);
  socket.pipe(process.stdout);
  process.stdin.on("data", (bytes) => socket.write(bytes));
  socket.on("error", (error) => process.stdout.write(error.code));
  socket.on("close", () => process.stdin.destroy());`;

const vendor = new Vendor();
const processes: ChildProcess[] = [];
let rig: Rig;
let cache: Endpoint;
let shop: Endpoint;

/** Starts a program in a pod's namespace; it ends with the test. */
function run(pod: Endpoint, argv: string[]): ChildProcess & { text: string } {
  const child = spawn("nsenter", [`--net=${pod.netns}`, ...argv], {
    stdio: ["pipe", "pipe", "pipe"],
  });
  processes.push(child);
  const running = Object.assign(child, { text: "" });
  for (const stream of [child.stdout, child.stderr]) {
    stream.on("data", (bytes: Buffer) => {
      running.text += bytes.toString("latin1");
    });
  }
  return running;
}

/** A client's whole connection: what it got for these lines, line by line. */
async function session(...lines: string[]): Promise<string[]> {
  const node = [process.execPath, "-e", CLIENT, cache.ipv4];
  const child = run(shop, ["timeout", String(CLIENT_TIMEOUT_SECONDS), ...node]);
  child.stdin?.end([...lines, "quit", ""].join("\r\n"));
  await new Promise((resolve) => child.once("close", resolve));
  return child.text.split("\r\n").slice(0, -1);
}

interface SeenFlow {
  verdict: string;
  Summary: string;
  extensions?: { name: string };
}

/** The last flows of the plugin. */
async function flows(): Promise<string[]> {
  await pause(500);
  const found: string[] = [];
  for await (const line of rig.client.lines("/v1/flows?last=1000")) {
    const { flow } = JSON.parse(line) as { flow?: SeenFlow };
    if (flow?.extensions?.name === "memcached") found.push(`${flow.verdict} ${flow.Summary}`);
  }
  return found;
}

beforeAll(async () => {
  // Before there is an agent: it ends connections that idle while a build keeps us busy.
  const file = await vendor.package(PLUGIN, "0.1.0");
  rig = await Rig.start("imker-t-memcached");
  cache = await rig.pod("cache");
  shop = await rig.pod("shop");
  run(cache, ["memcached", "-u", "nobody", "-l", "0.0.0.0", "-m", "64"]);
  const key = { name: "vendor", publicKey: vendor.publicKey, plugins: ["memcached"] };
  await rig.client.call("POST", "/v1/keys", key);
  await rig.client.upload("/v1/plugins", file, "application/wasm");
  await rig.client.call("PUT", "/v1/plugins/memcached/activation", { version: "0.1.0" });
  expect(await rig.apply(POLICY)).toMatchObject({ errors: [], warnings: [] });
  // The server listens a moment after it started.
  for (let attempt = 0; attempt < 50; attempt++) {
    if ((await session("version"))[0]?.startsWith("VERSION")) return;
    await pause(100);
  }
  throw new Error("Cannot reach memcached: no answer to 'version'");
}, BUILD_MS);

afterAll(async () => {
  for (const { pid, exitCode } of processes) {
    if (pid !== undefined && exitCode === null) await endProcess(pid);
  }
  await rig?.close();
  vendor.close();
});

describe("memcached through an interpreted plugin", () => {
  it("answers what is allowed, denies the rest, and the connection goes on", async () => {
    const answers = await session(
      "set user:1 0 0 3",
      "ada",
      "set secret 0 0 3",
      "no!",
      "get user:1",
      "get user:1 secret",
      "flush_all",
      "get user:1 user:2",
    );
    const value = ["VALUE user:1 0 3", "ada", "END"];
    expect(answers).toEqual(["STORED", DENIED, ...value, DENIED, DENIED, ...value]);
    const requests = (await flows()).filter((flow) => / memcached [a-z]/.test(flow));
    expect(requests.slice(-7)).toEqual([
      "FORWARDED memcached set user:1 3 bytes",
      "DROPPED memcached set secret 3 bytes",
      "FORWARDED memcached get user:1",
      "DROPPED memcached get secret (of 2 keys)",
      "DROPPED memcached flush_all",
      "FORWARDED memcached get user:1 (of 2 keys)",
      "FORWARDED memcached quit",
    ]);
    expect(await flows()).toContain("FORWARDED memcached END 1 items");
  });

  it("passes values larger than any buffer, both ways", async () => {
    const value = "x".repeat(900_000);
    const answers = await session("set user:big 0 0 900000", value, "get user:big");
    expect(answers).toEqual(["STORED", "VALUE user:big 0 900000", value, "END"]);
  });

  it("keeps the order of many commands sent ahead", async () => {
    const lines = Array.from({ length: 200 }, (_, index) =>
      index % 4 === 0 ? "incr secret 1" : "incr user:n 1",
    );
    const [stored, ...answers] = await session("set user:n 0 0 1", "0", ...lines);
    let count = 0;
    const expected = lines.map((line) => (line.includes("secret") ? DENIED : String(++count)));
    expect([stored, ...answers]).toEqual(["STORED", ...expected]);
  });

  it("closes what is not the protocol", async () => {
    expect(await session("get user:1\nflush_all")).toEqual([]);
    expect((await session("get user:1")).at(-1)).toBe("END");
  });
});
