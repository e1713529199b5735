/** What becomes an image and what is refused, by name; images in workers of Node and Deno. */
import { execFileSync } from "node:child_process";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { Worker } from "node:worker_threads";
import { parse, print } from "@bytecodealliance/jco";
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { openComponent } from "./component.ts";
import { componentOf, FIXTURE_MANIFEST, guestComponent, guestText } from "./guest-fixture.ts";
import { PluginImageError, prepareImage } from "./index.ts";

const ALL = { imports: ["emit", "log", "match"] } as const;
const IDENTITY = { digest: "sha256:0", manifest: FIXTURE_MANIFEST };

function refusal(run: () => unknown): PluginImageError {
  try {
    run();
  } catch (error) {
    if (error instanceof PluginImageError) return error;
    throw error;
  }
  throw new Error("accepted");
}

/** A good component, as text, edited and assembled again. */
async function edited(edit: (wat: string) => string): Promise<Uint8Array> {
  const wat = await print(await guestComponent(ALL));
  const changed = edit(wat);
  expect(changed).not.toBe(wat);
  return parse(changed);
}

describe("prepareImage()", () => {
  test("finds the world behind shim and fix-up modules", async () => {
    const component = await guestComponent(ALL);
    const { functions, module } = openComponent(component, FIXTURE_MANIFEST.capabilities);
    expect([...functions.keys()].sort()).toEqual(
      ["close", "compile", "load", "on-data", "open", "set-stages", "unload"].sort(),
    );
    expect(functions.get("on-data")?.postReturn).toBeDefined();
    expect(module.imports.map(({ name }) => name)).toEqual(["emit", "log", "match"]);
    const image = prepareImage(component, IDENTITY);
    expect(WebAssembly.Module.imports(image.module)).toHaveLength(3);
    expect(structuredClone(image).exports).toEqual(image.exports);
  });

  test("accepts a component that imports nothing", async () => {
    const image = prepareImage(await guestComponent({}), IDENTITY);
    expect(WebAssembly.Module.imports(image.module)).toEqual([]);
  });

  test.each<[string, (wit: string) => string, RegExp]>([
    [
      "another type of the same core type",
      (wit) => wit.replace("now: u64", "now: s64"),
      /on-data: type is func/,
    ],
    [
      "a record field of another name",
      (wit) => wit.replace("rule-set: u32,\n  }", "rule: u32,\n  }"),
      /type is func.*rule:u32/,
    ],
    [
      "a function less",
      (wit) => wit.replace("unload: func(rule-set: u32);", ""),
      /unload: missing/,
    ],
    [
      "another version",
      (wit) => wit.replace("imker:l7@1.0.0", "imker:l7@1.1.0"),
      /not in the world/,
    ],
    [
      "an import of another type",
      (wit) => wit.replace("match: func(handle: u32,", "match: func(handle: s32,"),
      /import imker:l7\/host@1.0.0 match: type is func\(handle:s32/,
    ],
  ])("refuses %s", async (_, edit, message) => {
    const version = (text: string): string =>
      edit("imker:l7@1.0.0").includes("1.1.0") ? text.replaceAll("@1.0.0", "@1.1.0") : text;
    const drop = edit("unload: func(rule-set: u32);") === "";
    const lines = guestText(ALL).split("\n");
    const text = lines.filter((line) => !drop || !line.includes("#unload")).join("\n");
    const component = await componentOf(await parse(version(text)), edit);
    expect(refusal(() => prepareImage(component, IDENTITY)).message).toMatch(message);
  });

  test("refuses an import the manifest does not declare", async () => {
    const manifest = { ...FIXTURE_MANIFEST, capabilities: ["emit" as const, "match" as const] };
    const component = await guestComponent(ALL);
    const error = refusal(() => prepareImage(component, { digest: "sha256:0", manifest }));
    expect([error.code, error.where]).toEqual(["capability", "import imker:l7/host@1.0.0 log"]);
  });

  test("refuses UTF-16 strings", async () => {
    const core = await parse(guestText(ALL));
    const component = await componentOf(core, undefined, "utf16");
    expect(refusal(() => prepareImage(component, IDENTITY)).message).toMatch(/other than UTF-8/);
  });

  test.each<[string, string, RegExp]>([
    [
      "WASI",
      `(import "wasi:cli/environment@0.2.0" (instance (export "x" (func))))`,
      /import wasi:cli\/environment@0\.2\.0 x: not in the world/,
    ],
    [
      "a type-only import",
      `(import "wasi:io/x@0.2.0" (instance))`,
      /import wasi:io\/x@0\.2\.0: not in the world/,
    ],
    ["a function import", `(import "gettime" (func))`, /import gettime: not an interface/],
    [
      "a nested component with code",
      `(component $n (core module)) (instance (instantiate $n))`,
      /nested components/,
    ],
    ["a resource", `(type (resource (rep i32)))`, /resources/],
    ["a stream", `(type (stream u8))`, /streams/],
    ["a future", `(type (future u8))`, /futures/],
    ["an async function", `(type (func async))`, /async functions/],
    [
      "a second core module",
      `(core module $m (func (export "f") (loop (br 0)))) (core instance (instantiate $m))`,
      /more than one core module/,
    ],
    [
      "a start function",
      `(core module $m (func $f) (start $f)) (core instance (instantiate $m))`,
      /start function/,
    ],
  ])("refuses %s", async (_, field, message) => {
    const component = await edited((wat) => wat.replace(/\)\s*$/, `${field})`));
    expect(refusal(() => prepareImage(component, IDENTITY)).message).toMatch(message);
  });

  test("refuses a core import that is linked to another function", async () => {
    const component = await edited((wat) =>
      wat
        .replace(/\(export "emit" \(func \$indirect-[^)]*-emit\)\)/, "EMIT")
        .replace(
          /(\(export "log" \(func )(\$indirect-[^)]*-log)\)\)/,
          '$1$2)) (export "log2" (func $2))',
        )
        .replace("EMIT", '(export "emit" (func $indirect-imker:l7/host@1.0.0-log))')
        .replace(
          '(import "imker:l7/host@1.0.0" "emit" (func $emit (;0;) (type 0)))',
          '(import "imker:l7/host@1.0.0" "emit" (func $emit (;0;) (type 1)))',
        ),
    );
    expect(refusal(() => prepareImage(component, IDENTITY)).message).toMatch(/linked to .* log/);
  });

  test("refuses what is no component", async () => {
    const core = await parse("(module)");
    expect(refusal(() => prepareImage(core, IDENTITY)).message).toMatch(/not a component/);
    expect(refusal(() => prepareImage(new Uint8Array(0), IDENTITY)).code).toBe("malformed");
    const huge = new Uint8Array(8_388_609);
    expect(refusal(() => prepareImage(huge, IDENTITY)).code).toBe("limit");
  });

  test("refuses types that double at each step", async () => {
    const steps = Array.from(
      { length: 40 },
      (_, at) => `(type $t${at + 1} (tuple $t${at} $t${at}))`,
    );
    const component = await parse(`(component (type $t0 (tuple u8 u8)) ${steps.join(" ")})`);
    expect(refusal(() => prepareImage(component, IDENTITY)).message).toMatch(/type above/);
  });

  test("broken bytes are refused, never crash or hang", { timeout: 60_000 }, async () => {
    const component = await guestComponent(ALL);
    fc.assert(
      fc.property(fc.nat(component.length - 1), fc.nat(255), fc.boolean(), (at, value, cut) => {
        const broken = component.slice(0, cut ? at : component.length);
        if (at < broken.length) broken[at] = value;
        try {
          prepareImage(broken, IDENTITY);
        } catch (error) {
          expect(error).toBeInstanceOf(PluginImageError);
        }
      }),
      { numRuns: 1_500 },
    );
  });
});

