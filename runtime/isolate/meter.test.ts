/** The rewriter: computes the same, counts the same everywhere, in proportion to the work. */
import { execFileSync } from "node:child_process";
import { parse } from "@bytecodealliance/jco";
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { ByteReader } from "./binary.ts";
import type { CoreModule } from "./core-module.ts";
import { readCoreModule } from "./core-module.ts";
import { PluginImageError } from "./errors.ts";
import { assemble, ON_DATA, program, REALLOC } from "./generated-module.ts";
import { meterModule } from "./meter.ts";
import type { MeterLimits } from "./meter-wrappers.ts";

const LIMITS: MeterLimits = { memoryPagesMax: 4, fuelBase: 50_000_000, fuelPerByte: 0 };

function read(bytes: Uint8Array): CoreModule {
  return readCoreModule(new ByteReader(bytes, "test module"));
}

/** Meters a module whose export `run` is to be called. */
function metered(bytes: Uint8Array, limits: Partial<MeterLimits> = {}): Uint8Array<ArrayBuffer> {
  const module = read(bytes);
  const run = module.exports.find(({ name }) => name === "run");
  return meterModule(
    module,
    { ...LIMITS, ...limits },
    {
      realloc: REALLOC,
      onData: ON_DATA,
      plain: [{ name: "run", index: run?.index ?? 0, ownBudget: true }],
    },
  );
}

interface Exports {
  run(a: number, b: number): number;
  memory: WebAssembly.Memory;
  "fuel-used"(): number;
  flag(): number;
}

function instantiate(bytes: Uint8Array<ArrayBuffer>): Exports {
  const instance = new WebAssembly.Instance(new WebAssembly.Module(bytes));
  return instance.exports as unknown as Exports;
}

/** What a run shows from outside: result or trap, and memory. */
function observe(exports: Exports, a: number, b: number): [outcome: unknown, memory: number] {
  let outcome: unknown;
  try {
    outcome = exports.run(a, b);
  } catch (error) {
    if (!(error instanceof WebAssembly.RuntimeError)) throw error;
    outcome = error.message;
  }
  const bytes = new Uint8Array(exports.memory.buffer);
  let hash = bytes.length;
  for (const byte of bytes) hash = (Math.imul(hash, 31) + byte) | 0;
  return [outcome, hash];
}

const inputs = fc.array(fc.tuple(fc.integer(), fc.integer({ min: -9, max: 99 })), {
  minLength: 1,
  maxLength: 3,
});

test("a metered module computes what the module computes, on generated programs", {
  timeout: 60_000,
}, () => {
  let ran = 0;
  fc.assert(
    fc.property(program, inputs, (generated, calls) => {
      const bytes = assemble(generated);
      expect(WebAssembly.validate(bytes)).toBe(true);
      const plain = instantiate(bytes);
      const rewritten = instantiate(metered(bytes));
      let fuel = 0;
      for (const [a, b] of calls) {
        const seen = observe(rewritten, a, b);
        expect(seen).toEqual(observe(plain, a, b));
        expect(rewritten.flag()).not.toBe(1);
        // A trap may come before a function wrote its fuel back.
        const least = typeof seen[0] === "string" ? 0 : 1;
        expect(rewritten["fuel-used"]()).toBeGreaterThanOrEqual(fuel + least);
        fuel = rewritten["fuel-used"]();
        ran += 1;
      }
    }),
    { numRuns: 250 },
  );
  expect(ran).toBeGreaterThan(250);
});

const HEADER = `(func (param i32 i32 i32 i32) (result i32) local.get 3)
  (func (param i32 i32 i32 i32 i32 i64) (result i32) local.get 2) (memory (export "memory") 1)`;

async function text(fields: string): Promise<Uint8Array<ArrayBuffer>> {
  return (await parse(`(module ${HEADER} ${fields})`)) as Uint8Array<ArrayBuffer>;
}

const LOOP = `(func (export "run") (param $n i32) (param i32) (result i32) (local $sum i32)
  (loop $again
    (local.set $sum (i32.add (local.get $sum) (local.get $n)))
    (br_if $again (local.tee $n (i32.sub (local.get $n) (i32.const 1)))))
  (local.get $sum))`;

