/** The API over its real unix socket: what it answers, refuses, bounds, and writes down. */
import { once } from "node:events";
import { statSync } from "node:fs";
import { userInfo } from "node:os";
import { Readable } from "node:stream";
import { Client } from "undici";
import { afterAll, beforeAll, beforeEach, describe, expect, it } from "vitest";
import { describeAdminApi } from "./app.ts";
import { openApiDocument } from "./openapi.ts";
import { judgeExchange } from "./testing/conformance.ts";
import { StillAgent } from "./testing/still-agent.ts";

const document = openApiDocument(describeAdminApi(), "1.2.3");
let agent: StillAgent;
let client: Client;

beforeAll(async () => {
  agent = new StillAgent();
  await agent.listen();
});
beforeEach(() => {
  client = new Client("http://anything", { socketPath: agent.socket });
  return () => client.destroy();
});
afterAll(() => agent.close());

async function ask(method: string, path: string, body?: unknown) {
  const text = typeof body === "string" || body === undefined ? body : JSON.stringify(body);
  const answer = await client.request({
    method,
    path,
    ...(text === undefined ? {} : { body: text }),
  });
  const type = String(answer.headers["content-type"] ?? "").split(";")[0] ?? "";
  const [contentType, raw] = [type, await answer.body.text()];
  const json = /json$/.test(type) ? JSON.parse(raw) : undefined;
  return { status: answer.statusCode, headers: answer.headers, contentType, raw, json };
}

describe("answers are what the document says", () => {
  const files = [{ file: "a.yaml", text: "fine" }];
  it.each<[string, string, unknown, number]>([
    ["GET", "/v1/identities", undefined, 200],
    ["GET", "/v1/identities/1001", undefined, 200],
    ["GET", "/v1/identities/7", undefined, 404],
    ["GET", "/v1/identities/x", undefined, 400],
    ["PATCH", "/v1/endpoints/shop/web", { labels: { a: "b", c: null } }, 200],
    ["PATCH", "/v1/endpoints/shop/web", { labels: { "-": "b" } }, 400],
    ["PATCH", "/v1/endpoints/shop/nope", { labels: {} }, 404],
    ["GET", "/v1/endpoints", undefined, 200],
    ["GET", "/v1/endpoints/shop/web", undefined, 200],
    ["GET", "/v1/endpoints/shop%2Fweb", undefined, 200],
    ["GET", "/v1/endpoints/nope", undefined, 404],
    ["POST", "/v1/endpoints", { name: "a" }, 201],
    ["POST", "/v1/endpoints", { name: "a", serviceAccount: "shop" }, 201],
    ["POST", "/v1/endpoints", { name: "A" }, 400],
    ["DELETE", "/v1/endpoints/7", undefined, 200],
    ["POST", "/v1/policies", { files }, 200],
    ["POST", "/v1/policies?wait=true", { files: [{ file: "b", text: "broken" }] }, 422],
    ["POST", "/v1/policies?confirm-timeout=60s&force=true", { files }, 200],
    ["POST", "/v1/policies?confirm-timeout=60", { files }, 400],
    ["POST", "/v1/policies?confirm-timeout=25h", { files }, 400],
    ["POST", "/v1/policies?connection=10.0.0.1%2022%2010.0.0.2%2022", { files }, 200],
    ["POST", "/v1/policies?connection=me", { files }, 400],
    ["POST", "/v1/policies/confirm", undefined, 200],
    ["POST", "/v1/policies/validate", { files }, 200],
    ["DELETE", "/v1/policies/CiliumNetworkPolicy/-/a", undefined, 200],
    ["GET", "/v1/flows?last=1", undefined, 200],
    ["GET", "/v1/flows?last=x", undefined, 400],
    ["GET", "/v1/bpf/policy/web", undefined, 200],
    ["POST", "/v1/tokens", { name: "doc", role: "viewer" }, 201],
    ["POST", "/v1/tokens", { name: "doc", role: "viewer" }, 409],
    ["GET", "/v1/tokens", undefined, 200],
    ["DELETE", "/v1/tokens/doc", undefined, 200],
    ["GET", "/v1/audit", undefined, 200],
    ["POST", "/v1/stop?proxy=true", undefined, 202],
    ["POST", "/v1/proxy/upgrade", undefined, 500],
    ["GET", "/v1/openapi.json", undefined, 200],
    ["GET", "/v1/docs", undefined, 200],
  ])("%s %s %j: %d", async (method, path, body, status) => {
    const answer = await ask(method, path, body);
    expect([answer.status, answer.raw]).toEqual([status, expect.any(String)]);
    const pathname = decodeURIComponent(path.split("?")[0] ?? "");
    const contentType = String(answer.headers["content-type"]);
    const bare = contentType.startsWith("application/json") ? "application/json" : contentType;
    const exchange = { method, path: pathname, status, contentType: bare, body: answer.raw };
    expect(judgeExchange(document, exchange).problems).toEqual([]);
    expect(answer.headers["cache-control"]).toBe("no-store");
  });
});

it("serves the document that the command line prints", async () => {
  expect((await ask("GET", "/v1/openapi.json")).json).toEqual(JSON.parse(JSON.stringify(document)));
});

