/** The API over real TLS sockets: who gets in, as what, and how little strangers can hold. */
import { once } from "node:events";
import { readFileSync } from "node:fs";
import type { Server } from "node:https";
import type { AddressInfo, Socket } from "node:net";
import { createConnection } from "node:net";
import { connect } from "node:tls";
import { pino } from "pino";
import { Agent, request } from "undici";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import type { TokenRole } from "../admin/role.ts";
import { StillAgent } from "../admin/testing/still-agent.ts";
import { ApiCertificate } from "./api-certificate.ts";
import { listenAdminTls } from "./listen-tls.ts";
import { makeCertificate } from "./testing/certificate.ts";

const HOUR = 3600;
/** Short enough to wait for. */
const LIMITS = {
  ...{ headersTimeout: 300, requestTimeout: 600, connectionsCheckingInterval: 50 },
  ...{ keepAliveTimeout: 400, strangerSilence: 500 },
};
const STALLED_MS_MAX = 3000;
const LOG = pino({ enabled: false });

const onError = (error: Error): never => {
  throw error;
};

let agent: StillAgent;
let server: Server;
let port: number;
let dispatcher: Agent;
const tokens = new Map<TokenRole, string>();

beforeAll(async () => {
  agent = new StillAgent();
  const [certFile, keyFile] = makeCertificate(agent.folder, "node.example");
  for (const role of ["viewer", "operator", "admin"] as const) {
    tokens.set(role, agent.tokens.create({ name: role, role, ttlSeconds: HOUR }).token);
  }
  const certificate = new ApiCertificate({ host: "", port: 0, certFile, keyFile }, LOG);
  const address = { host: "127.0.0.1", port: 0 };
  const deps = { certificate, onError, limits: LIMITS };
  server = agent.own(await listenAdminTls(agent.app, address, deps));
  port = (server.address() as AddressInfo).port;
  dispatcher = new Agent({
    connect: { ca: readFileSync(certFile), servername: "node.example" },
  });
});
afterAll(async () => {
  await dispatcher.destroy();
  agent.close();
});

const pause = (ms: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, ms));

interface Ask {
  method?: "GET" | "POST" | "DELETE" | "OPTIONS";
  token?: string | undefined;
  headers?: Record<string, string>;
  body?: unknown;
  through?: Agent;
}

async function ask(path: string, asked: Ask = {}) {
  const { method = "GET", token, headers = {}, body, through = dispatcher } = asked;
  const answer = await request(`https://127.0.0.1:${port}${path}`, {
    dispatcher: through,
    method,
    headers: {
      ...headers,
      ...(token === undefined ? {} : { authorization: `Bearer ${token}` }),
    },
    ...(body === undefined ? {} : { body: JSON.stringify(body) }),
  });
  return { status: answer.statusCode, headers: answer.headers, text: await answer.body.text() };
}

