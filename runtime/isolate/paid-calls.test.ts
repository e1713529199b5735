/**
 * Where fuel is charged: cheap callees by their callers, what surely follows with what precedes.
 */
import { parse } from "@bytecodealliance/jco";
import { describe, expect, test } from "vitest";
import { ByteReader } from "./binary.ts";
import { readCoreModule } from "./core-module.ts";
import { meterModule } from "./meter.ts";
import { paidCalls } from "./paid-calls.ts";
import { scanFunction } from "./scan-function.ts";

const HEADER = `(func $realloc (param i32 i32 i32 i32) (result i32) local.get 3)
  (func $data (param i32 i32 i32 i32 i32 i64) (result i32) local.get 2)
  (memory (export "memory") 1)`;
const LIMITS = { memoryPagesMax: 4, fuelBase: 50_000_000, fuelPerByte: 0 };
const RUN = 2;

interface Exports {
  run(a: number, b: number): number;
  "fuel-used"(): number;
  touch(at: number): number;
}

async function read(fields: string) {
  const bytes = await parse(`(module ${HEADER} ${fields})`);
  return readCoreModule(new ByteReader(bytes, "test module"));
}

/** `run` is function 2; the fields begin with it. */
async function start(fields: string, fuelBase = LIMITS.fuelBase): Promise<Exports> {
  const exports = {
    ...{ realloc: 0, onData: 1 },
    plain: [{ name: "run", index: RUN, ownBudget: true }],
  };
  const bytes = meterModule(await read(fields), { ...LIMITS, fuelBase }, exports);
  const instance = new WebAssembly.Instance(new WebAssembly.Module(bytes));
  return instance.exports as unknown as Exports;
}

async function paidOf(fields: string): Promise<[index: number, cost: number][]> {
  const module = await read(fields);
  const scans = module.bodies.map((_, index) => scanFunction(module, index));
  return [...paidCalls(module, scans, [0, 1, RUN])];
}

const SMALL = "(i32.add (local.get 0) (i32.const 1))";

describe("paid by their callers are", () => {
  test.each<[what: string, fields: string, expected: [number, number][]]>([
    ["small leaves", `(func $run) (func (param i32) (result i32) ${SMALL})`, [[3, 3]]],
    [
      "what calls only such, whatever their order",
      `(func $run) (func (param i32) (result i32) (call 4 (local.get 0)))
       (func (param i32) (result i32) ${SMALL})`,
      [
        [4, 3],
        [3, 37],
      ],
    ],
    ["not what the host calls", `(func $run)`, []],
    [
      "not what a table holds",
      `(func $run) (func $f (param i32) (result i32) ${SMALL}) (table funcref (elem $f))`,
      [],
    ],
    ["not loops", "(func $run) (func (loop))", []],
    ["not recursion", "(func $run) (func $f (call $g)) (func $g (call $f))", []],
    ["not what is dear", `(func $run) (func ${"(nop)".repeat(200)})`, []],
    ["not what grows memory", "(func $run) (func (drop (memory.grow (i32.const 0))))", []],
    [
      "not what calls indirectly",
      "(func $run) (type $t (func)) (table 1 funcref) (func (call_indirect (type $t) (i32.const 0)))",
      [],
    ],
  ])("%s", async (_, fields, expected) => {
    expect(await paidOf(fields)).toEqual(expected);
  });
});

/** run(a, b) turns its loop `a` times; `body` is in it. */
function looping(body: string, fields = ""): string {
  return `(func $run (param $n i32) (param $b i32) (result i32)
    (loop $again ${body}
      (br_if $again (local.tee $n (i32.sub (local.get $n) (i32.const 1)))))
    (local.get $b)) ${fields}`;
}

async function turnCost(body: string, fields = "", b = 0): Promise<number> {
  const exports = await start(looping(body, fields));
  const used = (times: number): number => {
    const before = exports["fuel-used"]();
    exports.run(times, b);
    return exports["fuel-used"]() - before;
  };
  const [few, many] = [used(10), used(110)];
  return (many - few) / 100;
}

const LONG = "(local.set $b (i32.add (local.get $b) (i32.const 1)))".repeat(10);

describe("every turn is charged", () => {
  test.each<[what: string, body: string, fields: string, least: number]>([
    ["an empty loop", "", "", 9],
    ["calls of paid functions", "(call 3)".repeat(5), "(func (nop) (nop))", 9 + 5 * 35],
    ["what both arms lead to", `(if (local.get $b) (then) (else)) ${LONG}`, "", 9 + 2 + 40],
    ["what is behind a block", `(block (br_if 0 (local.get $b))) ${LONG}`, "", 9 + 2 + 40],
    ["what is behind an inner loop", `(loop) ${LONG}`, "", 9 + 4 + 40],
    ["the arm taken", `(if (local.get $n) (then ${LONG}))`, "", 9 + 2 + 40],
    ["a division", "(drop (i32.div_u (i32.const 1) (i32.const 1)))", "", 9 + 23],
    ["a load", "(drop (i32.load (i32.const 0)))", "", 9 + 26],
  ])("%s", async (_, body, fields, least) => {
    expect(await turnCost(body, fields)).toBe(least);
  });

  test("a long arm not taken is not", async () => {
    expect(await turnCost(`(if (local.get $b) (then ${LONG}))`)).toBe(9 + 2);
  });
});

test("what is dear is checked before it runs, wherever it stands", async () => {
  const dear = "(drop (ref.func $f))".repeat(100);
  const fields = `(func $run (param i32 i32) (result i32)
      (if (local.get 0) (then ${dear} (i32.store (i32.const 0) (i32.const 7))))
      (i32.load (i32.const 0)))
    (func $f) (elem declare func $f)`;
  const exports = await start(fields, 40_000);
  expect(exports.run(0, 0)).toBe(0);
  expect(() => exports.run(1, 0)).toThrow(WebAssembly.RuntimeError);
  expect(exports.run(0, 0)).toBe(0);
});

test("touching calls every function, with nothing to spend", async () => {
  const many = Array.from(
    { length: 300 },
    (_, at) => `(func (param i64 f32) (result f64 i32)
    (loop (i32.store (i32.const 0) (i32.const ${at}))) (f64.const 0) (i32.const 0))`,
  );
  const exports = await start(
    `(func $run (param i32 i32) (result i32) (i32.load (i32.const 0))) ${many.join("")}
     (func $deep (param funcref) (call $deep (local.get 0)))`,
  );
  let [traps, at] = [0, 0];
  for (let done = false; !done; at += 1) {
    try {
      done = exports.touch(at) === 1;
    } catch (error) {
      expect(error).toBeInstanceOf(WebAssembly.RuntimeError);
      traps += 1;
    }
  }
  // The first two, run and the guard are without loop; the recursive body is one more.
  expect(at).toBe(2 + 1 + 300 + 1 + 1 + 1);
  expect(traps).toBeGreaterThan(300);
  expect(exports.run(0, 0)).toBe(0);
});

test("more compiling than anybody should wait for is refused", async () => {
  const branches = "(br_if 0 (local.get 0))".repeat(20_000);
  const body = `(func (param i32) (local ${"i64 ".repeat(1_900)}) (block ${branches}))`;
  await expect(start(`(func $run) ${body.repeat(2)}`)).rejects.toThrow(/locals at all branches/);
  const table = `(func $run) (table 10 funcref) (elem declare func $run)
    (elem func ${"$run ".repeat(33_000)})`;
  await expect(start(table)).rejects.toThrow(/33001 elements, limit 32768/);
});
