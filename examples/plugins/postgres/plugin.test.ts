/** The vectors, natively, for the debugger; 'imker plugin test' runs them sandboxed and cut too. */
import { nativeRunner, vectorsOf } from "imker/testkit";
import { expect, test } from "vitest";
import { createPlugin } from "./plugin.ts";

const runner = nativeRunner(import.meta.dirname, createPlugin);

test.each(vectorsOf(import.meta.dirname))("$name", (vector) => {
  expect(runner.run(vector, Number.POSITIVE_INFINITY)).toEqual(vector.expected);
});
