/** The parts that cut a stream into messages and keep their order: reader, delimiter, queue. */
import { describe, expect, test } from "vitest";
import { printable } from "./ascii.ts";
import { Delimiter, FRAME_PARTIAL } from "./delimiter.ts";
import { FRAME_INVALID } from "./frame.ts";
import { Memory } from "./memory.ts";
import { Reader } from "./reader.ts";
import { ANSWER_UPSTREAM, ReplyQueue } from "./reply-queue.ts";
import { Resync } from "./resync.ts";
import { TextBlock } from "./text-block.ts";

function put(memory: Memory, bytes: readonly number[] | string): number {
  const data = Buffer.from(typeof bytes === "string" ? Buffer.from(bytes, "latin1") : bytes);
  const at = memory.allocate(data.length);
  memory.bytes.set(data, at);
  return at;
}

describe("Reader", () => {
  const read = (bytes: readonly number[], field: (reader: Reader) => number) => {
    const memory = new Memory();
    const at = put(memory, bytes);
    const reader = new Reader(memory, at, at + bytes.length);
    return [field(reader), reader.ok, reader.short];
  };
  const ff = (count: number) => Array.from({ length: count }, () => 255);

  test.each<[string, readonly number[], (reader: Reader) => number, unknown[]]>([
    ["u32", ff(4), (r) => r.u32(), [4294967295, true, false]],
    ["u32le", [1, 0, 0, 128], (r) => r.u32le(), [0x80000001, true, false]],
    ["u64", [0, 31, ...ff(6)], (r) => r.u64(), [2 ** 53 - 1, true, false]],
    ["u64 beyond 2^53", [0, 32, 0, 0, 0, 0, 0, 0], (r) => r.u64(), [0, false, false]],
    ["u64le", [...ff(6), 31, 0], (r) => r.u64le(), [2 ** 53 - 1, true, false]],
    ["u64, one byte short", ff(7), (r) => r.u64(), [0, false, true]],
    ["varint of one byte", [0x7f], (r) => r.varint(4), [127, true, false]],
    ["varint", [0xac, 0x02], (r) => r.varint(5), [300, true, false]],
    ["varint, cut", [0xac], (r) => r.varint(5), [0, false, true]],
    ["varint, too long", [0x80, 0x80, 1], (r) => r.varint(2), [0, false, false]],
    ["varint beyond 2^53", [...ff(7), 0x7f], (r) => r.varint(10), [0, false, false]],
    ["zigzag", [3], (r) => r.zigzag(5), [-2, true, false]],
    ["zigzag", [4], (r) => r.zigzag(5), [2, true, false]],
    ["take", [1], (r) => r.take(2), [-1, false, true]],
    ["take less than nothing", [1], (r) => r.take(-1), [-1, false, false]],
    ["until, not there", [1, 2], (r) => r.until(0), [-1, false, true]],
  ])("%s", (_name, bytes, field, expected) => {
    expect(read(bytes, field)).toEqual(expected);
  });

  test("until() takes a text and its delimiter", () => {
    const memory = new Memory();
    const at = put(memory, "user\0db\0");
    const reader = new Reader(memory, at, at + 8);
    expect([reader.until(0) - at, reader.length]).toEqual([0, 4]);
    expect([reader.until(0) - at, reader.length, reader.left()]).toEqual([5, 2, 0]);
  });
});

describe("Delimiter", () => {
  test.each([
    ["ab\r\ncd", 4],
    ["\r\n", 2],
    ["ab\r", FRAME_PARTIAL],
    ["", FRAME_PARTIAL],
    ["a\rb\n\r\n", 6],
    ["123456\r\n", 8],
    ["1234567\r\n", FRAME_INVALID],
    ["1234567", FRAME_PARTIAL],
    ["12345678", FRAME_INVALID],
    ["1234567\r", FRAME_INVALID],
  ])("%j, at most 8 bytes", (text, expected) => {
    const memory = new Memory();
    const at = put(memory, text);
    const lines = new Delimiter(memory, "\r\n", 8);
    expect(lines.frameBytes(at, at + text.length)).toBe(expected);
  });
});

describe("Resync", () => {
  test.each([
    ["xxMAGICyy", 2, true],
    ["MAGIC", 0, true],
    ["xxMAG", 2, false],
    ["xxMAGx", 6, false],
    ["MAMAGIC", 2, true],
    ["", 0, false],
  ])("%j", (text, skipped, found) => {
    const memory = new Memory();
    const at = put(memory, text);
    const resync = new Resync(memory, "MAGIC");
    expect([resync.before(at, at + text.length), resync.found]).toEqual([skipped, found]);
  });
});

describe("ReplyQueue", () => {
  test("keeps the order through growth and turns", () => {
    const queue = new ReplyQueue(64);
    let pushed = 0;
    let shifted = 0;
    for (let round = 0; round < 200; round++) {
      for (let count = (round * 7) % 11; count > 0 && !queue.full(); count--) {
        queue.push(pushed, pushed % 3);
        pushed++;
      }
      for (let count = (round * 5) % 9; count > 0 && !queue.empty(); count--) {
        expect([queue.exchange(), queue.answer()]).toEqual([shifted, shifted % 3]);
        queue.shift();
        shifted++;
      }
    }
    expect(shifted).toBeGreaterThan(500);
  });

  test("takeRun() takes the plugin's own answers whose turn it is", () => {
    const queue = new ReplyQueue(8);
    for (const answer of [1, 1, ANSWER_UPSTREAM, 1]) queue.push(0, answer);
    expect([queue.takeRun(1), queue.takeRun(1)]).toEqual([2, 0]);
    queue.shift();
    expect([queue.takeRun(1), queue.empty(), queue.answer()]).toEqual([1, true, ANSWER_UPSTREAM]);
  });
});

test("printable() refuses controls, DEL and everything beyond ASCII", () => {
  const memory = new Memory();
  const check = (text: string) => printable(memory, put(memory, text), text.length);
  expect(["", " ~", "a longer text than eight"].map(check)).toEqual([true, true, true]);
  expect(["\x1f", "\x7f", "\x80", "12345678\n"].map(check)).toEqual([false, false, false, false]);
});

test("TextBlock holds UTF-8", () => {
  const memory = new Memory();
  const block = new TextBlock(memory, "ä\r\n");
  expect([block.length, memory.text(block.address, block.length)]).toEqual([4, "ä\r\n"]);
});
