/**
 * What an author sees when a plugin cannot be built. That it can be is what every plugin's tests
 * show.
 */
import { mkdirSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { afterAll, beforeAll, expect, test } from "vitest";
import { buildPlugin } from "./build.ts";
import { BuildError } from "./compile.ts";

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
