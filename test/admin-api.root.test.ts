/**
 * The real agent's API is what its document says: every declared operation is asked for, and every
 * answer is held against the document. The same over TCP with TLS and a token that outlives a
 * restart.
 */
import { execFile, execFileSync } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { Client } from "undici";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import type { ApiDocument } from "../host/admin/openapi.ts";
import { judgeExchange } from "../host/admin/testing/conformance.ts";
import { isRunning } from "../host/process-list.ts";
import type { Case } from "../runtime/contract/case.ts";
import { ROOT } from "../runtime/testkit/built-plugin.ts";
import { Vendor } from "./plugin-node.ts";
import { allowPolicy, pause, Rig } from "./rig.ts";

const HTTP = join(ROOT, "plugins/l7-http");
const BUILD_MS = 120_000;

const PORT = 9443;
const folder = mkdtempSync(join(tmpdir(), "imker-api-"));
const [certFile, keyFile] = [join(folder, "node.crt"), join(folder, "node.key")];
let rig: Rig;
let http: Client;
let document: ApiDocument;

beforeAll(async () => {
  const args = [
    ...["req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes"],
    ...["-days", "1", "-subj", "/CN=node", "-addext", "subjectAltName=IP:127.0.0.1"],
    ...["-keyout", keyFile, "-out", certFile],
  ];
  execFileSync("openssl", args, { stdio: "ignore" });
  rig = await Rig.start("imker-t-api", "node", [
    ...["--api-listen", `127.0.0.1:${PORT}`],
    ...["--api-tls-cert", certFile, "--api-tls-key", keyFile],
  ]);
  http = new Client("http://localhost", { socketPath: rig.stage.socket });
  document = await rig.client.call<ApiDocument>("GET", "/v1/openapi.json");
});

afterAll(async () => {
  await http?.destroy();
  await rig?.close();
  rmSync(folder, { recursive: true, force: true });
});

const isFile = (body: unknown): body is Uint8Array => body instanceof Uint8Array;

/** Declared operations that have been answered with success. */
const answered = new Set<string>();

async function ask(method: string, path: string, body?: unknown) {
  const answer = await http.request({
    method,
    path,
    ...(body === undefined ? {} : { body: isFile(body) ? body : JSON.stringify(body) }),
  });
  const header = String(answer.headers["content-type"]);
  const contentType = header.startsWith("application/json") ? "application/json" : header;
  const text = await answer.body.text();
  const exchange = { path: path.split("?")[0] ?? "", status: answer.statusCode, contentType };
  const { operation, problems } = judgeExchange(document, { method, ...exchange, body: text });
  if (answer.statusCode < 400) answered.add(operation);
  return { status: answer.statusCode, problems, text };
}

const TCP = "protocol=6";

interface CtRow {
  source: string;
  destination: string;
  sourcePort: number;
  destinationPort: number;
  protocol: number;
}

function curl(...args: string[]): Promise<string> {
  const all = [`--net=${rig.stage.nodeNetns}`, "curl", "-sS", "--cacert", certFile, ...args];
  return new Promise((resolve, reject) => {
    execFile("nsenter", all, (error, out) => (error === null ? resolve(out) : reject(error)));
  });
}

