/**
 * The component as a component: its size, that it asks for nothing but the contract's host, and
 * that it runs through jco's transpiler (an implementation of the canonical ABI that is not ours)
 * with the results of the fast lifter.
 */
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { pathToFileURL } from "node:url";
import { transpile } from "@bytecodealliance/jco";
import { afterAll, expect, test } from "vitest";
import {
  builtComponent,
  builtImage,
  instantiateImage,
} from "../../runtime/testkit/built-plugin.ts";
import { instantiateJco } from "../../runtime/testkit/jco.ts";
import { readManifest, VectorRunner } from "../../runtime/testkit/run-vector.ts";
import { readVectors } from "../../runtime/testkit/vectors.ts";

const FOLDER = import.meta.dirname;
const COMPONENT_BYTES_MAX = 60 * 1024;
/** jco's glue takes about 10 µs a call: few vectors, few cuts. */
const FILES = ["policy.md", "tunnels.md"];
const PIECES = [11, 1_000_000];

const manifest = readManifest(FOLDER);
const component = await builtComponent(FOLDER);
const image = await builtImage(FOLDER);
const folder = mkdtempSync(join(tmpdir(), "imker-jco-"));
afterAll(() => rmSync(folder, { recursive: true }));

test("the component is at most 60 KiB", () => {
  expect(component.length).toBeLessThanOrEqual(COMPONENT_BYTES_MAX);
});

test("jco runs it with equal results", { timeout: 60_000 }, async () => {
  const { files } = await transpile(component, {
    name: "plugin",
    instantiation: "sync",
    noTypescript: true,
  });
  for (const [name, bytes] of Object.entries(files)) {
    if (dirname(name) === ".") writeFileSync(join(folder, name), bytes);
  }
  const glue: unknown = await import(pathToFileURL(join(folder, "plugin.js")).href);
  const compileCore = (name: string) => new WebAssembly.Module(readFileSync(join(folder, name)));
  const jco = new VectorRunner(manifest, (imports) => instantiateJco(glue, compileCore, imports));
  const ours = new VectorRunner(manifest, (imports) => instantiateImage(image, imports));
  for (const file of FILES) {
    for (const vector of readVectors(readFileSync(join(FOLDER, "testdata", file), "utf8"))) {
      for (const piece of PIECES) {
        expect(jco.run(vector, piece), vector.name).toEqual(ours.run(vector, piece));
      }
    }
  }
});

test("a refused rule and foreign rule bytes are errors, not traps", () => {
  const ours = new VectorRunner(manifest, (imports) => instantiateImage(image, imports));
  const rule = [[{ key: "headers", value: " x", pattern: { kind: "literal" as const } }]];
  expect(() => ours.instance.compile(rule)).toThrow("a header needs a name");
  expect(() => ours.instance.load(new Uint8Array(100))).toThrow("not rules compiled by");
});
