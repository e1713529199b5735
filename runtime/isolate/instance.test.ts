/** The lifter against hand-made guests: what comes out right, and what becomes which fault. */
import { describe, expect, test } from "vitest";
import type { GuestText } from "./guest-fixture.ts";
import { FIXTURE_MANIFEST, guestComponent } from "./guest-fixture.ts";
import type { PluginInstance, RecordView } from "./index.ts";
import {
  END,
  instantiate,
  OPERATION,
  PluginFault,
  PluginLoadError,
  PluginRuleError,
  prepareImage,
} from "./index.ts";

interface Seen {
  records: { kind: number; exchange: number; stage: number; fields: (string | number)[][] }[];
  logs: [number, string][];
  matches: [number, string][];
}

async function guest(
  text: GuestText,
  limits: Partial<(typeof FIXTURE_MANIFEST)["limits"]> = {},
): Promise<{ instance: PluginInstance; seen: Seen }> {
  const manifest = { ...FIXTURE_MANIFEST, limits: { ...FIXTURE_MANIFEST.limits, ...limits } };
  const image = prepareImage(await guestComponent(text), { digest: "sha256:0", manifest });
  const seen: Seen = { records: [], logs: [], matches: [] };
  const decoder = new TextDecoder();
  const host = {
    emit(view: RecordView) {
      const fields: (string | number)[][] = [];
      for (let index = 0; index < view.fieldCount; index += 1) {
        const start = view.start[index] ?? 0;
        const value = view.isNumber[index]
          ? (view.number[index] ?? 0)
          : decoder.decode(view.memory.slice(start, start + (view.length[index] ?? 0)));
        fields.push([view.key[index] ?? 0, value]);
      }
      const { kind, exchange, stage } = view;
      seen.records.push({ kind, exchange, stage, fields });
    },
    log: (level: number, message: string) => void seen.logs.push([level, message]),
    match(handle: number, bytes: Uint8Array) {
      seen.matches.push([handle, decoder.decode(bytes)]);
      return bytes.length === 3;
    },
  };
  return { instance: instantiate(image, host), seen };
}

function send(instance: PluginInstance, text: string, connection = 7): void {
  const data = new TextEncoder().encode(`xx${text}`);
  instance.onData(connection, 0, data, 2, data.length - 2, END.open, 0x17c1_8765, 0x8000_0001);
}

/** Stores operations of 24 bytes from 512 on and returns their list. */
function operations(count: number, stores: string): string {
  return `${stores} (i32.store (i32.const 16) (i32.const 512))
    (i32.store (i32.const 20) (i32.const ${count})) (i32.const 16)`;
}

function faultOf(run: () => unknown): PluginFault {
  try {
    run();
  } catch (error) {
    if (error instanceof PluginFault) return error;
    throw error;
  }
  throw new Error("no fault");
}

