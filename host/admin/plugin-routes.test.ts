import { connect } from "node:net";
import { Readable } from "node:stream";
import { Client, type Dispatcher } from "undici";
import { afterEach, beforeAll, beforeEach, describe, expect, it, test } from "vitest";
import { z } from "zod";
import type { TrialDifference } from "../../runtime/contract/control.ts";
import { PACKAGE_BYTES_MAX } from "../../runtime/contract/package.ts";
import { generateKey } from "../plugin/signing.ts";
import {
  BUILD_MS,
  type PluginNode,
  packageOf,
  pluginNode,
  proxyStatus,
} from "../plugin/testing/fixture.ts";
import { type Served, servePlugins } from "../plugin/testing/serve.ts";
import { activationView, keyView, pluginView, trialView, versionView } from "./plugin-schema.ts";

let node: PluginNode;
let served: Served;
let client: Client;

beforeAll(async () => {
  await packageOf({});
}, BUILD_MS);

beforeEach(async () => {
  node = pluginNode();
  served = await servePlugins(node);
  client = new Client("http://imker", { socketPath: served.socket, pipelining: 1 });
});

afterEach(async () => {
  await client.destroy();
  served.close();
  node.remove();
});

type Answer = { status: number; type: string; body: unknown };

async function ask(
  method: Dispatcher.HttpMethod,
  path: string,
  body?: Uint8Array | string | object,
): Promise<Answer> {
  const content = body instanceof Uint8Array || typeof body === "string" ? body : undefined;
  const response = await client.request({
    ...{ method, path },
    body: content ?? (body === undefined ? null : JSON.stringify(body)),
  });
  const text = await response.body.text();
  const type = String(response.headers["content-type"]);
  return { status: response.statusCode, type, body: text === "" ? "" : JSON.parse(text) };
}

describe("the whole life of a plugin over HTTP", () => {
  it("goes from upload to canary, promotion, rollback and removal", async () => {
    const answers: [z.ZodType, Answer, number][] = [];
    const step = async (schema: z.ZodType, status: number, ...request: Parameters<typeof ask>) => {
      const answer = await ask(...request);
      answers.push([schema, answer, status]);
      return answer.body as Record<string, never>;
    };
    const base = "/v1/plugins/acme-echo";
    await step(versionView, 201, "POST", "/v1/plugins", await node.signed("acme-echo", "1.0.0"));
    await step(versionView, 200, "POST", "/v1/plugins", await node.signed("acme-echo", "1.0.0"));
    await step(versionView, 201, "POST", "/v1/plugins", await node.signed("acme-echo", "1.1.0"));
    await step(activationView, 200, "PUT", `${base}/activation`, { version: "1.0.0" });
    const canary = { kind: "canary", version: "1.1.0", percent: 10 };
    const { id } = await step(trialView, 201, "POST", `${base}/trials`, canary);
    const sample: TrialDifference = {
      ...{ time: 1, connection: 1, ruleSets: [], offset: 3, active: "a", tried: "b" },
      direction: "request",
      what: "bytes",
    };
    node.proxy.status = proxyStatus({
      trials: [{ id: String(id), compared: 9, differences: 1, samples: [sample] }],
    });
    const live = await step(trialView, 200, "GET", `${base}/trials/${id}`);
    expect(live).toMatchObject({ state: "running", result: { compared: 9 } });
    await step(z.array(trialView), 200, "GET", `${base}/trials`);
    await step(trialView, 200, "POST", `${base}/trials/${id}/promote`);
    await step(pluginView, 200, "GET", base);
    await step(z.array(pluginView), 200, "GET", "/v1/plugins");
    await step(activationView, 200, "POST", `${base}/rollback`, { drainSeconds: 0 });
    const now = await step(activationView, 200, "GET", `${base}/activation`);
    expect(now).toMatchObject({ active: { version: "1.0.0" }, lastKnownGood: null });
    node.clock.now += 60_000;
    await step(trialView, 201, "POST", `${base}/trials`, { kind: "shadow", version: "1.1.0" });
    await step(trialView, 200, "DELETE", `${base}/trials/2`);
    await step(trialView, 200, "GET", `${base}/trials/2`);
    await step(versionView, 200, "DELETE", `${base}/versions/1.1.0`);
    await step(versionView, 200, "GET", `${base}/versions/1.0.0`);
    for (const [schema, { status, body }, expected] of answers) {
      expect([status, body]).toEqual([expected, body]);
      expect(schema.parse(body)).toEqual(body);
    }
  });

  it("gives back the bytes that were uploaded", async () => {
    const file = await node.signed("acme-echo", "1.0.0");
    await ask("POST", "/v1/plugins?grant=emit,log,match", file);
    const path = "/v1/plugins/acme-echo/versions/1.0.0/package";
    const response = await client.request({ method: "GET", path });
    expect(response.headers["content-type"]).toBe("application/wasm");
    expect(Buffer.from(await response.body.bytes())).toEqual(Buffer.from(file));
  });

  it("trusts, revokes and removes keys", async () => {
    const key = { name: "mine", publicKey: generateKey().publicPem, plugins: ["mine-*"] };
    const terms = { notBefore: "2020-01-01T00:00:00+02:00", notAfter: "2030-01-01T00:00:00Z" };
    const made = await ask("POST", "/v1/keys", { ...key, ...terms });
    expect(made).toMatchObject({ status: 201, body: { notBefore: "2019-12-31T22:00:00.000Z" } });
    expect(keyView.parse(made.body)).toEqual(made.body);
    expect(await ask("POST", "/v1/keys", { ...key, ...terms })).toMatchObject({ status: 200 });
    const revoked = await ask("POST", "/v1/keys/mine/revoke");
    expect(revoked).toMatchObject({ status: 200, body: { state: "revoked" } });
    const { body } = await ask("GET", "/v1/keys");
    expect(
      z
        .array(keyView)
        .parse(body)
        .map(({ name }) => name),
    ).toEqual(["machine", "acme", "mine"]);
    expect(await ask("DELETE", "/v1/keys/mine")).toMatchObject({ status: 200 });
    expect(await ask("DELETE", "/v1/keys/mine")).toMatchObject({ status: 404 });
  });
});

