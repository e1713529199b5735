/**
 * The Redis plugin with Debian's server and client, through a whole agent: what a policy allows and
 * denies, what the client sees of a denial, that its connection goes on, and what flows say.
 */
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import type { Endpoint } from "../host/endpoint/types.ts";
import { endProcess } from "../host/process-list.ts";
import { PluginRig } from "./plugin-rig.ts";
import { pause } from "./rig.ts";

const BUILD_MS = 120_000;
const NOPERM = "NOPERM denied by network policy";
const PASSWORD = "lovelace1815";

const POLICY = `
apiVersion: cilium.io/v2
kind: CiliumNetworkPolicy
metadata: { name: cache, namespace: test }
spec:
  endpointSelector: { matchLabels: { app: cache } }
  ingress:
    - fromEndpoints: [{ matchLabels: { app: shop } }]
      toPorts:
        - ports: [{ port: "6379", protocol: TCP }]
          rules:
            l7proto: redis
            l7:
              - { command: "GET|SET|MGET|STRLEN|HSET|HGETALL|INCR", key: "user:.*" }
              - { command: "PING|ECHO|HELLO|AUTH|MULTI|EXEC" }
              - { command: CLIENT, subcommand: "ID|SETNAME" }
              - { command: CONFIG, subcommand: GET }
              - { command: "SUBSCRIBE|PUBLISH", channel: "news:.*" }
`;

const ENV = { REDISCLI_AUTH: PASSWORD };
const folder = mkdtempSync(join(tmpdir(), "imker-redis-"));
let node: PluginRig;
let cache: Endpoint;
let shop: Endpoint;

async function until(ask: () => boolean | Promise<boolean>): Promise<void> {
  const deadline = performance.now() + 10_000;
  while (!(await ask())) {
    if (performance.now() > deadline) throw new Error("it did not happen within 10 s");
    await pause(50);
  }
}

/** redis-cli with these arguments and this standard input, on one connection; what it printed. */
async function cli(args: string[], input: string): Promise<string[]> {
  const printed = await node.ask(shop, ["redis-cli", "-h", cache.ipv4, ...args], input, ENV);
  return printed.split("\n").filter((line) => line !== "");
}

beforeAll(async () => {
  node = await PluginRig.start("redis");
  cache = await node.rig.pod("cache");
  shop = await node.rig.pod("shop");
  const server = ["--bind", "0.0.0.0", "--save", "", "--dir", folder, "--maxmemory", "200mb"];
  const redis = node.run(cache, ["redis-server", ...server, "--requirepass", PASSWORD]);
  await until(() => redis.text.includes("Ready to accept connections"));
  expect(await node.rig.apply(POLICY)).toMatchObject({ errors: [], warnings: [] });
}, BUILD_MS);

afterAll(async () => {
  await node?.close();
  rmSync(folder, { recursive: true, force: true });
});

describe("flows of Redis", () => {
  it("name plugin, command, key and verdict, and no secret", async () => {
    await cli([], "SET user:1 ada\nGET user:1\nMGET user:1 user:2\nDEL user:1\nINCR user:1");
    const seen = await node.flows();
    const words = seen.slice(-9).map(({ verdict, Summary }) => `${verdict} ${Summary}`);
    expect(words).toEqual([
      "FORWARDED redis SET user:1",
      "FORWARDED redis simple",
      "FORWARDED redis GET user:1",
      "FORWARDED redis bulk",
      "FORWARDED redis MGET user:1 (of 2 keys)",
      "FORWARDED redis array",
      "DROPPED redis DEL user:1",
      "FORWARDED redis INCR user:1",
      "FORWARDED redis error ERR",
    ]);
    const [auth] = seen.filter(({ extensions }) => extensions?.fields?.command === "AUTH");
    expect(auth).toMatchObject({ extensions: { name: "redis", version: "0.1.0" } });
    expect(JSON.stringify(seen)).not.toContain(PASSWORD);
  });
});