describe("answers are what the document says", () => {
  const policies = { files: [{ file: "a.yaml", text: allowPolicy("web", "web", "friend") }] };
  const broken = { files: [{ file: "b.yaml", text: "kind: Nothing\n" }] };
  const l7 = { files: [{ file: "h", text: allowPolicy("h", "web", "friend", "{ path: / }") }] };
  const asked = { source: "app=friend", destination: "test/web", ports: ["8080"] };
  // In this order: later ones find what earlier ones made.
  it.each<[string, string, unknown, number]>([
    ["POST", "/v1/endpoints", { name: "web", namespace: "test", labels: { app: "web" } }, 201],
    ["POST", "/v1/endpoints", { name: "web", namespace: "test" }, 409],
    ["GET", "/v1/endpoints", undefined, 200],
    ["GET", "/v1/endpoints/test/web", undefined, 200],
    ["POST", "/v1/policies/validate", policies, 200],
    ["POST", "/v1/policies/validate", broken, 422],
    ["POST", "/v1/policies?wait=true", policies, 200],
    ["POST", "/v1/policies?wait=true", l7, 200],
    ["POST", "/v1/policies", broken, 422],
    ["POST", "/v1/policies/confirm", undefined, 409],
    ["POST", "/v1/policies?confirm-timeout=1h", policies, 200],
    ["POST", "/v1/policies?confirm-timeout=1h", policies, 409],
    ["POST", "/v1/policies/confirm", undefined, 200],
    ["GET", "/v1/policies", undefined, 200],
    ["POST", "/v1/policies/trace", { source: "host", destination: "test/web", ports: ["1"] }, 404],
    ["POST", "/v1/policies/trace", { ...asked, ...broken }, 422],
    ["POST", "/v1/policies/trace", asked, 200],
    ["POST", "/v1/policies/diff", broken, 422],
    ["POST", "/v1/policies/diff", l7, 200],
    ["GET", "/v1/policies/of/test/web", undefined, 200],
    ["GET", "/v1/status", undefined, 200],
    ["GET", "/v1/identities", undefined, 200],
    ["GET", "/v1/identities/1", undefined, 200],
    ["GET", "/v1/identities/9999999", undefined, 404],
    ["PATCH", "/v1/endpoints/test/web", { labels: { tier: "front" } }, 200],
    ["GET", "/v1/bpf/policy/test/web", undefined, 200],
    ["GET", "/v1/bpf/ct", undefined, 200],
    ["GET", "/v1/bpf/ipcache", undefined, 200],
    ["GET", "/v1/bpf/ipcache/192.0.2.1", undefined, 200],
    ["GET", "/v1/bpf/ipcache/nowhere", undefined, 400],
    ["GET", `/v1/bpf/decision/test/web?identity=2&direction=egress&${TCP}&port=1`, undefined, 200],
    ["GET", `/v1/bpf/decision/test/web?identity=2&direction=ingress&${TCP}&port=1`, undefined, 404],
    ["GET", `/v1/bpf/connection?${TCP}&source=1.1.1.1:1&destination=1.1.1.2:2`, undefined, 404],
    ["POST", "/v1/bpf/ct/collect", undefined, 200],
    ["PUT", "/v1/endpoint-options/test/web", { policyAuditMode: true }, 200],
    ["GET", "/v1/flows?last=10", undefined, 200],
    ["POST", "/v1/prefilter/prefixes", { prefixes: ["203.0.113.7", "2001:db8:bad::/48"] }, 200],
    ["POST", "/v1/prefilter/prefixes", { prefixes: ["203.0.113.7/33"] }, 400],
    ["PUT", "/v1/prefilter/prefixes", Buffer.from("# list\n203.0.113.0/24 ; SBL1\n"), 200],
    ["PUT", "/v1/prefilter/prefixes", Buffer.from("203.0.113.0/24\nnonsense\n"), 400],
    ["GET", "/v1/prefilter/prefixes", undefined, 200],
    ["GET", "/v1/prefilter", undefined, 200],
    ["POST", "/v1/prefilter/delete", { prefixes: ["203.0.113.0/24"] }, 200],
    ["DELETE", "/v1/policies/CiliumNetworkPolicy/test/web?wait=true", undefined, 200],
    ["DELETE", "/v1/policies/CiliumNetworkPolicy/test/web", undefined, 404],
    ["DELETE", "/v1/endpoints/test/web", undefined, 200],
    ["POST", "/v1/tokens", { name: "reader", role: "viewer" }, 201],
    ["GET", "/v1/tokens", undefined, 200],
    ["DELETE", "/v1/tokens/reader", undefined, 200],
    ["GET", "/v1/audit?last=5", undefined, 200],
    ["POST", "/v1/proxy/upgrade", { drainSeconds: 0 }, 200],
    ["GET", "/v1/openapi.json", undefined, 200],
    ["GET", "/v1/docs", undefined, 200],
  ])("%s %s %j: %d", async (method, path, body, status) => {
    const answer = await ask(method, path, body);
    expect([answer.status, answer.problems, answer.text]).toEqual([status, [], expect.any(String)]);
  });
});