describe("refusals are problem documents", () => {
  const big = JSON.stringify({ name: "a".repeat(1 << 20) });
  it.each<[string, string, string, unknown, number, string, RegExp]>([
    ["an unknown path", "GET", "/v1/nope", undefined, 404, "not-found", /Cannot find \/v1\/nope/],
    ["a wrong method", "PUT", "/v1/status", {}, 405, "method-not-allowed", /Allow/],
    ["no JSON", "POST", "/v1/endpoints", "{", 400, "bad-request", /Cannot read the body/],
    ["a wrong parameter", "GET", "/v1/flows?lats=1", undefined, 400, "bad-request", /lats/],
    ["a wrong time", "GET", "/v1/flows?since=x", undefined, 400, "bad-request", /RFC 3339/],
    ["a wrong flag", "POST", "/v1/stop?proxy=yes", undefined, 400, "bad-request", /proxy/],
    ["a body over the limit", "POST", "/v1/endpoints", big, 413, "too-large", /over 1048576/],
    [
      "an endless token",
      "POST",
      "/v1/tokens",
      { name: "x", role: "viewer", ttlSeconds: 1e12 },
      400,
      "bad-request",
      /ttlSeconds/,
    ],
    [
      "a strange role",
      "POST",
      "/v1/tokens",
      { name: "x", role: "root" },
      400,
      "bad-request",
      /role/,
    ],
  ])("%s", async (_name, method, path, body, status, type, detail) => {
    const { json, contentType, status: got } = await ask(method, path, body);
    expect([got, contentType]).toEqual([status, "application/problem+json"]);
    expect(json).toMatchObject({
      type: `urn:imker:problem:${type}`,
      title: expect.any(String),
      status,
      detail: expect.stringMatching(detail),
      instance: path.split("?")[0],
    });
  });

  it("a 405 names the methods that there are", async () => {
    expect((await ask("PUT", "/v1/status", {})).headers.allow).toMatch(/GET/);
  });

  it("errors names every field that is wrong", async () => {
    const body = { name: "a", namespace: "B", ports: [{ name: "http", port: 0 }] };
    const { json } = await ask("POST", "/v1/endpoints", body);
    expect(json.errors.map((one: { path: string }) => one.path)).toEqual([
      "namespace",
      "ports.0.port",
    ]);
    expect(json.detail).toMatch(/^Cannot read the body: namespace: expected a DNS label/);
  });

  it("a label key that is none says so", async () => {
    const body = { name: "a", labels: { "reserved:init": "" } };
    const { json } = await ask("POST", "/v1/endpoints", body);
    expect(json.detail).toBe(
      "Cannot read the body: labels.reserved:init: expected a Kubernetes label key, " +
        "without a source",
    );
  });

  it("broken policies are a problem with the errors' places and what was applied", async () => {
    const { json } = await ask("POST", "/v1/policies", { files: [{ file: "b", text: "broken" }] });
    expect(json).toMatchObject({
      type: "urn:imker:problem:invalid-policy",
      detail: "Cannot accept the policies: 1 error",
      applied: [],
      errors: [{ file: "b", document: 0, path: "spec", message: "is broken" }],
    });
  });
});

it("a chunked body is bounded too, and the connection ends with it", async () => {
  const chunk = Buffer.alloc(64 << 10, 0x20);
  const answer = await client.request({
    method: "POST",
    path: "/v1/endpoints",
    body: Readable.from(Array.from({ length: 20 }, () => chunk)),
  });
  expect(answer.statusCode).toBe(413);
  await answer.body.dump();
});

it("only root may open socket and audit log", () => {
  for (const file of [agent.socket, agent.auditFile]) {
    expect(statSync(file).mode & 0o777).toBe(0o600);
  }
});

it("the audit log names user and process, request, outcome and body, and leaves reading out", async () => {
  const { length: before } = agent.audit.last(10_000);
  await ask("GET", "/v1/endpoints");
  await ask("POST", "/v1/endpoints", { name: "A" });
  await ask("DELETE", "/v1/endpoints/nope");
  const entries = agent.audit.last(10_000).slice(before);
  const who = { kind: "unix", uid: userInfo().uid, pid: process.pid };
  const time = "2026-11-25T12:00:00.000Z";
  expect(entries).toEqual([
    {
      ...{ time, who, role: "admin", method: "POST", path: "/v1/endpoints", status: 400 },
      body: { bytes: 12, sha256: expect.stringMatching(/^[0-9a-f]{16}$/) },
    },
    { time, who, role: "admin", method: "DELETE", path: "/v1/endpoints/nope", status: 404 },
  ]);
  expect((await ask("GET", "/v1/audit?last=1")).json).toEqual(entries.slice(-1));
});

it("a reader who goes away ends the stream it read", async () => {
  const answer = await client.request({ method: "GET", path: "/v1/flows?follow=true" });
  answer.body.on("error", () => {});
  await once(answer.body, "data");
  expect(agent.readers).toBe(1);
  answer.body.destroy();
  await expect.poll(() => agent.readers).toBe(0);
});

it("without a caller that a listener vouches for there is nothing to be had", async () => {
  const answer = await agent.app.request("/v1/endpoints", {}, {});
  expect(answer.status).toBe(401);
});
