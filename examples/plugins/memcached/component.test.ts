/**
 * The plugin as it ships, interpreted in the sandbox: every vector at its cuts and mutated gives
 * what the source gives, on Node and on Deno, for the same fuel; its size and cost stay bounded.
 */
import { execFile } from "node:child_process";
import { mkdirSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { promisify } from "node:util";
import { afterAll, beforeAll, expect, test } from "vitest";
import type { PluginImage, PluginInstance } from "../../../runtime/isolate/index.ts";
import { instantiate, prepareImage } from "../../../runtime/isolate/index.ts";
import { builtComponent, ROOT } from "../../../runtime/testkit/built-plugin.ts";
import { WHOLE } from "../../../runtime/testkit/cuts.ts";
import { instantiateNative, vectorsOf } from "../../../runtime/testkit/index.ts";
import { readManifest } from "../../../runtime/testkit/run-vector.ts";
import { SteadyRunner } from "../../../runtime/testkit/steady-runner.ts";
import { checkVectors } from "../../../runtime/testkit/vector-check.ts";
import { createPlugin } from "./plugin.ts";

const FOLDER = import.meta.dirname;
const BUILD_MS = 120_000;
/** Of the interpreter about 1.3 MB. */
const COMPONENT_BYTES_MAX = 2_000_000;

const manifest = readManifest(FOLDER);
const vectors = vectorsOf(FOLDER);
// Within the tree: there Deno finds the packages that the kit imports.
const folder = join(ROOT, `.build/testkit/memcached-${process.pid}`);
let component: Uint8Array;
let image: PluginImage;

beforeAll(async () => {
  component = await builtComponent(FOLDER);
  image = prepareImage(component, { digest: "sha256:0", manifest });
  mkdirSync(folder, { recursive: true });
  writeFileSync(join(folder, "component.wasm"), component);
}, BUILD_MS);
afterAll(() => rmSync(folder, { recursive: true, force: true }));

test("sandboxed it does what the source does", { timeout: BUILD_MS }, () => {
  const runners = {
    native: new SteadyRunner(manifest, (imports) => instantiateNative(createPlugin, imports)),
    wasm: new SteadyRunner(manifest, (imports) => instantiate(image, imports)),
  };
  const report = checkVectors(vectors, runners, { seed: 3, mutations: 20, findingsMax: 3 });
  expect(report.findings).toEqual([]);
  expect(report.mutations).toBe(20 * vectors.length);
});

test("it is of a size that an upload admits", () => {
  expect(component.length).toBeLessThan(COMPONENT_BYTES_MAX);
});

test("a command with as many keys as there may be stays within its budget", () => {
  let instance: PluginInstance | undefined;
  const runner = new SteadyRunner(manifest, (imports) => {
    instance = instantiate(image, imports);
    return instance;
  });
  const line = `get${" user:1234".repeat(50)}\r\n`;
  const others = Array.from({ length: 9 }, (_, index) => ({ key: `other-${index}:.*` }));
  const rules = [...others, { command: "get", key: "user:[0-9]+" }];
  const steps = [{ kind: "request" as const, bytes: Buffer.from(line) }];
  expect(runner.run({ stages: [rules], steps }, WHOLE)).toMatchObject({ upstream: line });
  expect(instance?.fuelUsed).toBeLessThan(manifest.limits.fuelBase);
});

const SCRIPT = `
  const { instantiate, prepareImage } = await import(ROOT + "runtime/isolate/index.ts");
  const { SteadyRunner } = await import(ROOT + "runtime/testkit/steady-runner.ts");
  const { WHOLE } = await import(ROOT + "runtime/testkit/cuts.ts");
  const { readVectors } = await import(ROOT + "runtime/testkit/vectors.ts");
  const { readFileSync } = await import("node:fs");
  const manifest = JSON.parse(readFileSync(ROOT + "examples/plugins/memcached/plugin.json", "utf8"));
  const vectors = readVectors(readFileSync(ROOT + "examples/plugins/memcached/vectors.md", "utf8"));
  const image = prepareImage(readFileSync(FILE), { digest: "sha256:0", manifest });
  const results = vectors.map((vector) => {
    let instance;
    const runner = new SteadyRunner(manifest, (imports) => instance = instantiate(image, imports));
    const { upstream, client, records, close } = runner.run(vector, WHOLE);
    return { name: vector.name, upstream, client, records, close, fuel: instance.fuelUsed };
  });
  console.log(JSON.stringify(results));`;

test("Node and Deno agree, to the unit of fuel", { timeout: BUILD_MS }, async () => {
  const file = join(folder, "run.mjs");
  const names = { ROOT, FILE: join(folder, "component.wasm") };
  const constants = Object.entries(names).map(([name, value]) => {
    return `const ${name} = ${JSON.stringify(value)};`;
  });
  writeFileSync(file, constants.join("\n") + SCRIPT);
  const run = promisify(execFile);
  const deno = join(ROOT, "node_modules/.bin/deno");
  const args = ["run", "--no-check", "--allow-read", "--allow-env", file];
  const [onNode, onDeno] = await Promise.all([
    run(process.execPath, [file]),
    run(deno, args, { cwd: ROOT }),
  ]);
  const results = JSON.parse(onNode.stdout) as { name: string; fuel: number }[];
  expect(results.map(({ name }) => name)).toEqual(vectors.map(({ name }) => name));
  expect(JSON.parse(onDeno.stdout)).toEqual(results);
});
