/** docs/plugins-operating.md: its commands work, in its order, as they stand there. */
import { execFile } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, expect, it } from "vitest";
import { ROOT } from "../../runtime/testkit/built-plugin.ts";
import { BUILD_MS, type PluginNode, packageOf, pluginNode } from "./testing/fixture.ts";
import { type Served, servePlugins } from "./testing/serve.ts";

const RUN_MS = 240_000;

let node: PluginNode;
let served: Served;
let folder: string;

beforeAll(async () => {
  node = pluginNode();
  node.backend.keys.remove("acme");
  served = await servePlugins(node);
  folder = mkdtempSync(join(tmpdir(), "imker-docs-"));
  symlinkSync(join(ROOT, "imker"), join(folder, "imker"));
  for (const version of ["1.0.0", "1.1.0"]) {
    const file = await packageOf({ name: "acme-echo", version });
    writeFileSync(join(folder, `acme-echo-${version}.wasm`), file);
  }
}, BUILD_MS);

afterAll(() => {
  served.close();
  node.remove();
  rmSync(folder, { recursive: true });
});

/** What the page tells people to type. */
function commands(): string {
  const page = readFileSync(join(ROOT, "docs/plugins-operating.md"), "utf8");
  const blocks = [...page.matchAll(/^```sh\n(.*?)^```/gms)].map((match) => match[1] ?? "");
  return blocks.join("\n").replace("/var/run/imker/admin.sock", served.socket);
}

it(
  "the page leads a plugin through its life",
  async () => {
    const env = { ...process.env, IMKER_SOCKET: served.socket };
    const result = await new Promise<{ code: number; out: string; err: string }>((resolve) => {
      execFile("bash", ["-ec", commands()], { cwd: folder, env }, (error, out, err) => {
        resolve({ code: error === null ? 0 : Number(error.code), out, err });
      });
    });
    expect(result).toMatchObject({ code: 0 });
    expect(node.backend.activation("acme-echo")).toMatchObject({ active: { version: "1.0.0" } });
    expect(node.backend.trials("acme-echo").map(({ state }) => state)).toEqual([
      "promoted",
      "aborted",
    ]);
    expect(node.backend.version("acme-echo", "1.0.0").signedBy.name).toBe("acme-2");
  },
  RUN_MS,
);
