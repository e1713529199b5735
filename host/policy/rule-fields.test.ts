/** Rules of a policy to fields of a plugin, and what has no form as fields. */
import { expect, test } from "vitest";
import { flattenRule, manifestKey } from "./rule-fields.ts";

const flat = (rule: Record<string, unknown>) =>
  flattenRule(rule).fields.map(({ key, value }) => `${key}=${value}`);

test.each<[string, Record<string, unknown>, string[]]>([
  ["a map of strings stays one", { cmd: "GET", key: "a" }, ["cmd=GET", "key=a"]],
  ["numbers and truth become text", { n: 1.5, b: false }, ["n=1.5", "b=false"]],
  ["a list becomes repeated keys", { keys: ["a", "b"] }, ["keys=a", "keys=b"]],
  ["an object becomes dotted keys", { a: { b: { c: "x" } } }, ["a.b.c=x"]],
  [
    "a list of objects becomes numbered keys",
    { headerMatches: [{ name: "a" }, { name: "b", value: "c" }] },
    ["headerMatches.0.name=a", "headerMatches.1.name=b", "headerMatches.1.value=c"],
  ],
  ["an empty rule has no field", {}, []],
  ["empty lists and objects have none either", { a: [], b: {} }, []],
])("%s", (_, rule, expected) => {
  expect(flat(rule)).toEqual(expected);
});

test("a field knows where it stood", () => {
  expect(flattenRule({ a: [{ b: ["x"] }] }).fields).toEqual([
    { key: "a.0.b", value: "x", path: ["a", 0, "b", 0] },
  ]);
});

test("what has no value, and what is too deep, is a problem and not a field", () => {
  const deep = JSON.parse(`${'{"a":'.repeat(20)}1${"}".repeat(20)}`);
  const { fields, problems } = flattenRule({ nothing: null, deep, fine: "x" });
  expect(fields.map(({ key }) => key)).toEqual(["fine"]);
  expect(problems.map(({ path, message }) => [path.length, message])).toEqual([
    [1, "has no value"],
    [9, "is nested deeper than 8 levels"],
  ]);
});

test("a manifest describes numbered keys once", () => {
  expect(manifestKey("headerMatches.12.name")).toBe("headerMatches.N.name");
  expect(manifestKey("a.0")).toBe("a.N");
  expect(manifestKey("v2.x")).toBe("v2.x");
});