it("one connection of the kernel's is found from either end", async () => {
  const pod = { name: "silent", namespace: "test" };
  const { ipv4 } = JSON.parse((await ask("POST", "/v1/endpoints", pod)).text) as { ipv4: string };
  // Nobody listens; what counts is that a connection was opened.
  await curl(`http://${ipv4}/`).catch(() => "");
  const rows = JSON.parse((await ask("GET", "/v1/bpf/ct")).text) as CtRow[];
  const row = rows.find((one) => one.destination === ipv4 && one.protocol === 6);
  const ends = [
    [row?.source, row?.sourcePort].join(":"),
    [row?.destination, row?.destinationPort].join(":"),
  ];
  for (const [source, destination] of [ends, ends.toReversed()]) {
    const query = `${TCP}&source=${source}&destination=${destination}`;
    const answer = await ask("GET", `/v1/bpf/connection?${query}`);
    expect([answer.status, answer.problems]).toEqual([200, []]);
    expect(JSON.parse(answer.text)).toMatchObject({ destination: ipv4, destinationPort: 80 });
  }
  await ask("DELETE", "/v1/endpoints/test/silent");
});

describe("a plugin's life is what the document says", () => {
  const vendor = new Vendor();
  const packages: Uint8Array[] = [];
  beforeAll(async () => {
    for (const version of ["1.0.0", "1.1.0"]) packages.push(await vendor.package(HTTP, version));
  }, BUILD_MS);
  afterAll(() => vendor.close());

  const plugin = "/v1/plugins/l7-http";
  const key = { name: "vendor", publicKey: vendor.publicKey, plugins: ["l7-*"] };
  // In this order: later ones find what earlier ones made.
  it.each<[string, string, (() => unknown) | undefined, number]>([
    ["POST", "/v1/plugins", () => packages[0], 422],
    ["POST", "/v1/keys", () => key, 201],
    ["POST", "/v1/keys", () => key, 200],
    ["GET", "/v1/keys", undefined, 200],
    ["POST", "/v1/plugins?grant=emit,log,match", () => packages[0], 201],
    ["POST", "/v1/plugins", () => packages[0], 200],
    ["POST", "/v1/plugins", () => packages[1], 201],
    ["POST", "/v1/plugins", () => packages[1]?.subarray(0, 1000), 422],
    ["GET", "/v1/plugins", undefined, 200],
    ["GET", plugin, undefined, 200],
    ["GET", `${plugin}/versions/1.0.0`, undefined, 200],
    ["GET", `${plugin}/versions/1.0.0/package`, undefined, 200],
    ["POST", `${plugin}/trials`, () => ({ kind: "shadow", version: "1.1.0" }), 201],
    ["GET", `${plugin}/trials`, undefined, 200],
    ["GET", `${plugin}/trials/1`, undefined, 200],
    ["DELETE", `${plugin}/trials/1`, undefined, 200],
    ["POST", `${plugin}/trials`, () => ({ kind: "canary", version: "1.1.0", percent: 10 }), 201],
    ["POST", `${plugin}/trials/2/promote`, () => ({}), 200],
    ["GET", `${plugin}/activation`, undefined, 200],
    ["PUT", `${plugin}/activation`, () => ({ version: "1.0.0" }), 409],
    ["PUT", `${plugin}/activation`, () => ({ version: "1.0.0", allowDowngrade: true }), 200],
    ["POST", `${plugin}/rollback`, () => ({ drainSeconds: 0 }), 200],
    ["GET", "/v1/plugins/instances", undefined, 200],
    ["GET", `${plugin}/logs?last=5`, undefined, 200],
    ["GET", "/v1/metrics", undefined, 200],
    ["POST", `${plugin}/recordings`, () => ({ policies: ["test/nobody"] }), 422],
    ["POST", `${plugin}/recordings`, () => ({ seconds: 60 }), 201],
    ["GET", `${plugin}/recordings`, undefined, 200],
    ["DELETE", `${plugin}/recordings`, undefined, 200],
    ["GET", "/v1/cases", undefined, 200],
    ["DELETE", `${plugin}/versions/1.1.0`, undefined, 409],
    ["PUT", `${plugin}/activation`, () => ({ version: "0.1.0", allowDowngrade: true }), 200],
    ["POST", "/v1/keys/vendor/revoke", undefined, 200],
  ])("%s %s", async (method, path, body, status) => {
    const answer = await ask(method, path, body?.());
    expect([answer.status, answer.problems, answer.text]).toEqual([status, [], expect.any(String)]);
  });

  it("what nothing uses any more can be removed, the key too", async () => {
    const unused = await vendor.package(HTTP, "0.0.9");
    const other = { ...key, name: "other" };
    for (const [method, path, body, status] of [
      ["POST", "/v1/plugins", unused, 422],
      ["DELETE", "/v1/keys/vendor", undefined, 200],
      ["POST", "/v1/keys", other, 201],
      ["POST", "/v1/plugins", unused, 201],
      ["DELETE", `${plugin}/versions/0.0.9`, undefined, 200],
    ] as const) {
      const answer = await ask(method, path, body);
      expect([path, answer.status, answer.problems]).toEqual([path, status, []]);
    }
  });
});

