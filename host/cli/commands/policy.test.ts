/** `policy validate` and `policy fields` where no agent runs: exit codes and what is said. */
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeEach, expect, test } from "vitest";
import { createContext } from "../context.ts";
import { EXIT } from "../errors.ts";
import { runCli } from "../main.ts";

const folder = mkdtempSync(join(tmpdir(), "imker-policy-"));
const file = (name: string, text: string): string => {
  const path = join(folder, name);
  writeFileSync(path, text);
  return path;
};
const policy = (name: string, egress: string): string =>
  `apiVersion: cilium.io/v2\nkind: CiliumNetworkPolicy\nmetadata: {name: ${name}}\n` +
  `spec:\n  endpointSelector: {}\n  egress:\n  - ${egress}\n`;
const GOOD = file("good.yaml", policy("good", "toEntities: [world]"));
const LATER = file("later.yaml", policy("later", "toFQDNs: [{matchName: example.com}]"));
const BAD = file(
  "bad.yaml",
  `${policy("a", "toEntities: [world]")}---\n${policy("b", "toEntity: [wurld]")}`,
);

beforeEach(() => {
  process.exitCode = undefined;
});
afterAll(() => {
  process.exitCode = undefined;
  rmSync(folder, { recursive: true });
});

async function imker(...argv: string[]): Promise<{ code: number; out: string; err: string }> {
  const out: string[] = [];
  const err: string[] = [];
  const context = createContext({
    out: (text) => out.push(text),
    err: (text) => err.push(text),
    socket: join(folder, "no-agent.sock"),
  });
  const code = await runCli(["policy", ...argv], context);
  return { code, out: out.join(""), err: err.join("") };
}

test("a valid file is named, exit code 0", async () => {
  const out = "CiliumNetworkPolicy default/good is valid\n";
  expect(await imker("validate", GOOD)).toEqual({ code: EXIT.ok, out, err: "" });
});

test("every error has file, line, document, path and what was expected, exit code 1", async () => {
  const { code, out, err } = await imker("validate", BAD, GOOD);
  expect(code).toBe(EXIT.user);
  expect(out).toBe("CiliumNetworkPolicy default/good is valid\n");
  expect(err).toMatch(
    new RegExp(
      `^${BAD}:15:5: document 2: spec.egress\\[0\\].toEntity: unknown field "toEntity"; ` +
        'did you mean "toEntities"\\? \\(expected one of .*toEntities.*\\)\n$',
    ),
  );
});

test("what is not enforced is a warning, and an error for those who want to apply it", async () => {
  const message = "DNS name peers are not enforced by this version";
  const asked = await imker("validate", LATER);
  expect(asked.code).toBe(EXIT.ok);
  expect(asked.err).toContain(`warning: ${LATER}:7:5: spec.egress[0].toFQDNs: ${message}; `);
  const applied = await imker("validate", "--for-apply", LATER);
  expect(applied.code).toBe(EXIT.user);
  expect(applied.err).toContain(`${LATER}:7:5: spec.egress[0].toFQDNs: ${message} (`);
});

test("--json has errors and warnings as data, and nothing stands beside it", async () => {
  const { code, out, err } = await imker("validate", "--json", BAD, LATER);
  expect(code).toBe(EXIT.user);
  expect(err).toBe("");
  expect(JSON.parse(out)).toMatchObject({
    applied: [{ kind: "CiliumNetworkPolicy", namespace: "default", name: "later" }],
    errors: [{ file: BAD, document: 1, path: "spec.egress[0].toEntity", line: 15, column: 5 }],
    warnings: [{ file: LATER, document: 0, path: "spec.egress[0].toFQDNs" }],
  });
});

test("JSON, lists and folders are read", async () => {
  const items = ["x", "y"].map((name) => ({
    apiVersion: "networking.k8s.io/v1",
    kind: "NetworkPolicy",
    metadata: { name, namespace: "shop" },
    spec: { podSelector: {} },
  }));
  const list = { apiVersion: "v1", kind: "List", items };
  const { out } = await imker("validate", file("list.json", JSON.stringify(list)));
  expect(out).toBe("NetworkPolicy shop/x is valid\nNetworkPolicy shop/y is valid\n");
  const all = await imker("validate", folder);
  expect(all.out.split("\n")).toHaveLength(5);
});

test("folders in folders are read if asked to, and what cannot be read says why", async () => {
  const deep = join(folder, "tree");
  mkdirSync(join(deep, "below", "folder.yaml"), { recursive: true });
  const path = file("tree/below/deep.yaml", policy("deep", "toEntities: [world]"));
  const flat = await imker("validate", deep);
  expect(flat.err).toBe(
    `imker: Cannot read ${deep}: no .yaml, .yml or .json file in it; ` +
      "--recursive looks into its folders\n",
  );
  const { code, out } = await imker("validate", "-R", deep);
  expect({ code, out }).toEqual({ code: 0, out: "CiliumNetworkPolicy default/deep is valid\n" });
  const missing = await imker("validate", `${path}x`);
  expect(missing.err).toBe(`imker: Cannot read ${path}x: there is no such file\n`);
});

test("fields lists the languages", async () => {
  const { code, out } = await imker("fields");
  expect(code).toBe(EXIT.ok);
  expect(out).toMatch(/CiliumNetworkPolicy +spec\.ingress\[\]\.fromEndpoints\[\] +enforced/);
  const { out: json } = await imker("fields", "--json");
  expect(JSON.parse(json)).toContainEqual({
    kinds: ["CiliumCIDRGroup"],
    path: "spec.externalCIDRs[]",
    value: expect.any(String),
    support: "enforced",
  });
});
