/**
 * Plugins that mean harm, held against the kit: each fails it cleanly, named for what it does, and
 * stops at its budget, which is counted in fuel because time depends on the machine.
 */
import { parse } from "@bytecodealliance/jco";
import { describe, expect, test } from "vitest";
import { assemblePackage, digestOf } from "../../contract/package.ts";
import {
  componentOf,
  FIXTURE_MANIFEST,
  type GuestText,
  guestComponent,
  guestText,
} from "../../isolate/guest-fixture.ts";
import { instantiate, prepareImage } from "../../isolate/index.ts";
import { checkPackage } from "./index.ts";

const VECTORS = "# A line passes\n\n```vector\n> hello\n^ same\n```\n";
const OPTIONS = { seed: 1, messages: 200, mutations: 5, grants: ["emit", "log", "match"] };
const { limits } = FIXTURE_MANIFEST;

/** One operation at 512 and its list at 16. */
function answer(count: number | string, stores: string, list = 512): string {
  return `${stores} (i32.store (i32.const 16) (i32.const ${list}))
    (i32.store (i32.const 20) ${typeof count === "number" ? `(i32.const ${count})` : count})
    (i32.const 16)`;
}

const PASS_ALL = `(i32.store8 (i32.const 512) (i32.const 1))
  (i64.store (i32.const 520) (i64.extend_i32_u (local.get $length)))`;
const HONEST = answer("(i32.ne (local.get $length) (i32.const 0))", PASS_ALL);

async function packageOf(text: GuestText, manifest = FIXTURE_MANIFEST): Promise<Uint8Array> {
  return assemblePackage(await guestComponent({ onData: HONEST, ...text }), manifest, VECTORS);
}

async function failures(file: Uint8Array): Promise<Record<string, string>> {
  const report = await checkPackage(file, OPTIONS);
  expect(report.ok).toBe(false);
  const failed = report.checks.filter(({ ok }) => !ok);
  return Object.fromEntries(
    failed.map(({ name, detail, findings = [] }) => [name, [detail, ...findings].join("\n")]),
  );
}

const HOSTILE: readonly [string, GuestText, RegExp][] = [
  ["loops for ever", { onData: "(loop $l (br $l)) unreachable" }, /fuel: budget of the call/],
  [
    "recurses without end",
    {
      fields: "(func $deep (param $n i32) (result i32) (call $deep (local.get $n)))",
      onData: "(call $deep (i32.const 1))",
    },
    /fuel|stack/,
  ],
  [
    "takes all the memory there is",
    {
      onData:
        "(loop $l (br_if $l (i32.ne (i32.const -1) (memory.grow (i32.const 1))))) unreachable",
    },
    /memory/,
  ],
  [
    "clears a large block again and again",
    {
      onData:
        "(loop $l (memory.fill (i32.const 4096) (i32.const 0) (i32.const 60000)) (br $l)) unreachable",
    },
    /fuel/,
  ],
  [
    "passes nothing",
    { onData: answer(1, `${PASS_ALL} (i64.store (i32.const 520) (i64.const 0))`) },
    /nonsense operation: pass or drop of 0/,
  ],
  [
    "asks for more than the window",
    {
      onData: answer(
        1,
        "(i32.store8 (i32.const 512) (i32.const 0)) (i64.store (i32.const 520) (i64.const 1000000000))",
      ),
    },
    /more than the window/,
  ],
  [
    "answers with no such operation",
    { onData: answer(1, "(i32.store8 (i32.const 512) (i32.const 9))") },
    /contract/,
  ],
  ["consumes nothing and asks for nothing", { onData: answer(0, "") }, /nothing consumed/],
  [
    "injects what lies outside its memory",
    {
      onData: answer(
        1,
        "(i32.store8 (i32.const 512) (i32.const 4)) (i32.store (i32.const 524) (i32.const -16)) (i32.store (i32.const 528) (i32.const 64))",
      ),
    },
    /contract/,
  ],
  ["returns a list longer than allowed", { onData: answer(65, PASS_ALL) }, /contract/],
  ["forges the length of its list", { onData: answer("(i32.const -1)", PASS_ALL) }, /contract/],
  ["returns a list outside its memory", { onData: answer(2, "", -64) }, /contract/],
  ["loops in compile", { compile: "(loop $l (br $l)) unreachable" }, /fuel/],
  ["loops in close", { close: "(loop $l (br $l))" }, /fuel/],
  ["traps", { onData: "unreachable" }, /trap/],
];