describe("redis-cli through the Redis plugin", () => {
  it("gets an error for what is denied, and its connection goes on", async () => {
    const session = ["CLIENT ID", "SET user:1 ada", "GET secret", "FLUSHALL", "GET user:1"];
    const [id, ...answers] = await cli([], [...session, "CLIENT ID"].join("\n"));
    expect(answers).toEqual(["OK", NOPERM, NOPERM, "ada", id]);
  });

  it("is judged by every key, also of inline commands and in lower case", async () => {
    const session = [
      "set user:2 bob",
      "mget user:1 user:2",
      "mget user:1 secret",
      "config get save",
    ];
    const answers = await cli([], session.join("\n"));
    expect(answers).toEqual(["OK", "ada", "bob", NOPERM, "save"]);
  });

  it("loses a whole transaction of which a part is denied", async () => {
    const good = ["MULTI", "SET user:3 1", "INCR user:3", "EXEC"];
    const bad = ["MULTI", "INCR user:3", "SET secret 1", "EXEC", "GET user:3"];
    const answers = await cli([], [...good, ...bad].join("\n"));
    expect(answers.slice(0, 5)).toEqual(["OK", "QUEUED", "QUEUED", "OK", "2"]);
    const aborted = "EXECABORT Transaction discarded because of previous errors.";
    expect(answers.slice(5)).toEqual(["OK", "QUEUED", NOPERM, aborted, "2"]);
  });

  it("speaks RESP3", async () => {
    const session = ["HSET user:h name ada", "HGETALL user:h", "DEL user:h", "PING"];
    const answers = await cli(["-3"], session.join("\n"));
    expect(answers).toEqual(["1", "name ada", NOPERM, "PONG"]);
  });

  it("is refused what leaves the protocol", async () => {
    expect(await cli([], "REPLCONF ACK 0\nSCRIPT DEBUG YES\nPING")).toEqual([
      NOPERM,
      NOPERM,
      "PONG",
    ]);
  });

  it.each(["-2", "-3"])("subscribes to what is allowed, RESP%s", async (version) => {
    const client = ["redis-cli", version, "-h", cache.ipv4, "SUBSCRIBE", "news:1"];
    const subscriber = node.run(shop, client, ENV);
    await until(() => subscriber.text.includes("subscribe"));
    const [reached, denied] = await cli([], "PUBLISH news:1 hello\nPUBLISH other no");
    expect(Number(reached)).toBeGreaterThan(0);
    expect(denied).toBe(NOPERM);
    await until(() => subscriber.text.includes("hello"));
    expect(subscriber.text).not.toContain("other");
    expect((await cli(["SUBSCRIBE", "other"], "")).join()).toContain(NOPERM);
    if (subscriber.pid !== undefined) await endProcess(subscriber.pid);
  });

  it("sends and gets values larger than any buffer", async () => {
    const value = "x".repeat(5_000_000);
    expect(await cli(["-x", "SET", "user:big"], value)).toEqual(["OK"]);
    expect(await cli(["-x", "SET", "big"], value)).toEqual([NOPERM]);
    const [answer] = await cli(["GET", "user:big"], "");
    expect(answer?.length).toBe(value.length);
  });

  it("pipelines: every reply is there and in order", async () => {
    const commands = Array.from({ length: 10_000 }, (_, index) =>
      index % 10 === 0 ? `SET denied:${index} 1\r\n` : `SET user:${index} ${index}\r\n`,
    );
    const answers = await cli(["--pipe"], commands.join(""));
    expect(answers.at(-1)).toBe("errors: 1000, replies: 10000");
    expect(await cli([], "GET user:9999")).toEqual(["9999"]);
  });

  it("pipelines on many connections without an error", async () => {
    const size = ["-n", "20000", "-P", "32", "-c", "8", "-q", "-r", "100"];
    const command = ["SET", "user:__rand_int__", "1"];
    const client = ["redis-benchmark", "-h", cache.ipv4, "-a", PASSWORD, ...size, ...command];
    const printed = await node.ask(shop, client);
    expect(printed).toContain("requests per second");
    expect(printed).not.toMatch(/error|NOPERM/i);
  });
});