describe("roles", () => {
  const files = { files: [{ file: "a", text: "fine" }] };
  it.each<
    [
      string,
      string,
      unknown,
      readonly [none: number, viewer: number, operator: number, admin: number],
    ]
  >([
    ["GET", "/v1/endpoints", undefined, [401, 200, 200, 200]],
    ["GET", "/v1/audit", undefined, [401, 200, 200, 200]],
    ["POST", "/v1/policies", files, [401, 403, 200, 200]],
    ["POST", "/v1/endpoints", { name: "a" }, [401, 403, 201, 201]],
    ["GET", "/v1/tokens", undefined, [401, 403, 403, 200]],
    ["POST", "/v1/tokens", { name: "more", role: "admin" }, [401, 403, 403, 201]],
    ["POST", "/v1/stop", undefined, [401, 403, 403, 202]],
    ["GET", "/v1/nope", undefined, [401, 404, 404, 404]],
    ["POST", "/v1/nope", {}, [401, 403, 403, 404]],
    ["OPTIONS", "/v1/endpoints", undefined, [401, 405, 405, 405]],
    ["GET", "/v1/openapi.json", undefined, [200, 200, 200, 200]],
    ["GET", "/v1/docs", undefined, [200, 200, 200, 200]],
  ])("%s %s %j: nobody, viewer, operator, admin", async (method, path, body, expected) => {
    const seen: number[] = [];
    for (const role of ["none", "viewer", "operator", "admin"] as const) {
      const token = role === "none" ? undefined : tokens.get(role);
      const { status } = await ask(path, { method: method as "GET", token, body });
      seen.push(status);
    }
    expect(seen).toEqual(expected);
  });

  it("401 and 403 say what is missing", async () => {
    const none = await ask("/v1/endpoints");
    expect(none.headers["www-authenticate"]).toBe('Bearer realm="imker"');
    expect(none.headers.connection).toBe("close");
    expect(JSON.parse(none.text)).toMatchObject({ type: "urn:imker:problem:unauthorized" });
    const wrong = await ask("/v1/endpoints", { token: "imker_wrong" });
    expect(wrong.headers["www-authenticate"]).toContain('error="invalid_token"');
    const less = await ask("/v1/stop", { method: "POST", token: tokens.get("viewer") });
    expect(less.headers["www-authenticate"]).toMatch(/insufficient_scope", scope="admin"$/);
    expect(JSON.parse(less.text)).toMatchObject({ type: "urn:imker:problem:forbidden" });
  });
});

it.each([
  ["Basic dXNlcjpwYXNz"],
  ["Bearer"],
  ["Bearer a b"],
  [`Bearer ${"a".repeat(129)}`],
  ["bearer ../../etc"],
])("a strange Authorization is refused: %s", async (authorization) => {
  expect((await ask("/v1/endpoints", { headers: { authorization } })).status).toBe(401);
});

it("a wrong token is refused even where none is needed", async () => {
  expect((await ask("/v1/docs", { token: "imker_wrong" })).status).toBe(401);
});

it("changes and refusals are written down with the token's name, strangers are not", async () => {
  const before = agent.audit.last(10_000).length;
  const body = { files: [{ file: "a", text: "fine" }] };
  await ask("/v1/policies", { method: "POST", body });
  await ask("/v1/policies", { method: "POST", body, token: tokens.get("viewer") });
  await ask("/v1/policies", { method: "POST", body, token: tokens.get("operator") });
  const who = (name: string) => ({ kind: "token", name, address: "127.0.0.1" });
  expect(agent.audit.last(10_000).slice(before)).toMatchObject([
    { who: who("viewer"), role: "viewer", status: 403 },
    { who: who("operator"), role: "operator", status: 200, body: { bytes: 38 } },
  ]);
  expect(readFileSync(agent.auditFile, "utf8")).not.toContain("imker_");
});

it("a revoked token ends, also the stream it is reading", async () => {
  const { token } = agent.tokens.create({ name: "short", role: "viewer", ttlSeconds: HOUR });
  const answer = await request(`https://127.0.0.1:${port}/v1/flows?follow=true`, {
    dispatcher,
    headers: { authorization: `Bearer ${token}` },
  });
  expect(answer.headers["content-type"]).toBe("application/x-ndjson");
  let bytes = 0;
  for await (const chunk of answer.body) {
    if (bytes === 0) agent.tokens.revoke("short");
    bytes += (chunk as Buffer).length;
  }
  expect(bytes).toBeGreaterThan(0);
  expect((await ask("/v1/flows", { token })).status).toBe(401);
});

describe("browsers of others", () => {
  it.each<[string, number]>([
    ["node.example", 200],
    ["node.example:9443", 200],
    ["localhost", 200],
    ["127.0.0.1:1", 200],
    ["[::1]:9443", 200],
    ["evil.example", 421],
    ["192.0.2.1", 421],
    ["node.example.evil.example", 421],
  ])("Host: %s → %d", async (host, status) => {
    // This one does not check whose certificate it is shown.
    const through = new Agent({ connect: { rejectUnauthorized: false } });
    const token = tokens.get("viewer");
    const answer = await ask("/v1/endpoints", { headers: { host }, token, through });
    expect(answer.status).toBe(status);
    await through.destroy();
  });

  it("no other origin is allowed anything", async () => {
    const headers = { origin: "https://evil.example", "access-control-request-method": "POST" };
    for (const method of ["GET", "OPTIONS"] as const) {
      const answer = await ask("/v1/endpoints", { method, headers, token: tokens.get("admin") });
      expect(Object.keys(answer.headers).join()).not.toMatch(/access-control/);
    }
  });
});

describe("strangers hold little", () => {
  const ends = async (socket: Socket): Promise<number> => {
    const start = performance.now();
    socket.on("error", () => {});
    await once(socket, "close");
    return performance.now() - start;
  };
  const secure = async (): Promise<Socket> => {
    const socket = connect({ port, host: "127.0.0.1", rejectUnauthorized: false });
    await once(socket, "secureConnect");
    return socket;
  };

  it("silence instead of a handshake ends", async () => {
    expect(await ends(createConnection(port, "127.0.0.1").resume())).toBeLessThan(STALLED_MS_MAX);
  });

  it("plain HTTP is no conversation", async () => {
    const socket = createConnection(port, "127.0.0.1").resume();
    socket.write("GET /v1/endpoints HTTP/1.1\r\nHost: x\r\n\r\n");
    expect(await ends(socket)).toBeLessThan(STALLED_MS_MAX);
  });

  it("headers a byte at a time end", async () => {
    const socket = (await secure()).resume();
    socket.write("GET /v1/docs HTTP/1.1\r\nHost: localhost\r\n");
    const drip = setInterval(() => socket.write("x"), 20);
    expect(await ends(socket)).toBeLessThan(STALLED_MS_MAX);
    clearInterval(drip);
  });

  it("a body that does not come ends", async () => {
    const socket = (await secure()).resume();
    const token = tokens.get("operator");
    socket.write(
      `POST /v1/endpoints HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer ${token}\r\n` +
        "Content-Length: 100\r\n\r\n{",
    );
    expect(await ends(socket)).toBeLessThan(STALLED_MS_MAX);
  });

  it("a body of a stranger is not waited for", async () => {
    const socket = await secure();
    socket.write(
      "POST /v1/endpoints HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1000000\r\n\r\n",
    );
    const [answer] = (await once(socket, "data")) as [Buffer];
    expect(String(answer)).toMatch(/^HTTP\/1\.1 401 /);
    socket.destroy();
  });

  it("who asks for pages and reads none of them is not waited for", async () => {
    const accepted = once(server, "secureConnection");
    const socket = await secure();
    const [serverEnd] = (await accepted) as [Socket];
    socket.on("error", () => {});
    socket.pause();
    const asked = 400;
    socket.write("GET /v1/docs HTTP/1.1\r\nHost: localhost\r\n\r\n".repeat(asked));
    expect(await ends(serverEnd)).toBeLessThan(STALLED_MS_MAX);
    expect(serverEnd.bytesWritten).toBeLessThan((asked / 2) * 40_000);
    socket.destroy();
  });

  it("who has a token may be silent", async () => {
    const { token } = agent.tokens.create({ name: "quiet", role: "viewer", ttlSeconds: HOUR });
    agent.quiet = true;
    const answer = await request(`https://127.0.0.1:${port}/v1/flows?follow=true`, {
      dispatcher,
      headers: { authorization: `Bearer ${token}` },
    });
    const lines = answer.body[Symbol.asyncIterator]();
    await lines.next();
    await pause(LIMITS.strangerSilence * 2);
    agent.quiet = false;
    expect(await lines.next()).toMatchObject({ done: false });
    answer.body.on("error", () => {});
    answer.body.destroy();
  });

  it("one connection more than allowed is closed, and there is room again after", async () => {
    const all = await Promise.all(
      Array.from({ length: 70 }, async () => {
        const socket = createConnection(port, "127.0.0.1").resume();
        await once(socket, "connect");
        return ends(socket);
      }),
    );
    const atOnce = all.filter((ms) => ms < LIMITS.headersTimeout / 2).length;
    expect(atOnce).toBeGreaterThanOrEqual(6);
    expect((await ask("/v1/docs")).status).toBe(200);
  });
});

it("TLS before 1.3 is refused", async () => {
  const socket = connect({
    port,
    host: "127.0.0.1",
    rejectUnauthorized: false,
    maxVersion: "TLSv1.2",
  });
  const [error] = (await once(socket, "error")) as [Error];
  expect(error.message).toMatch(/protocol version/);
});