describe("uploads", () => {
  it("takes the same package a hundred times at once and has it once", async () => {
    const file = await node.signed("acme-echo", "1.0.0");
    const clients = Array.from(
      { length: 100 },
      () => new Client("http://imker", { socketPath: served.socket }),
    );
    const answers = await Promise.all(
      clients.map(async (one) => {
        const response = await one.request({ method: "POST", path: "/v1/plugins", body: file });
        await response.body.dump();
        return response.statusCode;
      }),
    );
    await Promise.all(clients.map((one) => one.destroy()));
    expect(answers.toSorted()).toEqual([...Array<number>(99).fill(200), 201]);
    expect(node.backend.get("acme-echo").versions).toHaveLength(1);
  });

  it("sends away what is too large, with and without a length that says so", async () => {
    const large = new Uint8Array(PACKAGE_BYTES_MAX + 1);
    expect(await ask("POST", "/v1/plugins", large)).toMatchObject({
      status: 413,
      type: "application/problem+json",
    });
    const parts = Readable.from(Array.from({ length: 9 }, () => Buffer.alloc(1 << 20)));
    const chunked = await client.request({ method: "POST", path: "/v1/plugins", body: parts });
    expect(chunked.statusCode).toBe(413);
    await chunked.body.dump();
  });

  it("keeps nothing of an upload that breaks off", async () => {
    const file = await node.signed("acme-echo", "1.0.0");
    const socket = connect(served.socket);
    const head = `POST /v1/plugins HTTP/1.1\r\nhost: x\r\ncontent-length: ${file.length}\r\n\r\n`;
    await new Promise<void>((resolve) => socket.write(head, () => resolve()));
    await new Promise<void>((resolve) => socket.write(file.subarray(0, 999), () => resolve()));
    socket.destroy();
    expect(await ask("GET", "/v1/plugins")).toMatchObject({ status: 200, body: [] });
    expect(await ask("POST", "/v1/plugins", file)).toMatchObject({ status: 201 });
  });
});