describe("onData()", () => {
  test("lowers its arguments and lifts every operation", async () => {
    const { instance } = await guest({
      onData: operations(
        6,
        `(i32.store8 (i32.const 512) (i32.const 1))
         (i64.store (i32.const 520) (i64.add (i64.extend_i32_u (local.get $length)) (i64.shr_u (local.get $now) (i64.const 16))))
         (i32.store8 (i32.const 536) (i32.const 2))
         (i64.store (i32.const 544) (i64.const -1))
         (i32.store8 (i32.const 560) (i32.const 4))
         (i32.store8 (i32.const 568) (i32.const 1))
         (i32.store (i32.const 572) (local.get $data)) (i32.store (i32.const 576) (i32.const 4))
         (i32.store8 (i32.const 584) (i32.const 3))
         (i32.store8 (i32.const 608) (i32.const 5)) (i32.store8 (i32.const 616) (i32.const 2))
         (i32.store8 (i32.const 632) (i32.const 0))
         (i64.store (i32.const 640) (i64.extend_i32_u (i32.load8_u (local.get $data))))`,
      ),
    });
    send(instance, "GET /");
    const { operations: ops } = instance;
    expect(ops.count).toBe(6);
    expect([...ops.kind.slice(0, 6)]).toEqual([
      OPERATION.pass,
      OPERATION.drop,
      OPERATION.inject,
      OPERATION.passRest,
      OPERATION.close,
      OPERATION.more,
    ]);
    expect(ops.n[0]).toBe(0x17c1_8765 * 2 ** 16 + 0x8000 + 5);
    expect(ops.n[1]).toBe(Number.MAX_SAFE_INTEGER);
    const start = ops.start[2] ?? 0;
    expect(new TextDecoder().decode(ops.memory.slice(start, start + (ops.length[2] ?? 0)))).toBe(
      "GET ",
    );
    expect(ops.direction[2]).toBe(1);
    expect(ops.n[4]).toBe(2);
    expect(ops.n[5]).toBe("G".charCodeAt(0));
  });

  test("emits spans, numbers and bytes, logs and matches", async () => {
    const { instance, seen } = await guest({
      imports: ["emit", "log", "match"],
      fields: `(data (i32.const 64) "bytes!")`,
      onData: `
        (i32.store16 (i32.const 1024) (i32.const 1)) (i32.store8 (i32.const 1032) (i32.const 0))
        (i32.store (i32.const 1040) (i32.const 4)) (i32.store (i32.const 1044) (i32.const 5))
        (i32.store16 (i32.const 1048) (i32.const 2)) (i32.store8 (i32.const 1056) (i32.const 1))
        (i64.store (i32.const 1064) (i64.const 4294967298))
        (i32.store16 (i32.const 1072) (i32.const 0)) (i32.store8 (i32.const 1080) (i32.const 2))
        (i32.store (i32.const 1088) (i32.const 64)) (i32.store (i32.const 1092) (i32.const 6))
        (call $emit (local.get $connection) (i32.const 0) (i32.const 1) (i32.const 3)
          (i32.const 9) (i32.const 1024) (i32.const 3))
        (call $log (i32.const 2) (i32.const 64) (i32.const 5))
        (if (call $match (i32.const 12) (local.get $data) (i32.const 3))
          (then (call $log (i32.const 0) (i32.const 64) (i32.const 0))))
        ${operations(0, "")}`,
    });
    send(instance, "GET /path");
    const fields = [
      [1, "/path"],
      [2, 4294967298],
      [0, "bytes!"],
    ];
    expect(seen.records).toEqual([{ kind: 0, exchange: 9, stage: 3, fields }]);
    expect(seen.logs).toEqual([
      [2, "bytes"],
      [0, ""],
    ]);
    expect(seen.matches).toEqual([[12, "GET"]]);
  });

  test("remakes its views when memory grows", async () => {
    const { instance } = await guest({
      onData: `(drop (memory.grow (i32.const 1))) ${operations(
        1,
        `(i32.store8 (i32.const 512) (i32.const 1))
         (i64.store (i32.const 520) (i64.extend_i32_u (memory.size)))`,
      )}`,
    });
    for (let pages = 2; pages < 6; pages += 1) {
      send(instance, "a");
      expect(instance.operations.n[0]).toBe(pages);
      expect(instance.memoryBytes).toBe(pages * 65536);
      expect(instance.operations.memory.length).toBe(pages * 65536);
    }
  });
});

