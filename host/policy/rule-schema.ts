/**
 * The JSON Schema (2020-12) of a plugin's rules, to a schema that checks them. zod reads most of
 * it, refuses some by name, and reads a few forms as if they were not there; those are refused
 * here, since a schema that says less than its author wrote lets wrong rules into force.
 */
import { z } from "zod";
import type { Manifest } from "../../runtime/contract/manifest.ts";
import { type FieldPath, formatPath } from "./problem.ts";
import { fieldsOf, isRecord, itemsOf } from "./schema/field.ts";

/** Levels of schemas in a schema. */
const SCHEMA_DEPTH_MAX = 16;

/** Any of these says what a value is; without one, zod ignores what else is said. */
const SAYS_WHAT = ["type", "enum", "const", "$ref", "anyOf", "oneOf", "allOf"];
/** Where one of these stands, zod ignores all but these and words for people. */
const STANDS_ALONE = ["enum", "const", "$ref"];
const WORDS = ["title", "description", "default", "examples", "deprecated", "$comment", "$schema"];
const BESIDE = [...STANDS_ALONE, ...WORDS, "type", "$defs", "definitions", "$id"];

/** Keywords that hold schemas by name, and as a list or alone. */
const MAPS = ["properties", "patternProperties", "$defs", "definitions"];
const LISTS = [
  "items",
  "prefixItems",
  "contains",
  "additionalProperties",
  "anyOf",
  "oneOf",
  "allOf",
];

/**
 * The schema of one rule, undefined if the manifest has none. To be called at install too: a schema
 * that cannot be read refuses every policy.
 * @throws Error naming the keyword that is not supported.
 */
export function ruleSchemaOf(manifest: Manifest): z.ZodType | undefined {
  if (manifest.rules.schema === undefined) return undefined;
  // A rule is always an object.
  const schema = { type: "object" as const, ...manifest.rules.schema };
  try {
    refuseUnread(schema, []);
    return z.fromJSONSchema(schema);
  } catch (cause) {
    const reason = cause instanceof Error ? cause.message : String(cause);
    throw new Error(`Cannot read the rule schema of plugin ${manifest.name}: ${reason}`, { cause });
  }
}

/** @throws Error for what zod would ignore without a word. */
function refuseUnread(schema: Record<string, unknown>, path: FieldPath): void {
  const refuse = (what: string): never => {
    throw new Error(`${path.length === 0 ? "the schema" : formatPath(path)}: ${what}`);
  };
  if (path.length > SCHEMA_DEPTH_MAX) refuse(`nested deeper than ${SCHEMA_DEPTH_MAX} levels`);
  const keys = Object.keys(schema);
  const says = keys.filter((key) => !WORDS.includes(key));
  if (says.length > 0 && !SAYS_WHAT.some((key) => key in schema)) {
    refuse(`${says[0]} needs a type beside it`);
  }
  const alone = STANDS_ALONE.find((key) => key in schema);
  const ignored = alone && keys.find((key) => !BESIDE.includes(key));
  if (ignored) refuse(`${ignored} beside ${alone} is not supported; use allOf`);
  const properties = fieldsOf(schema.properties);
  const absent = itemsOf(schema.required).find((name) => !Object.hasOwn(properties, String(name)));
  if (absent !== undefined) refuse(`required ${String(absent)} needs a property of that name`);
  for (const [part, inner] of schemasIn(schema)) refuseUnread(inner, [...path, ...part]);
}

function* schemasIn(
  schema: Record<string, unknown>,
): Generator<[FieldPath, Record<string, unknown>]> {
  for (const keyword of MAPS) {
    for (const [name, inner] of Object.entries(fieldsOf(schema[keyword]))) {
      if (isRecord(inner)) yield [[keyword, name], inner];
    }
  }
  for (const keyword of LISTS) {
    const value = schema[keyword];
    if (isRecord(value)) yield [[keyword], value];
    for (const [index, inner] of itemsOf(value).entries()) {
      if (isRecord(inner)) yield [[keyword, index], inner];
    }
  }
}
