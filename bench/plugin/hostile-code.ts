/**
 * Plugins that mean harm, each repeating what takes the processor, the kernel or the engine
 * longest for its fuel. The prices in runtime/isolate/cost.ts are measured with these: whoever
 * finds a worse one adds it here and raises its price.
 */
import type { GuestText } from "../../runtime/isolate/guest-fixture.ts";

export interface HostileCode {
  name: string;
  text: GuestText;
  /** Calls it returns from at once, to prepare for the one that never ends. */
  calls?: number;
}

const BYTES_PER_PAGE = 65_536;

function repeat(count: number, part: string | ((at: number) => string)): string {
  return Array.from({ length: count }, (_, at) =>
    typeof part === "string" ? part : part(at),
  ).join("\n");
}

/** A guest whose `on-data` does `body` for ever. */
function forever(name: string, body: string, more: GuestText & { locals?: string } = {}) {
  const { locals = "", ...text } = more;
  const onData = `${locals} (loop $again ${body} (br $again)) unreachable`;
  return { name, text: { ...text, onData } };
}

/** Numbers that no branch predictor follows, in $x. */
const NEXT_RANDOM = `(local.set $x
  (i32.add (i32.mul (local.get $x) (i32.const 1664525)) (i32.const 1013904223)))`;
const X = "(local $x i32)";
const FUNCTIONS = "(func $f) (elem declare func $f) (table $t 16384 funcref)";

/** What would be compiled only when it is called: many functions, large ones, and wide ones. */
const COLD = {
  many: repeat(3_000, (at) => `(func $f${at} (loop (drop (i32.const ${at}))))`),
  large: repeat(
    6,
    (at) => `(func $f${at} (param i32)
      (if (local.get 0) (then ${repeat(15_000, "(local.set 0 (i32.const 1))")})))`,
  ),
  wide: repeat(
    2,
    (at) => `(func $f${at} (param i32) (local ${"i64 ".repeat(1_000)})
      (if (local.get 0) (then (block ${repeat(10_000, "(br_if 0 (local.get 0))")}))))`,
  ),
};

/** For instances of at most so many pages. */
export function hostileCode(pagesMax: number): HostileCode[] {
  const lastByte = pagesMax * BYTES_PER_PAGE - 1;
  return [
    forever("infinite loop", ""),
    {
      name: "deep recursion",
      text: {
        fields: `(func $deep (param $n i32) (result i32)
          (i32.add (call $deep (i32.add (local.get $n) (i32.const 1))) (i32.const 1)))`,
        onData: "(call $deep (i32.const 0))",
      },
    },
    ...ofMemory(lastByte),
    chase(lastByte),
    ...ofTheProcessor(),
    ...ofTheEngine(),
    forever("calls of match", "(drop (call $match (i32.const 0) (i32.const 0) (i32.const 0)))", {
      imports: ["match"],
    }),
    forever("calls of log", "(call $log (i32.const 0) (i32.const 0) (i32.const 0))", {
      imports: ["log"],
    }),
    forever(
      "many functions",
      repeat(3_000, (at) => `(call $f${at})`),
      { fields: COLD.many },
    ),
    forever(
      "large functions",
      repeat(6, (at) => `(call $f${at} (i32.const 0))`),
      {
        fields: COLD.large,
      },
    ),
    forever(
      "wide functions",
      repeat(2, (at) => `(call $f${at} (i32.const 0))`),
      {
        fields: COLD.wide,
      },
    ),
  ];
}

function ofMemory(lastByte: number): HostileCode[] {
  const more = { memory: "64", locals: "(local $at i32)" };
  return [
    {
      // Takes a page and writes to all of it, until there is none; then to all there are, for ever.
      name: "memory bomb",
      text: {
        onData: `(local $page i32)
          (loop $grow
            (local.set $page (memory.grow (i32.const 1)))
            (if (i32.ne (local.get $page) (i32.const -1)) (then
              (memory.fill (i32.shl (local.get $page) (i32.const 16)) (i32.const 1)
                (i32.const 65536))
              (br $grow))))
          (loop $again
            (memory.fill (i32.const 0) (i32.const 1) (i32.shl (memory.size) (i32.const 16)))
            (br $again))
          unreachable`,
      },
    },
    forever(
      "memory touched",
      `(if (i32.ge_u (local.get $at) (i32.shl (memory.size) (i32.const 16))) (then
          (drop (memory.grow (i32.const 4)))))
       (i32.store8 (local.get $at) (i32.const 1))
       (local.set $at (i32.and (i32.add (local.get $at) (i32.const 4096))
         (i32.const ${lastByte})))`,
      more,
    ),
    forever("growing by nothing", "(drop (memory.grow (i32.const 0)))"),
    forever("filling nothing", "(memory.fill (i32.const 0) (i32.const 1) (i32.const 0))"),
    forever("copying all", "(memory.copy (i32.const 0) (i32.const 1) (i32.const 4194303))", more),
    forever(
      "stores across pages",
      repeat(100, (at) => `(i64.store (i32.const ${4096 * at + 4092}) (i64.const 1))`),
      more,
    ),
    forever(
      "loads across pages",
      repeat(100, (at) => `(local.set $x (i64.load (i32.const ${4096 * at + 4092})))`),
      { ...more, locals: "(local $x i64)" },
    ),
    forever(
      "loads of what is being stored",
      repeat(
        50,
        `(i32.store8 (i32.const 4099) (i32.wrap_i64 (local.get $x)))
         (local.set $x (i64.load (i32.const 4096)))`,
      ),
      { locals: "(local $x i64)" },
    ),
  ];
}