it("over TCP: TLS and a token, which outlives a restart; the audit log names both ways in", async () => {
  const made = await rig.client.call<{ token: string }>("POST", "/v1/tokens", {
    ...{ name: "ci", role: "operator" },
  });
  const url = `https://127.0.0.1:${PORT}/v1`;
  const bearer = ["-H", `Authorization: Bearer ${made.token}`];
  const code = ["-o", "/dev/null", "-w", "%{http_code}"];
  expect(await curl(...code, `${url}/status`)).toBe("401");
  await http.destroy();
  await rig.restartAgent("SIGTERM");
  http = new Client("http://localhost", { socketPath: rig.stage.socket });
  const status = JSON.parse(await curl(...bearer, `${url}/status`));
  expect(status.agent.node).toBe("imker-t-api");
  expect(await curl(...bearer, ...code, "-X", "POST", `${url}/stop`)).toBe("403");
  const files = JSON.stringify({ files: [{ file: "a", text: allowPolicy("a", "web", "friend") }] });
  expect(await curl(...bearer, ...code, "-d", files, `${url}/policies?wait=true`)).toBe("200");
  const log = readFileSync(join(rig.stage.runDir, "state", "audit.log"), "utf8");
  const entries = log
    .trim()
    .split("\n")
    .map((line) => JSON.parse(line));
  expect(entries.slice(-3)).toMatchObject([
    { who: { kind: "unix", uid: 0 }, path: "/v1/tokens", status: 201 },
    { who: { kind: "token", name: "ci", address: "127.0.0.1" }, path: "/v1/stop", status: 403 },
    { who: { kind: "token", name: "ci" }, path: "/v1/policies?wait=true", status: 200 },
  ]);
});

it("a case that an earlier agent kept can be read, which is written down, and removed", async () => {
  const id = "0123456789ab";
  const content: Case = {
    format: "imker case 1",
    plugin: { name: "l7-http", version: "0.1.0", digest: `sha256:${"ab".repeat(32)}` },
    stages: [],
    facts: {
      ...{ source: "10.0.0.1", destination: "10.0.0.2", sourcePort: 1, destinationPort: 2 },
      ...{ sourceIdentity: 3, destinationIdentity: 4 },
    },
    steps: [],
    observed: { records: [] },
    ...{ exact: false, partial: ["made up"] },
  };
  const state = join(rig.stage.runDir, "state");
  writeFileSync(join(state, "cases", `${id}.json`), JSON.stringify(content));
  await http.destroy();
  await rig.restartAgent("SIGTERM");
  http = new Client("http://localhost", { socketPath: rig.stage.socket });
  for (const [method, status] of [
    ["GET", 200],
    ["DELETE", 200],
    ["GET", 404],
  ] as const) {
    const answer = await ask(method, `/v1/cases/${id}`);
    expect([method, answer.status, answer.problems]).toEqual([method, status, []]);
  }
  const log = readFileSync(join(state, "audit.log"), "utf8").trim().split("\n");
  expect(log.at(-3)).toContain(`"method":"GET","path":"/v1/cases/${id}","status":200`);
});

it("a stop is answered and written down, and then everything declared has been asked for", async () => {
  const { agent } = await rig.status();
  const answer = await ask("POST", "/v1/stop");
  expect([answer.status, answer.problems]).toEqual([202, []]);
  while (isRunning(agent.pid)) await pause(10);
  const log = readFileSync(join(rig.stage.runDir, "state", "audit.log"), "utf8");
  expect(log.trim().split("\n").at(-1)).toContain('"path":"/v1/stop","status":202');
  const declared = Object.entries(document.paths).flatMap(([path, methods]) =>
    Object.keys(methods).map((method) => `${method.toUpperCase()} ${path}`),
  );
  expect([...answered].sort()).toEqual(declared.sort());
});