describe("control calls", () => {
  test("compile() hands over rules and returns the bytes", async () => {
    // Returns key bytes of the first field: result tag 0, then its pointer and length.
    const { instance } = await guest({
      compile: `(local $field i32) (local.set $field (i32.load (local.get $rules)))
        (if (i32.ne (i32.load8_u offset=16 (local.get $field)) (i32.const 1)) (then unreachable))
        (if (i32.ne (i32.load offset=24 (local.get $field)) (i32.const 2)) (then unreachable))
        (i32.store8 (i32.const 16) (i32.const 0))
        (i32.store (i32.const 20) (i32.load (local.get $field)))
        (i32.store (i32.const 24) (i32.load offset=4 (local.get $field))) (i32.const 16)`,
    });
    const pattern = { kind: "automaton", table: new Uint8Array([1, 2]) } as const;
    const compiled = instance.compile([[{ key: "pfad-ä", value: "/", pattern }]]);
    expect(new TextDecoder().decode(compiled)).toBe("pfad-ä");
  });

  test("errors a plugin returns leave the instance well", async () => {
    const { instance } = await guest({
      fields: `(data (i32.const 64) "pathbad")`,
      compile: `(i32.store8 (i32.const 16) (i32.const 1)) (i32.store (i32.const 20) (i32.const 3))
        (i32.store (i32.const 24) (i32.const 64)) (i32.store (i32.const 28) (i32.const 4))
        (i32.store (i32.const 32) (i32.const 68)) (i32.store (i32.const 36) (i32.const 3))
        (i32.const 16)`,
      load: `(i32.store8 (i32.const 16) (i32.const 1)) (i32.store (i32.const 20) (i32.const 68))
        (i32.store (i32.const 24) (i32.const 3)) (i32.const 16)`,
    });
    expect(() => instance.compile([])).toThrow(new PluginRuleError(3, "path", "bad"));
    expect(() => instance.load(new Uint8Array(3))).toThrow(new PluginLoadError("bad"));
    instance.close(1);
    instance.unload(1);
  });

  test("injections outlive the post-return that gives their memory back", async () => {
    const { instance } = await guest({
      fields: `(data (i32.const 64) "onetwo")`,
      onData: `(i32.store (i32.const 16) (i32.const 256)) (i32.store (i32.const 20) (i32.const 3))
        (i32.store8 (i32.const 256) (i32.const 4)) (i32.store8 (i32.const 264) (i32.const 1))
        (i32.store (i32.const 268) (i32.const 67)) (i32.store (i32.const 272) (i32.const 3))
        (i32.store8 (i32.const 280) (i32.const 1)) (i64.store (i32.const 288) (i64.const 5))
        (i32.store8 (i32.const 304) (i32.const 4)) (i32.store8 (i32.const 312) (i32.const 1))
        (i32.store (i32.const 316) (i32.const 64)) (i32.store (i32.const 320) (i32.const 3))
        (i32.const 16)`,
      postOnData: "(memory.fill (i32.const 64) (i32.const 0) (i32.const 6))",
    });
    instance.onData(1, 0, new Uint8Array(5), 0, 5, 0, 0, 0);
    const { kind, n, start, length, memory } = instance.operations;
    const text = (index: number) => {
      const from = start[index] ?? 0;
      return Buffer.from(memory.slice(from, from + (length[index] ?? 0))).toString();
    };
    expect([...kind.subarray(0, 3)]).toEqual([4, 1, 4]);
    expect([text(0), n[1], text(2)]).toEqual(["two", 5, "one"]);
  });

  test("open() passes the facts", async () => {
    const { instance } = await guest({
      open: `(i32.add (i32.add (local.get $sourceIdentity) (local.get $destinationPort))
        (i32.add (i32.load8_u offset=15 (local.get $destination))
          (i32.load offset=12 (local.get $stages))))`,
    });
    const destinationAddress = new Uint8Array(16);
    destinationAddress[15] = 9;
    const handle = instance.open({
      sourceIdentity: 100_000,
      destinationIdentity: 2,
      sourceAddress: new Uint8Array(16),
      destinationAddress,
      sourcePort: 40_000,
      destinationPort: 80,
      stages: [
        { point: 0, ruleSet: 1 },
        { point: 1, ruleSet: 1_000_000 },
      ],
    });
    expect(handle).toBe(100_000 + 80 + 9 + 1_000_000);
    instance.setStages(handle, [{ point: 1, ruleSet: 2 }]);
  });
});