/**
 * Fills its memory with a chain through all of it, in steps no prefetcher follows, over several
 * calls, and then walks it: every load waits for the one before, and misses the caches.
 */
function chase(lastByte: number): HostileCode {
  const filled = 262_144;
  const size = "(i32.shl (memory.size) (i32.const 16))";
  return {
    name: "memory chased",
    calls: Math.ceil(lastByte / filled) + lastByte / BYTES_PER_PAGE / 8,
    text: {
      memory: "64",
      fields: `(global $full (mut i32) (i32.const 0)) (global $at (mut i32) (i32.const ${filled}))`,
      onData: `(local $x i32) (local $last i32)
        (if (i32.eqz (global.get $full)) (then
          (global.set $full (i32.lt_s (memory.grow (i32.const 8)) (i32.const 0)))
          (return (i32.const 16))))
        (if (i32.lt_u (global.get $at) ${size}) (then
          (local.set $x (global.get $at))
          (local.set $last (i32.add (local.get $x) (i32.const ${filled})))
          (loop $next
            (i32.store (local.get $x) (i32.or (i32.const ${filled}) (i32.and
              (i32.add (local.get $x) (i32.const ${64 * 7919 * 13}))
              (i32.sub ${size} (i32.const 64)))))
            (local.set $x (i32.add (local.get $x) (i32.const 64)))
            (br_if $next (i32.lt_u (local.get $x) (local.get $last))))
          (global.set $at (local.get $x))
          (return (i32.const 16))))
        (local.set $x (i32.const ${filled}))
        (loop $again ${repeat(200, "(local.set $x (i32.load (local.get $x)))")} (br $again))
        unreachable`,
    },
  };
}

function ofTheProcessor(): HostileCode[] {
  const targets = repeat(256, (at) => `${at} `);
  return [
    forever(
      "jumps nobody foresees",
      `${NEXT_RANDOM} ${"(block ".repeat(256)}
       (br_table ${targets} (i32.shr_u (local.get $x) (i32.const 24))) ${")".repeat(256)}`,
      { locals: X },
    ),
    forever(
      "calls nobody foresees",
      `${NEXT_RANDOM} (call_indirect (type $v) (i32.shr_u (local.get $x) (i32.const 24)))`,
      {
        fields: `(type $v (func)) ${repeat(256, (at) => `(func $g${at})`)}
          (table funcref (elem ${repeat(256, (at) => `$g${at} `)}))`,
        locals: X,
      },
    ),
    forever("calls with wide frames", repeat(10, "(call $g)"), {
      fields: `(func $g (local ${"i64 ".repeat(1_900)}) (loop))`,
    }),
    forever(
      "divisions",
      repeat(
        100,
        "(local.set $x (i64.rem_u (i64.const -1) (i64.or (local.get $x) (i64.const 3))))",
      ),
      { locals: "(local $x i64)" },
    ),
    forever("square roots", repeat(100, "(local.set $x (f64.sqrt (local.get $x)))"), {
      locals: "(local $x f64) (local.set $x (f64.const 1.23456e300))",
    }),
    forever(
      "denormal numbers",
      repeat(100, "(local.set $x (f64.mul (local.get $x) (f64.const 0.99999)))"),
      { locals: "(local $x f64) (local.set $x (f64.const 1e-310))" },
    ),
  ];
}

function ofTheEngine(): HostileCode[] {
  const table = { fields: FUNCTIONS };
  const most = "(i32.const 16384)";
  const zero = "(i32.const 0)";
  return [
    forever("tables filled", `(table.fill $t ${zero} (ref.func $f) ${most})`, table),
    forever("tables copied", `(table.copy $t $t ${zero} (i32.const 1) (i32.const 16383))`, table),
    forever("tables initialised", `(table.init $t $e ${zero} ${zero} (i32.const 10000))`, {
      fields: `${FUNCTIONS} (elem $e func ${"$f ".repeat(10_000)})`,
    }),
    forever("tables grown", "(drop (table.grow $t (ref.null func) (i32.const 1)))", {
      fields: "(table $t 1 funcref)",
    }),
    forever("table elements set", `(table.set $t ${zero} (ref.func $f))`, table),
    forever(
      "table elements got",
      `(drop (table.get $t (i32.and (local.get $x) (i32.const 8191))))
       (local.set $x (i32.add (local.get $x) (i32.const 1)))`,
      {
        fields: `(func $f) (table $t 8192 funcref) (elem (i32.const 0) ${"$f ".repeat(8_192)})`,
        locals: X,
      },
    ),
    forever(
      "references made",
      repeat(3_000, (at) => `(drop (ref.func $f${at}))`),
      { fields: `${COLD.many} (elem declare func ${repeat(3_000, (at) => `$f${at} `)})` },
    ),
    forever("memory initialised with nothing", `(memory.init $d ${zero} ${zero} ${zero})`, {
      fields: '(data $d "abc")',
    }),
    forever("many segments", "", {
      memory: "64",
      fields: repeat(9_900, (at) => `(data (i32.const ${(at % 1_000) * 4_096}) "x")`),
    }),
  ];
}