const ON_DATA = `(loop $again (br_if $again (i32.lt_u
    (local.tee $connection (i32.add (local.get $connection) (i32.const 1))) (i32.const 1000))))
  (call $emit (i32.const 7) (i32.const 1) (i32.const 0) (i32.const 0) (i32.const 5)
    (i32.const 1024) (i32.const 0))
  (i32.store (i32.const 16) (i32.const 0)) (i64.store (i32.const 20) (i64.const 0)) (i32.const 16)`;

/** Runs in a worker: instantiates a posted image, and answers with what it saw. */
const WORKER = `import { instantiate } from "${new URL("./index.ts", import.meta.url)}";
  export function serve(image) {
    let exchange = -1;
    const instance = instantiate(image, {
      emit(record) { exchange = record.exchange; }, log() {}, match() { return false; },
    });
    instance.onData(7, 0, new Uint8Array(100), 0, 100, 0, 0, 0);
    return { exchange, fuel: instance.fuelUsed, memory: instance.memoryBytes };
  }`;

test("a posted image runs in workers of Node and of Deno, with the same fuel", {
  timeout: 60_000,
}, async () => {
  const component = await guestComponent({ imports: ["emit"], onData: ON_DATA });
  const image = prepareImage(component, IDENTITY);
  const folder = mkdtempSync(join(tmpdir(), "imker-isolate-"));
  try {
    writeFileSync(join(folder, "serve.ts"), WORKER);
    const node = await inNodeWorker(folder, image);
    const deno = inDenoWorker(folder, component);
    expect(node).toEqual({ exchange: 5, fuel: expect.any(Number), memory: 65_536 });
    expect(deno).toEqual(node);
  } finally {
    rmSync(folder, { recursive: true });
  }
});

async function inNodeWorker(folder: string, image: unknown): Promise<unknown> {
  const source = `import { parentPort } from "node:worker_threads";
    import { serve } from "./serve.ts";
    parentPort.once("message", (image) => parentPort.postMessage(serve(image)));`;
  writeFileSync(join(folder, "node.ts"), source);
  const worker = new Worker(join(folder, "node.ts"), { execArgv: [] });
  try {
    worker.postMessage(image);
    return await new Promise((resolve, reject) => {
      worker.once("message", resolve);
      worker.once("error", reject);
    });
  } finally {
    await worker.terminate();
  }
}

function inDenoWorker(folder: string, component: Uint8Array): unknown {
  const index = new URL("./index.ts", import.meta.url);
  writeFileSync(join(folder, "component.wasm"), component);
  writeFileSync(
    join(folder, "deno-worker.ts"),
    `import { serve } from "./serve.ts"; onmessage = (event) => postMessage(serve(event.data));`,
  );
  writeFileSync(
    join(folder, "deno.ts"),
    `import { prepareImage } from "${index}";
    const component = Deno.readFileSync(new URL("./component.wasm", import.meta.url));
    const image = prepareImage(component, ${JSON.stringify(IDENTITY)});
    const worker = new Worker(new URL("./deno-worker.ts", import.meta.url), { type: "module" });
    worker.onmessage = (event) => { console.log(JSON.stringify(event.data)); worker.terminate(); };
    worker.postMessage(image);`,
  );
  const args = ["run", "--no-config", "--no-check", "--allow-read", join(folder, "deno.ts")];
  return JSON.parse(execFileSync("node_modules/.bin/deno", args, { encoding: "utf8" }));
}
