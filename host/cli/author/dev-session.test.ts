import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { createAdaptorServer, type ServerType } from "@hono/node-server";
import { Hono } from "hono";
import { afterAll, beforeAll, expect, test } from "vitest";
import { createProject } from "../../../runtime/build/project.ts";
import { type PluginPackage, readPackage } from "../../../runtime/contract/package.ts";
import { keyIdOf, readPublicKey } from "../../plugin/signing.ts";
import { ApiClient } from "../client.ts";
import { type DevReload, DevSession } from "./dev-session.ts";

const ROOT = fileURLToPath(new URL("../../../", import.meta.url));
const folder = mkdtempSync(join(tmpdir(), "imker-dev-"));
const socket = join(folder, "admin.sock");
const project = join(folder, "demo");

/** What an agent would have seen. */
const keys = new Map<string, { publicKey: string; plugins: string[]; notAfter: string }>();
const uploads: PluginPackage[] = [];
const activations: { version: string }[] = [];
let server: ServerType;

beforeAll(async () => {
  createProject(ROOT, "demo", project);
  const app = new Hono();
  app.post("/v1/keys", async (context) => {
    const { name, ...key } = await context.req.json();
    keys.set(name, key);
    return context.json({ name }, 201);
  });
  app.delete("/v1/keys/:name", (context) => {
    keys.delete(context.req.param("name"));
    return context.json({});
  });
  app.post("/v1/plugins", async (context) => {
    uploads.push(readPackage(new Uint8Array(await context.req.arrayBuffer())));
    return context.json({}, 201);
  });
  app.put("/v1/plugins/demo/activation", async (context) => {
    activations.push(await context.req.json());
    return context.json({});
  });
  server = createAdaptorServer({ fetch: app.fetch });
  await new Promise<void>((resolve) => server.listen(socket, resolve));
});

afterAll(() => {
  server.close();
  rmSync(folder, { recursive: true });
});

test("a change is built, signed, uploaded and activated; a mistake is named; the key goes", {
  timeout: 60_000,
}, async () => {
  const seen: (DevReload | string)[] = [];
  const wake: (() => void)[] = [];
  const note = (one: DevReload | string) => {
    seen.push(one);
    wake.shift()?.();
  };
  const next = () => new Promise<void>((resolve) => wake.push(resolve));
  const session = new DevSession({
    root: ROOT,
    folder: project,
    name: "demo",
    withClient: async (action) => {
      const client = new ApiClient(socket);
      try {
        return await action(client);
      } finally {
        await client.close();
      }
    },
    listener: { reloaded: note, failed: note },
  });
  await session.start();
  expect(seen).toMatchObject([{ changed: expect.arrayContaining(["plugin.ts", "plugin.json"]) }]);
  const [key] = keys.values();
  expect(key?.plugins).toEqual(["demo"]);
  expect(Date.parse(key?.notAfter ?? "") - Date.now()).toBeLessThanOrEqual(24 * 3600 * 1000);
  const first = uploads[0];
  expect(first?.manifest.version).toMatch(/^0\.1\.0-dev\.\d+$/);
  expect(first?.signatures.map((one) => one.key)).toEqual([
    keyIdOf(readPublicKey(key?.publicKey ?? "")),
  ]);
  expect(activations[0]?.version).toBe(first?.manifest.version);

  const file = join(project, "plugin.ts");
  const source = readFileSync(file, "utf8");
  let woken = next();
  writeFileSync(file, source.replace("LINE_BYTES_MAX: i32 = 1024", "LINE_BYTES_MAX: i32 = 512"));
  await woken;
  expect(seen.at(-1)).toMatchObject({ changed: ["plugin.ts"] });
  expect(uploads[1]?.digest).not.toBe(first?.digest);
  expect(activations[1]?.version).toBe(uploads[1]?.manifest.version);

  woken = next();
  writeFileSync(file, source.replace("frame as f64", "frame as f65"));
  await woken;
  expect(seen.at(-1)).toMatch(/\nplugin\.ts:\d+:\d+: TS2304: Cannot find name 'f65'/);
  expect(uploads).toHaveLength(2);

  await session.stop();
  expect(keys.size).toBe(0);
});
