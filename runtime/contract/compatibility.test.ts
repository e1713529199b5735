import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, test } from "vitest";
import { incompatibilities } from "./compatibility.ts";
import { readWit } from "./wit.ts";

const FOLDER = import.meta.dirname;
const current = readFileSync(join(FOLDER, "l7.wit"), "utf8");
const VERSIONS = readdirSync(join(FOLDER, "versions"));

test.each(VERSIONS)("a plugin built for %s runs with the contract as it is", (file) => {
  const published = readFileSync(join(FOLDER, "versions", file), "utf8");
  expect(incompatibilities(published, current)).toEqual([]);
});

test("the contract is read whole", () => {
  const { interfaces, world } = readWit(current);
  expect([...interfaces.keys()]).toEqual(["types", "host", "plugin"]);
  expect(interfaces.get("types")?.get("direction")?.members).toEqual(["request", "response"]);
  expect(interfaces.get("plugin")?.get("on-data")?.members).toEqual([
    "connection:u32",
    "direction:direction",
    "data:list<u8>",
    "end:end",
    "now:u64",
    "list<operation>",
  ]);
  expect(world).toEqual(["import host", "export plugin"]);
});

describe("what may change", () => {
  const edit = (from: string, to: string) => {
    expect(current).toContain(from);
    return incompatibilities(current, current.replace(from, to));
  };

  test.each([
    [
      "a new interface",
      "world l7-plugin {",
      "interface clock { now: func() -> u64; }\nworld l7-plugin {\n  import clock;",
    ],
    ["a new type", "record span", "record extra { a: u8 }\n  record span"],
    ["a reason only plugins give", "    malformed,\n  }", "    malformed,\n    busy,\n  }"],
    [
      "an operation with a known payload",
      "    close(close-reason),",
      "    close(close-reason),\n    hold(u64),",
    ],
    [
      "a verdict only plugins give",
      "{ forwarded, denied, error }",
      "{ forwarded, denied, error, redirected }",
    ],
    [
      "a level only plugins give",
      "{ debug, info, warn, error }",
      "{ debug, info, warn, error, fatal }",
    ],
    ["comments", "/// Discard", "/// Throw away"],
  ])("%s", (_name, from, to) => {
    expect(edit(from, to)).toEqual([]);
  });

  test.each([
    [
      "a case in the middle",
      "more(u64),",
      "more(u64),\n    wait,",
      /types.operation: "pass\(u64\)" has become "wait"/,
    ],
    [
      "a case that is gone",
      "{ egress, ingress }",
      "{ egress }",
      /types.point: "ingress" has become "nothing"/,
    ],
    [
      "a case that plugins would receive",
      "{ egress, ingress }",
      "{ egress, ingress, both }",
      /older plugins would receive it/,
    ],
    [
      "a pattern that plugins would receive",
      "    handle(u32),",
      "    handle(u32),\n    glob,",
      /types.pattern: "glob" is new, and older/,
    ],
    [
      "a payload of another type",
      "    close(close-reason),",
      "    close(close-reason),\n    hold(facts),",
      /payload of "hold\(facts\)"/,
    ],
    [
      "a field",
      "record span { offset: u32, length: u32 }",
      "record span { offset: u32, length: u32, line: u32 }",
      /changes its layout/,
    ],
    [
      "a parameter",
      "unload: func(rule-set: u32)",
      "unload: func(rule-set: u32, why: u8)",
      /plugin.unload/,
    ],
    [
      "a result",
      "match: func(handle: u32, bytes: list<u8>) -> bool",
      "match: func(handle: u32, bytes: list<u8>) -> u8",
      /host.match: "bool" has become "u8"/,
    ],
    [
      "a function of an old interface",
      "  close: func(connection: u32);",
      "  close: func(connection: u32);\n  tick: func();",
      /plugin.tick is new/,
    ],
    ["an interface that is gone", "  import host;\n", "", /"import host" is gone/],
    [
      "an export",
      "  export plugin;",
      "  export plugin;\n  export describe;",
      /older plugins lack it/,
    ],
    ["another kind", "enum point", "flags point", /is not expected|flags|Cannot/],
  ])("not %s", (_name, from, to, problem) => {
    const found = () => edit(from, to).join("\n");
    let text: string;
    try {
      text = found();
    } catch (error) {
      text = String(error);
    }
    expect(text).toMatch(problem);
  });
});
