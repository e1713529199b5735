/**
 * Instructions that take long, or call into the engine, must not be had for a unit: each of these
 * loops took 0.05 to 2 s of a budget that a plain loop uses up in 0.01 s.
 */
import { describe, expect, test } from "vitest";
import { FIXTURE_MANIFEST, type GuestText, guestComponent } from "./guest-fixture.ts";
import { instantiate, prepareImage } from "./index.ts";

const LIMITS = { memoryPagesMax: 4, fuelBase: 20_000_000, fuelPerByte: 0 };
const FUNCTION_TABLE = "(table $t 100 funcref) (func $f) (elem $e func $f $f $f) (type $v (func))";

/** What is repeated for ever, what else it needs, and the units a turn must cost at least. */
const SLOW: readonly [string, string, number, GuestText?][] = [
  ["i32.div_s", "(drop (i32.div_s (i32.const 7) (i32.const 3)))", 20],
  ["i64.rem_u", "(drop (i64.rem_u (i64.const 7) (i64.const 3)))", 20],
  ["f64.div", "(drop (f64.div (f64.const 7) (f64.const 3)))", 16],
  ["f32.sqrt", "(drop (f32.sqrt (f32.const 7)))", 24],
  ["i64.trunc_sat_f64_u", "(drop (i64.trunc_sat_f64_u (f64.const 7)))", 16],
  ["call_indirect", "(call_indirect (type $v) (i32.const 0))", 18],
  ["ref.func", "(drop (ref.func $f))", 60],
  ["table.set", "(table.set $t (i32.const 1) (ref.null func))", 40],
  ["table.fill", "(table.fill $t (i32.const 0) (ref.null func) (i32.const 3))", 96 + 3 * 64],
  ["table.copy", "(table.copy $t $t (i32.const 0) (i32.const 0) (i32.const 3))", 96 + 3 * 64],
  ["table.init", "(table.init $t $e (i32.const 0) (i32.const 0) (i32.const 3))", 160 + 3 * 64],
  ["memory.grow of nothing", "(drop (memory.grow (i32.const 0)))", 250],
  ["memory.fill of nothing", "(memory.fill (i32.const 0) (i32.const 0) (i32.const 0))", 12],
  [
    "match",
    "(drop (call $match (i32.const 0) (i32.const 0) (i32.const 60000)))",
    60_000 * 16,
    { imports: ["match"] },
  ],
];

describe("a turn costs what it takes", () => {
  test.each(SLOW)("%s", async (_name, instruction, units, text = {}) => {
    let turns = 0;
    const component = await guestComponent({
      fields: `${FUNCTION_TABLE} (elem (table $t) (i32.const 0) func $f)`,
      onData: `(loop $l ${instruction}
        (i32.store (i32.const 4000) (i32.add (i32.load (i32.const 4000)) (i32.const 1)))
        (br_if $l (i32.lt_u (i32.load (i32.const 4000)) (i32.const 10000)))) (i32.const 16)`,
      ...text,
    });
    const manifest = { ...FIXTURE_MANIFEST, limits: LIMITS };
    const image = prepareImage(component, { digest: "sha256:0", manifest });
    const host = { emit() {}, log() {}, match: () => ++turns < 0 };
    const instance = instantiate(image, host);
    const run = (): void => instance.onData(1, 0, new Uint8Array(1), 0, 1, 0, 0, 1);
    if (units > 2_000) {
      expect(run).toThrow(/fuel/);
      expect(turns).toBeLessThanOrEqual(LIMITS.fuelBase / units);
      return;
    }
    run();
    expect(instance.fuelUsed).toBeGreaterThan(10_000 * units);
  });
});
