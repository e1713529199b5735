/** The SDK's parts, natively; the plugins' vectors run the same code in the sandbox. */
import { describe, expect, test } from "vitest";
import { compilePattern, createMatcher } from "../regex/index.ts";
import { seededRandom } from "../testkit/mutation.ts";
import { decimal, equalIgnoringCase, findCrlf, hexadecimal, NOT_A_NUMBER } from "./ascii.ts";
import { automatonMatches, automatonValid } from "./automaton.ts";
import { CallBuffer } from "./call-buffer.ts";
import { FRAME_INVALID, LengthPrefix } from "./frame.ts";
import { Memory } from "./memory.ts";
import { OPERATIONS_MAX, Output } from "./output.ts";
import { Reader } from "./reader.ts";
import { patternShape, SHAPE_EQUAL, SHAPE_OTHER, SHAPE_PREFIX } from "./rule-pattern.ts";

function put(memory: Memory, bytes: Uint8Array | string): number {
  const data = typeof bytes === "string" ? Buffer.from(bytes, "latin1") : bytes;
  const at = memory.allocate(data.length);
  memory.bytes.set(data, at);
  return at;
}

describe("automaton", () => {
  const PATTERNS = ["", "a", "a*b", "(ab|cd)+", "/public/.*", "[^/]+/[0-9]{2,3}", "(?i)get|head"];

  test.each(PATTERNS)("%s accepts what the host's matcher accepts", (source) => {
    const compiled = compilePattern(source);
    if (compiled.kind !== "automaton") throw new Error("no automaton");
    const memory = new Memory();
    const table = put(memory, compiled.table);
    expect(automatonValid(memory, table, compiled.table.length)).toBe(true);
    const matches = createMatcher(source);
    const random = seededRandom(3);
    const letters = "abcd/0129GETheadpulic";
    for (let run = 0; run < 500; run++) {
      let text = random() < 0.3 ? "/public/" : "";
      for (let left = Math.floor(random() * 6); left > 0; left--) {
        text += letters[Math.floor(random() * letters.length)];
      }
      const accepted = automatonMatches(memory, table, put(memory, text), text.length);
      expect(accepted, text).toBe(matches(Buffer.from(text)));
    }
  });

  test("automatonValid() refuses every table with a broken header, class or state", () => {
    const compiled = compilePattern("ab*");
    if (compiled.kind !== "automaton") throw new Error("no automaton");
    const broken = (at: number, byte: number, length = compiled.table.length) => {
      const memory = new Memory();
      const table = put(memory, compiled.table);
      memory.setU8(table + at, byte);
      return automatonValid(memory, table, length);
    };
    expect(broken(0, 73)).toBe(true);
    for (const [at, byte] of [
      [0, 0],
      [4, 2],
      [6, 255],
      [7, 255],
      [8, 255],
      [11, 255],
      [12, 255],
      [compiled.table.length - 1, 255],
    ] as const) {
      expect(broken(at, byte), `byte ${at}`).toBe(false);
    }
    expect(broken(0, 73, compiled.table.length - 2)).toBe(false);
    expect(broken(0, 73, 10)).toBe(false);
  });
});

describe("patternShape()", () => {
  test.each([
    ["GET", SHAPE_EQUAL, "GET"],
    ["^/a/b$", SHAPE_EQUAL, "/a/b"],
    ["/a\\.html", SHAPE_EQUAL, "/a.html"],
    ["/public/.*", SHAPE_PREFIX, "/public/"],
    [".*", SHAPE_PREFIX, ""],
    ["^/v1\\..*$", SHAPE_PREFIX, "/v1."],
    ["", SHAPE_EQUAL, ""],
    ["a.b", SHAPE_OTHER, ""],
    ["a*", SHAPE_OTHER, ""],
    ["a\\.*", SHAPE_OTHER, ""],
    ["a\\\\.*", SHAPE_OTHER, ""],
    ["a\\$", SHAPE_EQUAL, "a$"],
    ["\\d", SHAPE_OTHER, ""],
    ["\\Qa\\E", SHAPE_OTHER, ""],
    ["a|b", SHAPE_OTHER, ""],
    ["(?i)a", SHAPE_OTHER, ""],
    ["ä", SHAPE_OTHER, ""],
    ["a.*b.*", SHAPE_OTHER, ""],
    ["a+.*", SHAPE_OTHER, ""],
  ])("%j", (source, shape, text) => {
    const found = patternShape(source);
    expect(found.shape).toBe(shape);
    if (shape !== SHAPE_OTHER) expect(found.text).toBe(text);
  });

  test("agrees with the matcher on printable ASCII", () => {
    const matchesShape = (source: string, value: string) => {
      const { shape, text } = patternShape(source);
      if (shape === SHAPE_OTHER) return undefined;
      return shape === SHAPE_EQUAL ? value === text : value.startsWith(text);
    };
    const random = seededRandom(5);
    const letters = "a./*^$\\b-|";
    for (let run = 0; run < 3000; run++) {
      const word = () =>
        Array.from({ length: Math.floor(random() * 6) }, () => letters[Math.floor(random() * 10)])
          .join("")
          .concat(random() < 0.3 ? ".*" : "");
      const [source, value] = [word(), word()];
      const shaped = matchesShape(source, value);
      if (shaped === undefined) continue;
      expect(shaped, `${source} on ${value}`).toBe(createMatcher(source)(Buffer.from(value)));
    }
  });
});