describe("a hostile plugin fails the kit", () => {
  test.each(HOSTILE)("that %s", { timeout: 60_000 }, async (_name, text, reason) => {
    const withRules = { ...FIXTURE_MANIFEST };
    const file = await packageOf(text, withRules);
    const vectors = VECTORS.replace("> hello", "stage []\n> hello");
    const component = await guestComponent({ onData: HONEST, ...text });
    const failed = await failures(
      text.compile === undefined ? file : assemblePackage(component, withRules, vectors),
    );
    expect(failed.vectors).toMatch(reason);
  });

  test("that imports what its manifest does not declare", async () => {
    const manifest = { ...FIXTURE_MANIFEST, capabilities: ["emit" as const] };
    const text = { imports: ["emit", "match"] as const };
    expect(await failures(await packageOf(text, manifest))).toEqual({
      imports: expect.stringMatching(/match: not a capability of the manifest/),
    });
  });

  test("that asks for what is not granted", async () => {
    const report = await checkPackage(await packageOf({}), { ...OPTIONS, grants: ["emit"] });
    expect(report.checks.at(-1)).toMatchObject({ name: "imports", ok: false });
    expect(report.checks.at(-1)?.detail).toMatch(/Cannot grant log, match/);
  });

  test("that has an import of its own making", async () => {
    const core = await parse(guestText({ onData: HONEST }));
    const component = await componentOf(core, (wit) =>
      wit
        .replace("interface plugin", "interface clock { now: func() -> u64; }\ninterface plugin")
        .replace("  import host;", "  import host;\n  import clock;"),
    );
    const file = assemblePackage(component, FIXTURE_MANIFEST, VECTORS);
    const report = await checkPackage(file, OPTIONS);
    // Declared and never used, it is not in the component; used, it cannot be linked.
    expect(report.checks[0]).toMatchObject({ name: "package", ok: true });
  });

  test("that keeps something of other connections", { timeout: 60_000 }, async () => {
    // Every 150th call drops what it should pass: a counter of the instance, not the connection.
    const onData = `(global.set $calls (i32.add (global.get $calls) (i32.const 1)))
      ${PASS_ALL}
      (if (i32.eqz (i32.rem_u (global.get $calls) (i32.const 90)))
        (then (i32.store8 (i32.const 512) (i32.const 2))))
      ${answer("(i32.ne (local.get $length) (i32.const 0))", "")}`;
    const failed = await failures(
      await packageOf({ fields: "(global $calls (mut i32) (i32.const 0))", onData }),
    );
    expect(failed.interleaved).toMatch(/connection \d+, A line passes/);
  });

  test("that costs more the more it is given", { timeout: 60_000 }, async () => {
    // For every byte it looks at all of them.
    const onData = `(local $n i32)
      (local.set $n (i32.add (i32.const 1)
        (i32.mul (local.get $length) (i32.shr_u (local.get $length) (i32.const 10)))))
      (loop $l (br_if $l (local.tee $n (i32.sub (local.get $n) (i32.const 1)))))
      ${HONEST}`;
    const manifest = { ...FIXTURE_MANIFEST, limits: { ...limits, fuelPerByte: 100_000 } };
    const failed = await failures(await packageOf({ onData }, manifest));
    expect(failed.fuel).toMatch(/a byte/);
  });

  test("that keeps memory with every call", { timeout: 60_000 }, async () => {
    const onData = `(global.set $calls (i32.add (global.get $calls) (i32.const 1)))
      (if (i32.eqz (i32.rem_u (global.get $calls) (i32.const 50)))
        (then (drop (memory.grow (i32.const 1)))))
      ${HONEST}`;
    const failed = await failures(
      await packageOf({ fields: "(global $calls (mut i32) (i32.const 0))", onData }),
    );
    expect(failed.growth).toMatch(/bytes more/);
  });
});

describe("every call stops at its budget, in fuel", () => {
  const BYTES = 1000;
  /** Fuel is taken before a block or a bulk instruction runs: the last one is never run. */
  const OVERSHOOT = 16_384;
  const budget = limits.fuelBase + limits.fuelPerByte * BYTES;

  test.each(HOSTILE.slice(0, 4))("that %s", async (_name, text) => {
    const component = await guestComponent({ onData: HONEST, ...text });
    const digest = digestOf(component);
    const image = prepareImage(component, { digest, manifest: FIXTURE_MANIFEST });
    const instance = instantiate(image, { emit() {}, log() {}, match: () => false });
    const data = new Uint8Array(BYTES);
    expect(() => instance.onData(1, 0, data, 0, BYTES, 0, 0, 0)).toThrow(/Cannot run plugin/);
    expect(instance.fuelUsed).toBeLessThanOrEqual(budget + OVERSHOOT);
    // Poisoned: not one instruction more.
    const used = instance.fuelUsed;
    expect(() => instance.onData(1, 0, data, 0, BYTES, 0, 0, 0)).toThrow(/Cannot run plugin/);
    expect(instance.fuelUsed).toBe(used);
  });
});

test.each([
  ["nothing", new Uint8Array(), /not a WebAssembly component/],
  ["text", Buffer.from("hello, this is no component"), /not a WebAssembly component/],
])("%s is no package", async (_name, bytes, reason) => {
  const report = await checkPackage(bytes, OPTIONS);
  expect(report).toMatchObject({ ok: false, checks: [{ name: "package", ok: false }] });
  expect(report.checks[0]?.detail).toMatch(reason);
});

test("a component without manifest, or without vectors, is named so", async () => {
  const component = await guestComponent({ onData: HONEST });
  const bare = await checkPackage(component, OPTIONS);
  expect(bare.checks[0]?.detail).toMatch(/no section imker:manifest/);
  const file = assemblePackage(component, FIXTURE_MANIFEST, "");
  const report = await checkPackage(file, OPTIONS);
  expect(report.checks[0]?.detail).toMatch(/no vectors/);
});

test("an honest plugin passes", { timeout: 60_000 }, async () => {
  const report = await checkPackage(await packageOf({}), OPTIONS);
  expect(report.checks.filter(({ ok }) => !ok)).toEqual([]);
  expect(report.ok).toBe(true);
});