describe("fuel", () => {
  test("is linear in the work", async () => {
    const exports = instantiate(metered(await text(LOOP)));
    const used = [1, 2, 1_001, 2_001].map((count) => {
      const before = exports["fuel-used"]();
      exports.run(count, 0);
      return exports["fuel-used"]() - before;
    });
    const [one = 0, two = 0, thousand = 0, twoThousand = 0] = used;
    // Nine instructions a round (the add, its set, the tee and the branch among them), and four.
    expect(two - one).toBe(13);
    expect(thousand - one).toBe(13_000);
    expect(twoThousand - thousand).toBe(13_000);
  });

  test.each([
    ["memory.fill", "(memory.fill (i32.const 0) (i32.const 1) (local.get 0))", 4],
    ["memory.copy", "(memory.copy (i32.const 0) (i32.const 1) (local.get 0))", 4],
  ])("of %s grows with the bytes", async (_, instruction, perUnit) => {
    const run = `(func (export "run") (param i32 i32) (result i32) ${instruction} (i32.const 0))`;
    const exports = instantiate(metered(await text(run)));
    const used = (bytes: number): number => {
      const before = exports["fuel-used"]();
      exports.run(bytes, 0);
      return exports["fuel-used"]() - before;
    };
    expect(used(8_000) - used(0)).toBe(8_000 / perUnit);
    expect(used(60_000) - used(0)).toBe(60_000 / perUnit);
  });

  test("of a call is what the manifest gives, and no more", async () => {
    const exports = instantiate(metered(await text(LOOP), { fuelBase: 13_100 }));
    expect(exports.run(1_000, 0)).toBe(500_500);
    expect(exports.run(1_000, 0)).toBe(500_500);
    expect(() => exports.run(1_020, 0)).toThrow(WebAssembly.RuntimeError);
    expect(exports.flag()).toBe(1);
    expect(exports["fuel-used"]()).toBeGreaterThan(39_000);
  });

  test("is the same on Node and Deno, traps included", { timeout: 60_000 }, () => {
    const cases = fc.sample(fc.tuple(program, inputs), { numRuns: 60, seed: 4711 });
    const work = cases.map(([generated, calls]) => ({
      wasm: Buffer.from(metered(assemble(generated))).toString("base64"),
      calls,
    }));
    const script = `
      const work = JSON.parse(SOURCE);
      const seen = work.map(({ wasm, calls }) => {
        const bytes = Uint8Array.from(atob(wasm), (letter) => letter.charCodeAt(0));
        const { exports } = new WebAssembly.Instance(new WebAssembly.Module(bytes));
        return calls.map(([a, b]) => {
          let outcome;
          try { outcome = exports.run(a, b); } catch (error) { outcome = error.constructor.name; }
          return [outcome, exports["fuel-used"](), exports.flag()];
        });
      });
      console.log(JSON.stringify(seen));`;
    const source = script.replace("SOURCE", () => JSON.stringify(JSON.stringify(work)));
    const run = (file: string, args: string[]): unknown =>
      JSON.parse(execFileSync(file, args, { input: source, encoding: "utf8" }));
    const node = run(process.execPath, ["-"]);
    const deno = run("node_modules/.bin/deno", ["run", "--no-config", "-"]);
    expect(deno).toEqual(node);
    expect(new Set(JSON.stringify(node).match(/\d+/g)).size).toBeGreaterThan(50);
  });
});