describe("problems", () => {
  const cases: [Dispatcher.HttpMethod, string, string | object | undefined, number, RegExp][] = [
    ["GET", "/v1/plugins/none", undefined, 404, /Cannot find plugin none/],
    ["GET", "/v1/plugins/none/activation", undefined, 404, /Cannot find plugin none/],
    ["GET", "/v1/plugins/none/trials", undefined, 404, /Cannot find plugin none/],
    ["GET", "/v1/plugins/none/trials/1", undefined, 404, /Cannot find trial 1/],
    ["GET", "/v1/plugins/none/versions/1.0.0/package", undefined, 404, /no version installed/],
    ["DELETE", "/v1/plugins/none/versions/1.0.0", undefined, 404, /no version installed/],
    ["POST", "/v1/plugins/none/rollback", undefined, 404, /Cannot find plugin none/],
    ["PUT", "/v1/plugins/none/activation", { version: "1.0.0" }, 404, /no version installed/],
    ["PUT", "/v1/plugins/none/activation", "{", 400, /Cannot read the body/],
    ["PUT", "/v1/plugins/none/activation", {}, 400, /version/],
    ["PUT", "/v1/plugins/none/activation", { version: "1.0.0", x: 1 }, 400, /"x"/],
    ["POST", "/v1/plugins/none/trials", { kind: "dark", version: "1.0.0" }, 400, /kind/],
    ["POST", "/v1/plugins?grant=root", "x", 400, /grant/],
    ["POST", "/v1/plugins", "not a package", 422, /not a WebAssembly component/],
    ["POST", "/v1/plugins", undefined, 422, /not a WebAssembly component/],
    ["POST", "/v1/keys", { name: "k", publicKey: "x", plugins: ["a"] }, 422, /not a PEM/],
    ["POST", "/v1/keys", { name: "k", publicKey: "x", plugins: ["*a"] }, 400, /plugins\.0/],
    ["POST", "/v1/keys/machine/revoke", undefined, 409, /agent's own/],
    ["GET", "/v1/plugins/none/logs?last=-1", undefined, 400, /last: Too small/],
  ];
  it.each(cases)("%s %s %j: %d", async (method, path, body, status, detail) => {
    const answer = await ask(method, path, body);
    expect(answer).toMatchObject({ status, type: "application/problem+json" });
    expect(answer.body).toMatchObject({ status, detail: expect.stringMatching(detail) });
  });
});

describe("logs", () => {
  it("streams the last lines and then what comes", async () => {
    const plugin = { name: "acme-echo", version: "1.0.0", digest: "d" };
    node.log.add({ plugin, level: "warn", message: "one" }, 0);
    const path = "/v1/plugins/acme-echo/logs?follow=true";
    const response = await client.request({ method: "GET", path });
    expect(response.headers["content-type"]).toBe("application/x-ndjson");
    const read: unknown[] = [];
    for await (const chunk of response.body) {
      const lines = String(chunk).trim().split("\n");
      read.push(...lines.map((line) => JSON.parse(line).message));
      if (read.length === 2) break;
      node.log.add({ plugin, level: "info", message: "two" }, 0);
    }
    expect(read).toEqual(["one", "two"]);
  });

  it("tells one reader too many before the answer begins", async () => {
    const stop = new AbortController();
    for (let i = 0; i < 64; i++) node.log.follow("acme-echo", 0, stop.signal);
    const answer = await ask("GET", "/v1/plugins/acme-echo/logs?follow=true");
    stop.abort();
    expect(answer).toMatchObject({ status: 429, type: "application/problem+json" });
    expect(answer.body).toMatchObject({ type: "urn:imker:problem:too-many" });
  });
});

test("a package that is refused is no wrong policy", async () => {
  const answer = await client.request({ method: "POST", path: "/v1/plugins", body: "nothing" });
  expect([answer.statusCode, await answer.body.json()]).toMatchObject([
    422,
    { type: "urn:imker:problem:refused", title: "Refused" },
  ]);
});

describe("metrics", () => {
  it("has versions and trials with their labels", async () => {
    const file = await node.signed("acme-echo", "1.0.0");
    const { digest } = node.backend.install(file, undefined).view;
    await ask("PUT", "/v1/plugins/acme-echo/activation", { version: "1.0.0" });
    node.backend.install(await node.signed("acme-echo", "2.0.0"), undefined);
    const trial = { kind: "shadow", version: "2.0.0" };
    await ask("POST", "/v1/plugins/acme-echo/trials", trial);
    node.proxy.status = proxyStatus({
      versions: [{ digest, calls: 5, fuel: 700, faults: 1 }],
      trials: [{ id: "1", compared: 3, skipped: { busy: 2 } }],
    });
    const response = await client.request({ method: "GET", path: "/v1/metrics" });
    const text = await response.body.text();
    const labels = `plugin="acme-echo",version="1.0.0",digest="${digest}"`;
    for (const line of [
      "imker_proxy_up 1",
      'imker_proxy_events_total{event="accepted"} 7',
      `imker_plugin_active{${labels}} 1`,
      'imker_plugin_recordings{plugin="acme-echo"} 0',
      "imker_cases 0",
      "imker_cases_bytes 0",
      `imker_plugin_calls_total{${labels}} 5`,
      `imker_plugin_fuel_total{${labels}} 700`,
      'imker_trial_skipped_total{plugin="acme-echo",version="2.0.0",trial="1",kind="shadow",reason="busy"} 2',
    ]) {
      expect(text.split("\n")).toContain(line);
    }
    expect(text).toMatch(/# TYPE imker_plugin_faults_total counter/);
  });

  it("says that there is no proxy", async () => {
    node.proxy.status = undefined;
    const response = await client.request({ method: "GET", path: "/v1/metrics" });
    expect(await response.body.text()).toMatch(/^imker_proxy_up 0$/m);
  });
});
