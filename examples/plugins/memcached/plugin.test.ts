/** The vectors, natively, for the debugger, and what is too long for a vector. */
import { nativeRunner, vectorsOf } from "imker/testkit";
import { describe, expect, test } from "vitest";
import { readCommand } from "./commands.ts";
import { createPlugin } from "./plugin.ts";

const runner = nativeRunner(import.meta.dirname, createPlugin);

test.each(vectorsOf(import.meta.dirname))("$name", (vector) => {
  expect(runner.run(vector, Number.POSITIVE_INFINITY)).toEqual(vector.expected);
});

test("a client that sends too far ahead is closed, not buffered", () => {
  const bytes = Buffer.from("get a\r\n".repeat(300));
  const { close } = runner.run({ stages: [], steps: [{ kind: "request", bytes }] }, 64);
  expect(close).toBe("malformed");
});

test("values larger than any buffer pass", () => {
  const value = "x".repeat(1_000_000);
  const bytes = Buffer.from(`set a 0 0 1000000\r\n${value}\r\nget a\r\n`);
  const { upstream } = runner.run({ stages: [], steps: [{ kind: "request", bytes }] }, 65_536);
  expect(upstream).toBe(bytes.toString("latin1"));
});

describe("commands", () => {
  const long = "k".repeat(251);
  const many = `get${" k".repeat(51)}`;
  test.each([
    "GET a",
    "get",
    "get a ",
    " get a",
    "get a\tb",
    `get ${long}`,
    many,
    "set a 0 0",
    "set a 0 0 -1",
    "set a 0 0 1 2",
    "set a 0 0 1 noreply noreply",
    "cas a 0 0 1",
    "incr a -1",
    "version 1",
    "stats cachedump",
    "watch",
    "get ä",
  ])("%s is none", (line) => {
    expect(readCommand(line)).toBeUndefined();
  });

  test.each([
    ["get a b", { answer: "items", dataBytes: undefined }],
    ["set a 0 -1 12 noreply", { answer: "nothing", dataBytes: 12 }],
    ["flush_all 10", { answer: "line", dataBytes: undefined }],
    ["touch noreply 1", { answer: "line", dataBytes: undefined }],
  ])("%s is one", (line, expected) => {
    const { answer, dataBytes } = readCommand(line) ?? {};
    expect({ answer, dataBytes }).toEqual(expected);
  });
});