describe("Reader", () => {
  test("reads both byte orders and sticks at the first read beyond the end", () => {
    const memory = new Memory();
    const at = put(memory, new Uint8Array([1, 0, 2, 3, 0, 1, 2, 3, 255, 255, 255, 254, 9]));
    const reader = new Reader(memory, at, at + 13);
    expect([reader.u8(), reader.u16(), reader.u16le(), reader.u24(), reader.i32()]).toEqual([
      1, 2, 3, 0x010203, -2,
    ]);
    expect(reader.ok).toBe(true);
    expect(reader.u16()).toBe(0);
    expect(reader.ok).toBe(false);
    expect(reader.u8()).toBe(0);
    expect(reader.take(-1)).toBe(-1);
  });
});

describe("LengthPrefix", () => {
  const memory = new Memory();
  test.each([
    [[0, 0, 0, 5], 0, true, 4, 9],
    [[5, 0, 0, 0], 0, false, 4, 9],
    [[9, 0, 0, 3], 1, true, 0, FRAME_INVALID],
    [[9, 0, 0, 4], 1, true, 0, 4],
    [[255, 255, 255, 255], 0, true, 4, FRAME_INVALID],
  ])("%j", (bytes, offset, bigEndian, uncounted, expected) => {
    const width = 4 - offset;
    const prefix = new LengthPrefix(offset, width, bigEndian, uncounted, 1000);
    expect(prefix.frameBytes(memory, put(memory, new Uint8Array(bytes)))).toBe(expected);
  });
});

test("numbers: digits only, exact", () => {
  const memory = new Memory();
  const read = (parse: typeof decimal, text: string) =>
    parse(memory, put(memory, text), text.length);
  expect(read(decimal, "999999999999999")).toBe(999999999999999);
  expect(read(hexadecimal, "1fFfffffffffff".slice(0, 13))).toBe(0x1ffffffffffff);
  for (const bad of ["", "-1", "+1", "1 ", "0x1", "1.0", "1234567890123456", "１"]) {
    expect(read(decimal, bad), bad).toBe(NOT_A_NUMBER);
  }
});

test("text: case and line ends", () => {
  const memory = new Memory();
  const a = put(memory, "Content-LENGTH{");
  expect(equalIgnoringCase(memory, a, put(memory, "content-length{"), 15)).toBe(true);
  expect(equalIgnoringCase(memory, a, put(memory, "content-length["), 15)).toBe(false);
  const lines = put(memory, "a\rb\r\nc\r");
  expect(findCrlf(memory, lines, lines + 7) - lines).toBe(3);
  expect(findCrlf(memory, lines + 5, lines + 7) - lines).toBe(7);
});

test("CallBuffer uses its block again and keeps what did not fit until the next call", () => {
  const memory = new Memory();
  const buffer = new CallBuffer(memory, 64);
  const first = buffer.take(10, 1);
  expect(buffer.take(4, 8) % 8).toBe(0);
  const large = buffer.take(1000, 1);
  memory.fill(large, 7, 1000);
  buffer.end();
  expect(memory.u8(large + 999)).toBe(7);
  const grown = buffer.take(1000, 1);
  buffer.end();
  expect(buffer.take(1000, 1)).toBe(grown);
  expect(grown).not.toBe(first);
});

test("Output joins neighbours, drops empty ones and refuses what follows the end", () => {
  const memory = new Memory();
  const output = new Output(memory);
  output.reset();
  output.pass(3);
  output.pass(0);
  output.pass(2 ** 40);
  output.drop(1);
  output.close(2);
  const list = output.finish();
  expect(memory.i32(list + 4)).toBe(3);
  const first = memory.i32(list);
  expect(memory.i32(first + 8) + memory.i32(first + 12) * 2 ** 32).toBe(2 ** 40 + 3);
  expect(() => output.pass(1)).toThrow("the list has ended");
  output.reset();
  for (let index = 0; index < OPERATIONS_MAX; index++) {
    if (index % 2 === 0) output.pass(1);
    else output.drop(1);
  }
  expect(output.full()).toBe(true);
  expect(() => output.pass(1)).toThrow("the list is full");
});
