/**
 * A plugin in full TypeScript on a node: memcached's, interpreted in the sandbox, with Debian's
 * server through a whole agent. What a policy allows and denies, what the client sees of a denial,
 * that values larger than any buffer pass, and what flows say.
 */
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import type { Endpoint } from "../host/endpoint/types.ts";
import { PluginRig } from "./plugin-rig.ts";
import { pause } from "./rig.ts";

const BUILD_MS = 180_000;
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

let node: PluginRig;
let cache: Endpoint;
let shop: Endpoint;

/** A client's whole connection: what it got for these lines, line by line. */
async function session(...lines: string[]): Promise<string[]> {
  const client = [process.execPath, "-e", CLIENT, cache.ipv4];
  const printed = await node.ask(shop, client, [...lines, "quit", ""].join("\r\n"));
  return printed.split("\r\n").slice(0, -1);
}

async function flows(): Promise<string[]> {
  return (await node.flows()).map(({ verdict, Summary }) => `${verdict} ${Summary}`);
}

beforeAll(async () => {
  node = await PluginRig.start("memcached");
  cache = await node.rig.pod("cache");
  shop = await node.rig.pod("shop");
  node.run(cache, ["memcached", "-u", "nobody", "-l", "0.0.0.0", "-m", "64"]);
  expect(await node.rig.apply(POLICY)).toMatchObject({ errors: [], warnings: [] });
  // The server listens a moment after it started.
  for (let attempt = 0; attempt < 50; attempt++) {
    if ((await session("version"))[0]?.startsWith("VERSION")) return;
    await pause(100);
  }
  throw new Error("Cannot reach memcached: no answer to 'version'");
}, BUILD_MS);

afterAll(() => node?.close());

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
