/** The vectors, natively, for the debugger; 'imker plugin test' runs them sandboxed and cut too. */
import { nativeRunner, vectorsOf } from "imker/testkit";
import { expect, test } from "vitest";
import { createPlugin } from "./plugin.ts";

const runner = nativeRunner(import.meta.dirname, createPlugin);

test.each(vectorsOf(import.meta.dirname))("$name", (vector) => {
  expect(runner.run(vector, Number.POSITIVE_INFINITY)).toEqual(vector.expected);
});

test("a client that sends too far ahead is closed, not buffered", () => {
  const bytes = Buffer.from("GET a\r\n".repeat(300));
  const { close } = runner.run({ stages: [], steps: [{ kind: "request", bytes }] }, 64);
  expect(close).toBe("malformed");
});