const LOOP = "(loop $again (br $again)) unreachable";

describe("faults", () => {
  const cases: [string, GuestText, string][] = [
    ["unreachable", { onData: "unreachable" }, "trap"],
    ["division by zero", { onData: "(i32.div_u (i32.const 1) (i32.const 0))" }, "trap"],
    ["load out of bounds", { onData: "(i32.load (i32.const -4))" }, "trap"],
    ["infinite loop", { onData: LOOP }, "fuel"],
    ["infinite loop in realloc", { realloc: LOOP }, "fuel"],
    ["infinite loop in post-return", { postOnData: LOOP }, "fuel"],
    [
      "i64 loop",
      {
        onData: `(local $n i64) (loop $again
          (br_if $again (i64.ne (local.tee $n (i64.add (local.get $n) (i64.const 1))) (i64.const 0))))
          (i32.const 0)`,
      },
      "fuel",
    ],
    [
      "fill of all memory, again and again",
      {
        memory: "16",
        onData: `(loop $again (memory.fill (i32.const 0) (i32.const 0) (i32.const 1048576))
          (br $again)) unreachable`,
      },
      "fuel",
    ],
    [
      "mutual recursion",
      {
        fields: `(func $a (param i32) (result i32) (call $b (local.get 0)))
          (func $b (param i32) (result i32) (i32.add (call $a (local.get 0)) (i32.const 1)))`,
        onData: "(call $a (i32.const 0))",
      },
      "stack",
    ],
    [
      "memory bomb",
      {
        onData: `(loop $again (br_if $again (i32.ne (memory.grow (i32.const 1)) (i32.const -1))))
          unreachable`,
      },
      "memory",
    ],
    ["result pointer outside", { onData: "(i32.const 65532)" }, "contract"],
    ["result pointer odd", { onData: "(i32.const 17)" }, "contract"],
    ["result pointer huge", { onData: "(i32.const -8)" }, "contract"],
    ["65 operations", { onData: operations(65, "") }, "contract"],
    ["list length -1", { onData: operations(-1, "") }, "contract"],
    [
      "list outside",
      { memory: "1", onData: operations(1, "").replaceAll("512", "65520") },
      "contract",
    ],
    ["list unaligned", { onData: operations(1, "").replaceAll("512", "516") }, "contract"],
    [
      "unknown operation",
      { onData: operations(1, "(i32.store8 (i32.const 512) (i32.const 6))") },
      "contract",
    ],
    [
      "unknown close reason",
      {
        onData: operations(
          1,
          "(i32.store8 (i32.const 512) (i32.const 5)) (i32.store8 (i32.const 520) (i32.const 3))",
        ),
      },
      "contract",
    ],
    [
      "injection of all memory and one",
      {
        onData: operations(
          1,
          `(i32.store8 (i32.const 512) (i32.const 4)) (i32.store (i32.const 524) (i32.const 1))
           (i32.store (i32.const 528) (i32.const 65536))`,
        ),
      },
      "contract",
    ],
    ["realloc outside", { realloc: "(i32.const 65534)" }, "contract"],
    ["realloc of -1", { realloc: "(i32.const -1)" }, "contract"],
    ["deep recursion with large frames", deepRecursion(), "stack"],
  ];
  test.each(cases)("%s is a fault of its kind, and stays one", async (_, text, kind) => {
    const { instance } = await guest(text, { fuelBase: 50_000_000, memoryPagesMax: 16 });
    const fault = faultOf(() => send(instance, "abcdef"));
    expect(fault.kind).toBe(kind);
    expect(faultOf(() => send(instance, "abcdef"))).toBe(fault);
    expect(faultOf(() => instance.close(1))).toBe(fault);
    expect(instance.operations.count).toBe(0);
  });

  const field = (stores: string, count = 1, kind = 0, connection = "(local.get $connection)") => ({
    imports: ["emit"] as const,
    onData: `${stores} (call $emit ${connection} (i32.const ${kind}) (i32.const 0) (i32.const 0)
      (i32.const 0) (i32.const 1024) (i32.const ${count})) ${operations(0, "")}`,
  });
  test.each<[string, GuestText]>([
    ["span behind the data", field("(i32.store (i32.const 1044) (i32.const 7))")],
    ["span offset -1", field("(i32.store (i32.const 1040) (i32.const -1))")],
    ["key the manifest does not name", field("(i32.store16 (i32.const 1024) (i32.const 3))")],
    ["unknown value", field("(i32.store8 (i32.const 1032) (i32.const 3))")],
    ["unknown kind", field("", 1, 2)],
    ["257 fields", field("", 257)],
    ["2^32-1 fields", field("", -1)],
    ["another connection", field("", 0, 0, "(i32.const 8)")],
    [
      "65 records",
      {
        imports: ["emit"],
        onData: `(local $n i32) (loop $again
          (call $emit (local.get $connection) (i32.const 0) (i32.const 0) (i32.const 0)
            (i32.const 0) (i32.const 1024) (i32.const 0))
          (br_if $again (i32.lt_u (local.tee $n (i32.add (local.get $n) (i32.const 1)))
            (i32.const 65)))) ${operations(0, "")}`,
      },
    ],
    [
      "log outside",
      {
        imports: ["log"],
        onData: "(call $log (i32.const 0) (i32.const -1) (i32.const 2)) (i32.const 0)",
      },
    ],
    [
      "match outside",
      { imports: ["match"], onData: "(call $match (i32.const 0) (i32.const 65535) (i32.const 2))" },
    ],
  ])("a host call with %s is a contract fault", async (_, text) => {
    const { instance } = await guest(text, { fuelBase: 1_000_000 });
    expect(faultOf(() => send(instance, "abcdef")).kind).toBe("contract");
  });

  test("a host function called at the deepest allowed recursion has stack to run on", async () => {
    const text: GuestText = {
      imports: ["log"],
      fields: `(func $deep (param $n i32)
        (if (i32.eq (local.get $n) (i32.const DEPTH))
          (then (call $log (i32.const 1) (i32.const 0) (i32.const 1))))
        (call $deep (i32.add (local.get $n) (i32.const 1))))`,
      onData: "(call $deep (i32.const 0)) unreachable",
    };
    // A frame and its guard take 96 + 8 * (2 + 3) + 96 + 8 bytes of 393,216.
    const fields = text.fields?.replace("DEPTH", "1637") ?? "";
    const component = await guestComponent({ ...text, fields });
    const image = prepareImage(component, { digest: "sha256:0", manifest: FIXTURE_MANIFEST });
    let reached = 0;
    const recurse = (depth: number): number => (depth === 0 ? 0 : 1 + recurse(depth - 1));
    const instance = instantiate(image, {
      emit() {},
      log() {
        reached = recurse(2_000);
      },
      match: () => false,
    });
    expect(faultOf(() => send(instance, "a")).kind).toBe("stack");
    expect(reached).toBe(2_000);
  });

  test("emit outside on-data is a contract fault", async () => {
    const { instance } = await guest({
      imports: ["emit"],
      close: `(call $emit (local.get $connection) (i32.const 0) (i32.const 0) (i32.const 0)
        (i32.const 0) (i32.const 1024) (i32.const 0))`,
    });
    expect(faultOf(() => instance.close(7)).kind).toBe("contract");
  });
});

function deepRecursion(): GuestText {
  const locals = Array.from({ length: 500 }, () => "i64").join(" ");
  return {
    fields: `(func $deep (param $n i32) (result i64) (local ${locals})
      (local.set 5 (call $deep (i32.add (local.get $n) (i32.const 1))))
      (i64.add (local.get 5) (local.get 400)))`,
    onData: "(i32.wrap_i64 (call $deep (i32.const 0)))",
  };
}
