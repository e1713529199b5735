/** Which JSON Schemas of rules are read, which are refused by name, and what a rule is told. */
import { expect, test } from "vitest";
import type { Manifest } from "../../runtime/contract/manifest.ts";
import { formatPath } from "./problem.ts";
import { ruleSchemaOf } from "./rule-schema.ts";

const manifest = (schema: Record<string, unknown> | undefined): Manifest => ({
  name: "p",
  version: "1.0.0",
  contract: "imker:l7@1.0.0",
  description: "",
  status: "alpha",
  securityPosture: "",
  flow: "generic",
  capabilities: [],
  rules: { fields: {}, schema },
  records: { request: { fields: [] }, response: { fields: [] } },
  limits: { memoryPagesMax: 1, fuelBase: 1000, fuelPerByte: 1 },
});

const text = { type: "string" };
type Rule = Record<string, unknown>;

test.each<[string, Record<string, unknown>, unknown, unknown]>([
  ["closed objects", { properties: { a: text }, additionalProperties: false }, { a: "" }, { b: 1 }],
  ["required properties", { properties: { a: text }, required: ["a"] }, { a: "" }, {}],
  [
    "references",
    { $defs: { n: { type: "string", pattern: "^x" } }, properties: { a: { $ref: "#/$defs/n" } } },
    { a: "xy" },
    { a: "y" },
  ],
  [
    "alternatives",
    { properties: { a: { anyOf: [text, { type: "array", items: text }] } } },
    { a: ["x"] },
    { a: 1 },
  ],
  [
    "words beside an enum",
    { properties: { a: { enum: ["x"], title: "t" } } },
    { a: "x" },
    { a: "" },
  ],
  [
    "patterns of names",
    { patternProperties: { "^x": text }, additionalProperties: false },
    { xa: "" },
    { a: "" },
  ],
  ["counts", { properties: { a: text }, minProperties: 1 }, { a: "" }, {}],
])("%s", (_, schema, right, wrong) => {
  const read = ruleSchemaOf(manifest(schema));
  expect(read?.problemsOf(right as Rule)).toEqual([]);
  expect(read?.problemsOf(wrong as Rule)).not.toEqual([]);
});

test.each<[string, Record<string, unknown>, string]>([
  ["an unknown keyword", { properties: { a: { minimun: 1 } } }, 'unknown keyword: "minimun"'],
  ["an unknown type", { properties: { a: { type: "txt" } } }, "schema is invalid"],
  ["a bound of another type", { properties: { a: { type: "object", pattern: "[" } } }, "a"],
  ["a pattern that RE2 has not", { properties: { a: { ...text, pattern: "(?=x)" } } }, "(?"],
  ["a format", { properties: { a: { ...text, format: "date" } } }, "format is not checked"],
  ["a schema elsewhere", { properties: { a: { $ref: "http://a/b" } } }, "leads outside"],
  [
    "a schema that is not there",
    { properties: { a: { $ref: "#/$defs/b" } } },
    "leads to no schema",
  ],
  ["one that is its own", { properties: { a: { $ref: "#" } } }, "leads outside"],
  [
    "one that leads to itself",
    { $defs: { a: { items: { $ref: "#/$defs/a" } } }, properties: { a: { $ref: "#/$defs/a" } } },
    "a reference leads to itself",
  ],
  ["one without end", { properties: { a: nested(40) } }, "nested deeper than 16 levels"],
  ["one that unfolds to a billion", unfolding(4, 20), "more than 10000 schemas"],
])("refuses %s by name", (_, schema, message) => {
  expect(() => ruleSchemaOf(manifest(schema))).toThrow(
    /^Cannot read the rule schema of plugin p: /,
  );
  expect(() => ruleSchemaOf(manifest(schema))).toThrow(message);
});

test.each<[string, Record<string, unknown>, Rule, string[]]>([
  [
    "unknown fields, with what was meant",
    { properties: { topic: text }, additionalProperties: false },
    { topik: "x" },
    ['topik: unknown field "topik"; did you mean "topic"? (one of topic)'],
  ],
  [
    "what is missing",
    { properties: { a: text }, required: ["a"] },
    {},
    ["a: is required (a value)"],
  ],
  [
    "the wrong type, in depth",
    { properties: { a: { type: "array", items: text } } },
    { a: ["x", 1] },
    ["a[1]: must be string, not a number (string)"],
  ],
  [
    "a value that is none of those named",
    { properties: { a: { enum: ["read", "write"] } } },
    { a: "raed" },
    ['a: "raed" is not allowed here; did you mean "read"? (one of read, write)'],
  ],
  [
    "conditions",
    { properties: { a: text, b: text }, if: { required: ["a"] }, else: { required: ["b"] } },
    {},
    ["b: is required (a value)"],
  ],
])("says %s", (_, schema, rule, expected) => {
  const problems = ruleSchemaOf(manifest(schema))?.problemsOf(rule) ?? [];
  const lines = problems.map(({ path, message, expected }) => {
    return `${formatPath(path)}: ${message} (${expected})`;
  });
  expect(lines).toEqual(expected);
});

test("a pattern takes time in proportion to the text", () => {
  const schema = { properties: { a: { ...text, pattern: "^(a+)+$" } } };
  const rule = { a: `${"a".repeat(50_000)}!` };
  expect(ruleSchemaOf(manifest(schema))?.problemsOf(rule)).toHaveLength(1);
});

function nested(levels: number): Record<string, unknown> {
  return levels === 0 ? text : { type: "array", items: nested(levels - 1) };
}

test("a manifest may have none", () => {
  expect(ruleSchemaOf(manifest(undefined))).toBeUndefined();
});

/** Each definition refers to the next one `times` times. */
function unfolding(levels: number, times: number): Record<string, unknown> {
  const $defs: Record<string, unknown> = { [`d${levels}`]: text };
  for (let level = 0; level < levels; level++) {
    const next = { $ref: `#/$defs/d${level + 1}` };
    $defs[`d${level}`] = { allOf: Array.from({ length: times }, () => next) };
  }
  return { $defs, properties: { a: { $ref: "#/$defs/d0" } } };
}
