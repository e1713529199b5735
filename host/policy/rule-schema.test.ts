/** Which JSON Schemas of rules are read, and which are refused by name rather than half read. */
import { expect, test } from "vitest";
import type { Manifest } from "../../runtime/contract/manifest.ts";
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
  expect([read?.safeParse(right).success, read?.safeParse(wrong).success]).toEqual([true, false]);
});

test.each<[string, Record<string, unknown>, string]>([
  ["a requirement without property", { required: ["a"] }, "required a needs a property"],
  [
    "a requirement of an alternative",
    { properties: { a: text }, anyOf: [{ required: ["a"] }] },
    "anyOf[0]: required needs a type",
  ],
  ["a bound without type", { properties: { a: { minimum: 1 } } }, "minimum needs a type"],
  [
    "a bound beside an enum",
    { properties: { a: { type: "string", enum: ["x"], pattern: "y" } } },
    "pattern beside enum",
  ],
  ["a condition", { if: {} }, "Conditional schemas"],
  ["an unknown type", { properties: { a: { type: "txt" } } }, "Unsupported type: txt"],
  ["a schema elsewhere", { properties: { a: { $ref: "http://a/b" } } }, "External $ref"],
  ["one without end", { properties: { a: nested(40) } }, "nested deeper than 16 levels"],
])("refuses %s by name", (_, schema, message) => {
  expect(() => ruleSchemaOf(manifest(schema))).toThrow(
    new RegExp(`Cannot read the rule schema of plugin p: .*${message.replace(/[[\]$]/g, "\\$&")}`),
  );
});

function nested(levels: number): Record<string, unknown> {
  return levels === 0 ? text : { type: "array", items: nested(levels - 1) };
}

test("a manifest may have none", () => {
  expect(ruleSchemaOf(manifest(undefined))).toBeUndefined();
});
