/**
 * What an author sees when a plugin cannot be built. That it can be is what every plugin's tests
 * show.
 */
import { existsSync, mkdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { afterAll, beforeAll, expect, test } from "vitest";
import { buildPlugin, refreshKeys } from "./build.ts";
import { BuildError } from "./compile.ts";
import { keysSource } from "./keys.ts";

const ROOT = fileURLToPath(new URL("../..", import.meta.url));
const FOLDER = join(ROOT, `.build/testkit/broken-${process.pid}`);
const MANIFEST = {
  name: "broken",
  version: "1.0.0",
  contract: "imker:l7@1.0.0",
  description: "",
  status: "alpha",
  securityPosture: "",
  flow: "generic",
  capabilities: [],
  rules: { fields: {} },
  records: { request: { fields: [] }, response: { fields: [] } },
  limits: { memoryPagesMax: 16, fuelBase: 4_000_000, fuelPerByte: 100 },
};

beforeAll(() => mkdirSync(FOLDER, { recursive: true }));
afterAll(() => rmSync(FOLDER, { recursive: true }));

function build(manifest: string, source?: string): Promise<unknown> {
  writeFileSync(join(FOLDER, "plugin.json"), manifest);
  if (source !== undefined) writeFileSync(join(FOLDER, "plugin.ts"), source);
  return buildPlugin(ROOT, FOLDER);
}

test("a manifest that is no JSON or lacks something is named with the field", async () => {
  await expect(build("{")).rejects.toThrow(/Cannot read .*plugin.json: not JSON/);
  const { version: _version, ...rest } = MANIFEST;
  await expect(build(JSON.stringify(rest))).rejects.toThrow(/plugin.json: version: /);
  await expect(build(JSON.stringify({ ...MANIFEST, contract: "imker:l7@9.0.0" }))).rejects.toThrow(
    /contract: /,
  );
  await expect(buildPlugin(ROOT, join(FOLDER, "nowhere"))).rejects.toThrow(BuildError);
});

test("source outside the portable subset is named with file and line", async () => {
  const closure =
    "export function createPlugin(memory: unknown): i32 {\n  const add = (x: i32) => x + memory;\n  return add(1);\n}\n";
  await expect(build(JSON.stringify(MANIFEST), closure)).rejects.toThrow(
    /\nplugin\.ts:\d+:\d+: TS/,
  );
});

test("keys.ts is made when a source imports it, kept up to date, and nobody's own is touched", () => {
  const [manifest, source, keys] = ["plugin.json", "plugin.ts", "keys.ts"].map((name) =>
    join(FOLDER, name),
  ) as [string, string, string];
  writeFileSync(manifest, JSON.stringify(MANIFEST));
  writeFileSync(source, "export {};\n");
  expect([refreshKeys(FOLDER), existsSync(keys)]).toEqual([false, false]);
  writeFileSync(source, 'import { RULE_KEYS } from "./keys.ts";\n');
  expect([refreshKeys(FOLDER), refreshKeys(FOLDER)]).toEqual([true, false]);
  const fields = { command: { description: "", match: "literal" } };
  writeFileSync(manifest, JSON.stringify({ ...MANIFEST, rules: { fields } }));
  expect(refreshKeys(FOLDER)).toBe(true);
  expect(readFileSync(keys, "utf8")).toMatch(/^export const RULE_COMMAND: i32 = 0;$/m);
  writeFileSync(keys, "export const SECRET = 1;\n");
  expect(() => refreshKeys(FOLDER)).toThrow(/Cannot write .*keys\.ts: it is not one of ours/);
  expect(readFileSync(keys, "utf8")).toBe("export const SECRET = 1;\n");
});

test.each<[string[], string[]]>([
  [
    ["command", "headerMatches.N.name"],
    ["RULE_COMMAND", "RULE_HEADER_MATCHES_N_NAME"],
  ],
  [["keys"], ["RULE__KEYS"]],
  [
    ["Keys", "keys", "_keys"],
    ["RULE___4B_EYS", "RULE__KEYS", "RULE___5F_KEYS"],
  ],
  [
    ["a-b", "a.b", "aB", "c"],
    ["RULE__A_2D_B", "RULE__A_2E_B", "RULE__A_42_", "RULE_C"],
  ],
  [
    ["a.2d.b", "a-b"],
    ["RULE_A_2D_B", "RULE_A_B"],
  ],
  [
    ["é", "è"],
    ["RULE___E9_", "RULE___E8_"],
  ],
])("rule fields %j are the constants %j", (names, expected) => {
  const field = { description: "", match: "literal" as const };
  const fields = Object.fromEntries(names.map((name) => [name, field]));
  const manifest = { ...MANIFEST, rules: { fields } } as Parameters<typeof keysSource>[0];
  const found = [...keysSource(manifest).matchAll(/^export const (\w+): i32 = (\d+);$/gm)];
  expect(found.map(([, name]) => name)).toEqual(expected);
  expect(found.map(([, , key]) => Number(key))).toEqual(names.map((_, key) => key));
});
