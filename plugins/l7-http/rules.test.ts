/**
 * Rules from policy to verdict: compiling, refusing, loading in time, patterns the host matches.
 */
import { describe, expect, test } from "vitest";
import type { HostImports, PluginInstance } from "../../runtime/isolate/types.ts";
import { builtImage, instantiateImage } from "../../runtime/testkit/built-plugin.ts";
import { instantiateNative } from "../../runtime/testkit/native.ts";
import { readManifest, VectorRunner } from "../../runtime/testkit/run-vector.ts";
import { createPlugin } from "./plugin.ts";

const FOLDER = import.meta.dirname;
const RULES = 1000;
const LOAD_MICROSECONDS_MAX = 100;

const manifest = readManifest(FOLDER);
const image = await builtImage(FOLDER);
const ways: Record<string, (imports: HostImports) => PluginInstance> = {
  native: (imports) => instantiateNative(createPlugin, imports),
  wasm: (imports) => instantiateImage(image, imports),
};
const literal = { kind: "literal" } as const;

function upstreamOf(runner: VectorRunner, rules: Record<string, string>[], head: string): string {
  const steps = [{ kind: "request" as const, bytes: Buffer.from(`${head}\r\n\r\n`, "latin1") }];
  return runner.run({ stages: [rules], steps }, 1_000_000).upstream;
}

describe.each(Object.entries(ways))("%s", (_way, make) => {
  const runner = new VectorRunner(manifest, make);

  test.each([
    [[{ key: "headers", value: "", pattern: literal }], "headers", "a header needs a name"],
    [[{ key: "cookie", value: "x", pattern: literal }], "cookie", "not a field of HTTP rules"],
    [[{ key: "path", value: "x", pattern: literal }], "path", "no automaton"],
    [
      [
        { key: "headerMatches.0.name", value: "X", pattern: literal },
        { key: "headerMatches.0.mismatch", value: "REPLACE", pattern: literal },
      ],
      "headerMatches.0.mismatch",
      "only LOG is supported",
    ],
    [
      [{ key: "headerMatches.0.value", value: "X", pattern: literal }],
      "headerMatches.0.value",
      "headerMatches.0.name is missing",
    ],
    [
      [
        {
          key: "path",
          value: "a+",
          pattern: { kind: "automaton" as const, table: Buffer.from("IDFA") },
        },
      ],
      "path",
      "no automaton",
    ],
  ])("compile() refuses %j", (rule, key, detail) => {
    expect(() => runner.instance.compile([[], rule])).toThrow(
      expect.objectContaining({ rule: 1, key, detail: expect.stringContaining(detail) }),
    );
    expect(upstreamOf(runner, [{}], "GET / HTTP/1.1\r\nHost: a")).not.toBe("");
  });

  test("a pattern too large for an automaton is matched by the host", () => {
    const rules = [{ path: "/(a|b){0,60}c[0-9]{100,200}.*x.{30,40}" }];
    const good = `/abc${"1".repeat(150)}x${"y".repeat(35)}`;
    expect(upstreamOf(runner, rules, `GET ${good} HTTP/1.1\r\nHost: a`)).toContain(good);
    expect(upstreamOf(runner, rules, "GET /abc1x HTTP/1.1\r\nHost: a")).toBe("");
  });

  test("equal patterns of many rules are asked once and give the same verdict", () => {
    const rules = Array.from({ length: 50 }, (_, index) => ({
      path: "/[a-z]+/x",
      method: index === 49 ? "GET|PUT" : `M${index}`,
    }));
    expect(upstreamOf(runner, rules, "PUT /abc/x HTTP/1.1\r\nHost: a")).not.toBe("");
    expect(upstreamOf(runner, rules, "PUT /abc/y HTTP/1.1\r\nHost: a")).toBe("");
    expect(upstreamOf(runner, rules, "POST /abc/x HTTP/1.1\r\nHost: a")).toBe("");
  });

  test("load() refuses bytes that compile() did not make", () => {
    const compiled = runner.instance.compile([[]]);
    for (const bytes of [new Uint8Array(), compiled.subarray(1), compiled.subarray(0, 39)]) {
      expect(() => runner.instance.load(bytes)).toThrow("not rules compiled by this version");
    }
  });

  test("rule sets come and go without using up memory", () => {
    const rules = Array.from({ length: 200 }, (_, index) => [
      { key: "headers", value: `X-${index}: ${"v".repeat(50)}`, pattern: literal },
    ]);
    const cycle = () =>
      runner.instance.unload(runner.instance.load(runner.instance.compile(rules)));
    for (let round = 0; round < 30; round++) cycle();
    const before = runner.instance.memoryBytes;
    for (let round = 0; round < 100; round++) cycle();
    expect(runner.instance.memoryBytes).toBe(before);
  });
});

test(`${RULES} rules load in time`, () => {
  const runner = new VectorRunner(manifest, (imports) => instantiateImage(image, imports));
  const rules = Array.from({ length: RULES }, (_, index) => [
    { key: "method", value: "GET", pattern: { kind: "handle" as const, handle: 1 } },
    { key: "path", value: `/service-${index}/.*`, pattern: { kind: "handle" as const, handle: 2 } },
  ]);
  const compiled = runner.instance.compile(rules);
  const times = Array.from({ length: 20 }, () => {
    const start = performance.now();
    runner.instance.unload(runner.instance.load(compiled));
    return (performance.now() - start) * 1000;
  });
  expect(Math.min(...times)).toBeLessThan(LOAD_MICROSECONDS_MAX);
});