describe("limits", () => {
  test("memory stops at the manifest's pages, tables at theirs", async () => {
    const exports = instantiate(
      metered(
        await text(`(table $t 1 funcref)
          (func (export "run") (param i32 i32) (result i32)
            (if (result i32) (local.get 1)
              (then (table.grow $t (ref.null func) (local.get 0)))
              (else (memory.grow (local.get 0)))))`),
        { memoryPagesMax: 3 },
      ),
    );
    expect(exports.run(2, 0)).toBe(1);
    expect(exports.run(1, 0)).toBe(-1);
    expect(exports.run(10, 1)).toBe(1);
    expect(exports.run(20_000, 1)).toBe(-1);
    expect(exports.run(-1, 1)).toBe(-1);
  });

  test("a recursion ends at the same depth whatever the engine's stack", async () => {
    const run = `(global $depth (mut i32) (i32.const 0))
      (func $deep (param i32) (result i32)
        (i32.store (i32.const 0) (i32.add (i32.load (i32.const 0)) (i32.const 1)))
        (i32.add (call $deep (local.get 0)) (i32.const 1)))
      (func (export "run") (param i32 i32) (result i32) (call $deep (local.get 0)))`;
    const exports = instantiate(metered(await text(run)));
    expect(() => exports.run(0, 0)).toThrow(WebAssembly.RuntimeError);
    expect(exports.flag()).toBe(3);
    const frames = new Uint32Array(exports.memory.buffer)[0] ?? 0;
    expect(frames).toBe(Math.floor(393_216 / (96 + 8 * (2 + 3) + 96 + 8)));
  });

  test("recursion through a table is seen", async () => {
    const run = `(type $f (func (param i32 i32) (result i32))) (table funcref (elem $run))
      (func $run (export "run") (type $f)
        (call_indirect (type $f) (local.get 0) (local.get 1) (i32.const 0)))`;
    const exports = instantiate(metered(await text(run)));
    expect(() => exports.run(0, 0)).toThrow(WebAssembly.RuntimeError);
    expect(exports.flag()).toBe(3);
  });

  const refusals: [string, string, RegExp][] = [
    [
      "huge br_table",
      `(func (export "run") (param i32 i32) (result i32)
        (block (br_table ${"0 ".repeat(5_000)} (local.get 0))) (i32.const 0))`,
      /br_table with 4999 targets/,
    ],
    [
      "locals",
      `(func (export "run") (param i32 i32) (result i32) (local ${"i64 ".repeat(2_001)}) (i32.const 0))`,
      /2003 locals/,
    ],
    [
      "function size",
      `(func ${"(drop (i32.const 1000000))".repeat(60_000)})`,
      /bytes, limit 262144/,
    ],
    ["nesting", `(func ${"(block ".repeat(4_100)}${")".repeat(4_100)})`, /nested blocks/],
    ["functions", "(func)".repeat(20_001), /20003 functions/],
    ["places to meter", `(func ${"(loop)".repeat(60_000)})`.repeat(9), /500000 blocks and calls/],
    [
      "a long chain of calls with large frames",
      `${Array.from({ length: 20 }, (_, at) => `(func $f${at} (local ${"i64 ".repeat(1_000)}) ${at === 0 ? "" : `(call $f${at - 1})`})`).join("")}`,
      /call chain of \d+ stack bytes/,
    ],
    ["initial memory", "", /2 pages at the start, manifest allows 1/],
    ["table", "(table 20000 funcref)", /20000 table elements/],
    ["SIMD", `(func (drop (v128.const i32x4 0 0 0 0)))`, /SIMD/],
    ["threads", `(func (drop (i32.atomic.load (i32.const 0))))`, /threads/],
    ["tail calls", "(func return_call 2)", /tail calls/],
    ["exceptions", "(tag) (func (throw 0))", /exceptions/],
    ["start function", "(func $s) (start $s)", /start function/],
    ["shared memory", "", /shared memory/],
    ["memory64", "", /memory64/],
    ["two memories", "(memory 1)", /multiple memories/],
    ["imported memory", "", /import of a memory/],
    ["imported global", "", /import of a global/],
  ];
  test.each(refusals)("%s is refused", { timeout: 60_000 }, async (name, fields, message) => {
    const wat: Record<string, string> = {
      "initial memory": HEADER.replace(") 1)", ") 2)"),
      "shared memory": HEADER.replace(") 1)", ") 1 2 shared)"),
      memory64: HEADER.replace('"memory") 1', '"memory") i64 1'),
      "imported memory": '(import "a" "b" (memory 1))',
      "imported global": '(import "a" "b" (global i32))',
    };
    const bytes = await parse(`(module ${wat[name] ?? HEADER} ${fields})`);
    const run = (): unknown => metered(bytes, { memoryPagesMax: 1 });
    expect(run).toThrow(PluginImageError);
    expect(run).toThrow(message);
  });

  test("more initial memory than anybody pays for is refused, whatever the manifest says", async () => {
    const [most, more] = [64, 65].map((pages) =>
      parse(`(module ${HEADER.replace(") 1)", `) ${pages})`)})`),
    );
    expect(
      metered((await most) ?? new Uint8Array(), { memoryPagesMax: 512 }).length,
    ).toBeGreaterThan(0);
    const refused = (await more) ?? new Uint8Array();
    expect(() => metered(refused, { memoryPagesMax: 512 })).toThrow(
      /65 pages at the start, limit 64/,
    );
  });

  test("an import may not hide in a table", async () => {
    const bytes =
      await parse(`(module (import "imker:l7/host@1.0.0" "log" (func $log (param i32 i32 i32)))
      ${HEADER} (table funcref (elem $log)))`);
    expect(() => metered(bytes)).toThrow(/may only be called directly/);
  });
});

test("broken bytes are refused, never crash or hang", { timeout: 60_000 }, () => {
  const [generated] = fc.sample(program, { numRuns: 1, seed: 7 });
  const bytes = assemble(generated ?? { functions: [] });
  fc.assert(
    fc.property(fc.nat(bytes.length - 1), fc.nat(255), fc.nat(bytes.length), (at, value, cut) => {
      const broken = bytes.slice(0, cut > at ? bytes.length : cut);
      if (at < broken.length) broken[at] = value;
      try {
        metered(broken);
      } catch (error) {
        expect(error).toBeInstanceOf(PluginImageError);
      }
    }),
    { numRuns: 1_500 },
  );
});
