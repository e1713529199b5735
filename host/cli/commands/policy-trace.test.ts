/** Traces of policy files without an agent: exit codes, JSON, and lines that fit a terminal. */
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, afterEach, beforeAll, expect, it, test } from "vitest";
import type { TraceView } from "../../policy/explain/types.ts";
import { createContext } from "../context.ts";
import { runCli } from "../main.ts";
import { removals } from "../policy-question.ts";
import { listed, wrapped } from "../wrapped.ts";

let folder: string;
beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), "imker-trace-"));
  writeFileSync(
    join(folder, "web.yaml"),
    `apiVersion: cilium.io/v2
kind: CiliumNetworkPolicy
metadata: { name: web, namespace: shop }
spec:
  endpointSelector: { matchLabels: { app: web } }
  ingress:
    - fromEndpoints: [{ matchLabels: { app: front } }]
      toPorts:
        - ports: [{ port: "8080", protocol: TCP }]
          rules: { http: [{ method: GET, path: "/public/.*" }] }
`,
  );
  writeFileSync(join(folder, "broken"), "kind: NetworkPolicy");
});
afterAll(() => rmSync(folder, { recursive: true }));
afterEach(() => {
  process.exitCode = undefined;
});

async function trace(...args: string[]): Promise<{ code: number; out: string; err: string }> {
  const answer = { out: "", err: "" };
  const context = createContext({
    out: (text) => {
      answer.out += text;
    },
    err: (text) => {
      answer.err += text;
    },
    socket: join(folder, "no.sock"),
  });
  const code = await runCli(["policy", "trace", "--dst", "ns:shop,app=web", ...args], context);
  return { code, ...answer };
}

const OFFLINE = (): string[] => ["--offline", "-f", join(folder, "web.yaml")];

test.each([
  ["ns:shop,app=front", "8080", [], 0, "ALLOWED at L3/L4, handed over for L7"],
  ["ns:shop,app=front", "8080", ["--exit-code"], 0, "path=/public/.* method=GET"],
  ["ns:shop,app=back", "8080", [], 0, "DENIED by default (133)"],
  ["ns:shop,app=back", "8080", ["--exit-code"], 4, "8080/TCP: DENIED"],
  ["ns:shop,app=front", "8080,443", ["--exit-code"], 4, "443/TCP: DENIED"],
  ["10.0.0.1", "8080", ["--exit-code"], 4, "reserved:world-ipv4"],
])("from %s to %s %j", async (source, port, more, code, text) => {
  const answer = await trace("--src", source, "--dport", port, ...OFFLINE(), ...more);
  expect(answer).toMatchObject({ code, err: "" });
  expect(answer.out).toContain(text);
  for (const line of answer.out.split("\n")) expect(line.length).toBeLessThanOrEqual(110);
});

it("counts rules that have nothing to do with it, if they are many", async () => {
  const web = readFileSync(join(folder, "web.yaml"), "utf8");
  const many = Array.from({ length: 30 }, (_, index) =>
    web.replace("name: web", `name: p${index}`),
  );
  const path = join(folder, "many");
  writeFileSync(path, many.join("---\n"));
  const args = ["--src", "ns:shop,app=back", "--dport", "1", "--offline", "-f", path];
  const { out } = await trace(...args);
  expect(out).toContain("and 30 more that match neither peer nor port");
  expect(out.split("\n").length).toBeLessThan(25);
});

it("prints JSON", async () => {
  const { out } = await trace("--json", "--src", "reserved:host", "--dport", "1", ...OFFLINE());
  expect((JSON.parse(out) as TraceView).ports[0]?.ingress.decidedBy).toEqual([]);
});

test.each([
  [["--src", "shop/front", "--dport", "1"], 1, "no endpoint is known"],
  [["--src", "app=x", "--dport", "http"], 1, "the destination names no such port"],
])("%j is refused", async (args, code, text) => {
  const answer = await trace(...args, ...OFFLINE());
  expect(answer).toMatchObject({ code, out: "" });
  expect(answer.err).toContain(text);
});

it("shows what is wrong with the files", async () => {
  const broken = ["--offline", "-f", join(folder, "broken")];
  const answer = await trace("--src", "app=x", "--dport", "1", ...broken);
  expect(answer.code).toBe(1);
  expect(answer.err).toContain("broken:1");
});

it("needs an agent without --offline", async () => {
  expect((await trace("--src", "app=x", "--dport", "1")).code).toBe(3);
});

test.each([
  ["NetworkPolicy/shop/web", { kind: "NetworkPolicy", namespace: "shop", name: "web" }],
  ["ClusterNetworkPolicy/all", { kind: "ClusterNetworkPolicy", namespace: "", name: "all" }],
])("%s is a policy", (text, key) => {
  expect(removals([text])).toEqual([key]);
});

test.each(["web", "/web", "a//b", "a/b/c/d", "a/"])("%j is none", (text) => {
  expect(() => removals([text])).toThrow(/^Cannot read policy/);
});

it("wraps words and shortens lists", () => {
  expect(wrapped("word ".repeat(40).trim(), "    ", "  * ").split("\n")[0]?.length).toBe(98);
  expect(wrapped("one", "  ")).toBe("  one\n");
  expect(listed(["a", "b"], ", ")).toBe("a, b");
  expect(listed([..."abcdefgh"], ",", 9)).toBe("a,b,c,d,e,f,3 more");
});
