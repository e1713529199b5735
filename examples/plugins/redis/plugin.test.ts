/** The vectors, natively, for the debugger, and what is too long for a vector. */
import { nativeRunner, vectorsOf } from "imker/testkit";
import { describe, expect, test } from "vitest";
import { createPlugin } from "./plugin.ts";

const runner = nativeRunner(import.meta.dirname, createPlugin);
const DENIED = "-NOPERM denied by network policy\r\n";

test.each(vectorsOf(import.meta.dirname))("$name", (vector) => {
  expect(runner.run(vector, Number.POSITIVE_INFINITY)).toEqual(vector.expected);
});

/** What comes of a client's bytes under one policy (none: no policy), in pieces of 64 KiB. */
function sent(text: string, policy?: Record<string, string>[]) {
  const steps = [{ kind: "request" as const, bytes: Buffer.from(text) }];
  return runner.run({ stages: policy === undefined ? [] : [policy], steps }, 65_536);
}

describe("bounds", () => {
  test("a client may send ahead as far as it likes, but not alternate without end", () => {
    expect(sent("PING\r\n".repeat(100_000)).close).toBeUndefined();
    const policy = [{ command: "PING|SUBSCRIBE" }];
    expect(sent("SUBSCRIBE a\r\n".repeat(4_096), policy).close).toBeUndefined();
    expect(sent("SUBSCRIBE a\r\n".repeat(4_097), policy).close).toBe("malformed");
  });

  test("errors that wait for their turn are bounded", () => {
    const policy = [{ command: "PING" }];
    expect(sent(`PING\r\n${"GET a\r\n".repeat(1_024)}`, policy).close).toBeUndefined();
    expect(sent(`PING\r\n${"GET a\r\n".repeat(1_025)}`, policy).close).toBe("denied");
    const { client, close } = sent("GET a\r\n".repeat(10_000), policy);
    expect([client, close]).toEqual([DENIED.repeat(10_000), undefined]);
  });

  test("keys are judged up to a number, and unknown beyond", () => {
    const keys = (count: number) => `DEL${" k".repeat(count)}\r\n`;
    expect(sent(keys(512), [{ key: "k" }]).client).toBe("");
    expect(sent(keys(513), [{ key: "k" }]).client).toBe(DENIED);
    expect(sent(keys(513), [{ command: "DEL" }]).client).toBe("");
  });

  test("a secret that is not whole is not let through half masked", () => {
    const { client, records } = sent(`*2\r\n$4\r\nAUTH\r\n$70000\r\n${"x".repeat(70_000)}\r\n`);
    expect([client, records]).toEqual([DENIED, ["request 0 error command=AUTH"]]);
  });
});

describe("rules", () => {
  test.each(["get", "GET|mget", "config"])("refuses the command %s in lower case", (command) => {
    expect(() => sent("", [{ command }])).toThrow(/upper case/);
  });

  test.each(["GET", "(?i)get", "\\w+", "[A-Z]+"])("takes the command %s", (command) => {
    expect(sent("get a\r\n", [{ command }]).client).toBe("");
  });
});
