/** `imker api` against a real socket, and what `imker agent` says to half a TLS configuration. */
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { StillAgent } from "../../admin/testing/still-agent.ts";
import { createContext } from "../context.ts";
import { runCli } from "../main.ts";

let agent: StillAgent;
beforeAll(async () => {
  agent = new StillAgent();
  await agent.listen();
});
afterAll(() => agent.close());

async function imker(...args: string[]) {
  const seen = { out: "", err: "" };
  const context = createContext({
    out: (text) => {
      seen.out += text;
    },
    err: (text) => {
      seen.err += text;
    },
    socket: agent.socket,
  });
  const code = await runCli(args, context);
  return { code, ...seen };
}

it("a token is made, shown once, listed without its secret, and revoked", async () => {
  const made = await imker("api", "token", "create", "ci", "--role", "operator", "--ttl", "12h");
  expect(made).toMatchObject({ code: 0, out: expect.stringMatching(/^imker_[\w-]{43}\n$/) });
  expect(made.err).toBe("token ci, role operator, until 2026-11-26T00:00:00.000Z\n");
  const list = await imker("api", "token", "list");
  expect(list.out).toMatch(/^NAME +ROLE +CREATED +ENDS\nci +operator +2026/);
  expect(list.out).not.toContain("imker_");
  expect(await imker("api", "token", "revoke", "ci")).toMatchObject({ out: "token ci revoked\n" });
  expect(JSON.parse((await imker("--json", "api", "token", "list")).out)).toEqual([]);
});

it("the audit log says who did that", async () => {
  await imker("api", "token", "create", "x", "--role", "viewer");
  await imker("api", "token", "revoke", "x");
  const { out } = await imker("api", "audit", "--last", "1");
  expect(out).toMatch(/uid \d+ \(pid \d+\) +admin +200 +DELETE \/v1\/tokens\/x/);
  const [entry] = JSON.parse((await imker("api", "audit", "--last", "1", "--json")).out);
  expect(entry).toMatchObject({ method: "DELETE", path: "/v1/tokens/x", status: 200 });
});

describe("needs no agent", () => {
  it("openapi", async () => {
    const { out } = await imker("--socket", "/nope", "api", "openapi");
    expect(JSON.parse(out)).toMatchObject({ openapi: "3.1.0", info: { version: "0.1.0" } });
  });

  it("docs", async () => {
    expect((await imker("--socket", "/nope", "api", "docs")).out).toMatch(/^<!doctype html>/);
  });

  it("routes", async () => {
    const text = await imker("--socket", "/nope", "api", "routes");
    expect(text.out).toMatch(/^METHOD +PATH +ROLE +SUMMARY\nGET +\/v1\/status +viewer/);
    const { out } = await imker("--socket", "/nope", "api", "routes", "--json");
    expect(JSON.parse(out)).toContainEqual(expect.objectContaining({ path: "/v1/tokens/{name}" }));
  });
});

describe("what went wrong", () => {
  const tls = ["--api-tls-cert", "/nope.crt", "--api-tls-key", "/nope.key"];
  it.each<[string, string[], number, RegExp]>([
    ["a strange role", ["api", "token", "create", "a", "--role", "root"], 1, /Allowed choices/],
    ["no role", ["api", "token", "create", "a"], 1, /required option '--role/],
    ["a strange ttl", ["api", "token", "create", "a", "--role", "viewer", "--ttl", "1y"], 1, /30d/],
    [
      "a strange name",
      ["api", "token", "create", "A b", "--role", "viewer"],
      1,
      /^imker: Cannot read the body: name: expected a name/,
    ],
    [
      "no such token",
      ["api", "token", "revoke", "nobody"],
      1,
      /^imker: Cannot find token "nobody"/,
    ],
    [
      "TCP without TLS",
      ["agent", "--api-listen", "127.0.0.1:1"],
      2,
      /-cert and --api-tls-key miss/,
    ],
    ["TLS without TCP", ["agent", ...tls], 2, /--api-listen missing; it needs TLS/],
    ["half a key pair", ["agent", "--api-listen", "[::1]:1", ...tls.slice(0, 2)], 2, /key missing/],
    ["a strange address", ["agent", "--api-listen", "9443", ...tls], 1, /expected HOST:PORT/],
    ["a strange port", ["agent", "--api-listen", "a:65536", ...tls], 1, /expected HOST:PORT/],
  ])("%s", async (_name, args, code, message) => {
    const outcome = await imker(...args);
    expect([outcome.code, outcome.out]).toEqual([code, ""]);
    expect(outcome.err).toMatch(message);
  });
});
