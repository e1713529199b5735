/** layout.ts beside the type information and the constants of the built program. */
import { execFileSync } from "node:child_process";
import { readFileSync } from "node:fs";
import { expect, test } from "vitest";
import * as layout from "./layout.ts";

const PROJECT = new URL("../../", import.meta.url).pathname;

interface BtfType {
  kind: string;
  name: string;
  size: number;
  members?: { name: string; bits_offset: number }[];
}

const header = readFileSync(`${PROJECT}bpf/abi/prefilter.h`, "utf8");

function structOf(name: string): Record<string, number> {
  const object = `${PROJECT}.build/bpf/tests/prefilter-abi.o`;
  const text = execFileSync("bpftool", ["btf", "dump", "-j", "file", object]).toString();
  const { types } = JSON.parse(text) as { types: BtfType[] };
  const found = types.find((type) => type.kind === "STRUCT" && type.name === name);
  const members = (found?.members ?? []).map((one) => [one.name, one.bits_offset / 8] as const);
  return { size: found?.size ?? 0, ...Object.fromEntries(members) };
}

const define = (name: string): number =>
  Number(new RegExp(`#define ${name} (0x[0-9a-f]+|\\d+)`).exec(header)?.[1]);

test("structs are laid out as the program has them", () => {
  expect(structOf("prefilter_settings")).toEqual(layout.SETTINGS);
  expect(structOf("prefilter_counters")).toEqual(layout.COUNTERS);
  expect(structOf("prefilter_leaf")).toEqual({ size: layout.LEAF_BYTES, words: 0 });
  expect(structOf("prefilter_tail")).toEqual({ size: layout.TAIL_BYTES, low: 0 });
  expect(structOf("prefilter_node")).toEqual({
    ...{ size: layout.NODE_BYTES, high: 0, values: layout.NODE_VALUES_WORD32 * 4 },
  });
});

test("constants are the header's", () => {
  expect(define("ABI_VERSION_PREFILTER")).toBe(layout.ABI_VERSION_PREFILTER);
  expect(define("PREFILTER_GENERATIONS")).toBe(layout.GENERATIONS);
  expect(define("PREFILTER_GROUP_PART_SHIFT")).toBe(layout.GROUP_PART_SHIFT);
  expect(define("PREFILTER_NODE_KEYS")).toBe(layout.NODE_KEYS);
  expect(define("PREFILTER_LEVELS_MAX")).toBe(layout.LEVELS_MAX);
  expect(define("PREFILTER_HAS_TAIL")).toBe(layout.HAS_TAIL);
  expect(header).toMatch(/#define PREFILTER_GROUPS \(1 << 20\)/);
  expect(layout.GROUPS).toBe(1 << 20);
});
