/**
 * The JSON Schema (2020-12) of a plugin's rules, to what checks them. The schema comes with a
 * package, so it may be wrong or mean harm: its patterns run in RE2, it may not refer to itself or
 * unfold without end, and a keyword that would not be checked is refused rather than passed over,
 * since a schema that says less than its author wrote lets wrong rules into force.
 */
import { Ajv2020, type ErrorObject, type ValidateFunction } from "ajv/dist/2020.js";
import { RE2JS } from "re2js";
import type { Manifest } from "../../runtime/contract/manifest.ts";
import { type FieldPath, type FieldProblem, formatPath } from "./problem.ts";
import { schemaProblem } from "./rule-schema-words.ts";
import { fieldsOf, isRecord, itemsOf } from "./schema/field.ts";

/** Levels of schemas in a schema. */
const SCHEMA_DEPTH_MAX = 16;
/** Schemas that one value is held against at most, references followed. */
const SCHEMA_STEPS_MAX = 10_000;

/** Keywords that hold schemas by name, as a list, and alone. */
const MAPS = ["properties", "patternProperties", "dependentSchemas", "$defs", "definitions"];
const LISTS = ["prefixItems", "anyOf", "oneOf", "allOf"];
const SINGLES = [
  ...["items", "contains", "additionalProperties", "unevaluatedProperties", "unevaluatedItems"],
  ...["propertyNames", "not", "if", "then", "else"],
];
/** Definitions cost only where they are referred to. */
const DEFINITIONS = ["$defs", "definitions"];

/** Valid, but not checked or not bounded here. */
const REFUSED: Readonly<Record<string, string>> = {
  format: "is not checked; use pattern",
  $dynamicRef: "is not supported; use $ref",
  $dynamicAnchor: "is not supported; use $ref",
  $recursiveRef: "is not supported; use $ref",
  $anchor: "is not supported; refer by #/$defs/NAME",
  contentEncoding: "is not checked",
  contentMediaType: "is not checked",
  contentSchema: "is not checked",
};

type Schema = Readonly<Record<string, unknown>>;

/** Checks one rule. */
export interface RuleSchema {
  /** Paths are relative to the rule; none if it fits. Never throws. */
  problemsOf(rule: Readonly<Record<string, unknown>>): FieldProblem[];
}

/**
 * The schema of one rule, undefined if the manifest has none. To be called at install too: a schema
 * that cannot be read refuses every policy.
 * @throws Error naming the keyword that is not supported.
 */
export function ruleSchemaOf(manifest: Manifest): RuleSchema | undefined {
  if (manifest.rules.schema === undefined) return undefined;
  // A rule is always an object.
  const schema = { type: "object" as const, ...manifest.rules.schema };
  try {
    refuseUnbounded(schema);
    return checkerOf(compile(schema));
  } catch (cause) {
    const reason = cause instanceof Error ? cause.message : String(cause);
    throw new Error(`Cannot read the rule schema of plugin ${manifest.name}: ${reason}`, { cause });
  }
}

function checkerOf(validate: ValidateFunction): RuleSchema {
  return {
    problemsOf: (rule) => {
      if (validate(rule)) return [];
      const errors: readonly ErrorObject[] = validate.errors ?? [];
      return errors.flatMap((error) => schemaProblem(error));
    },
  };
}

function compile(schema: Schema): ValidateFunction {
  // One instance for each schema: they share neither names nor a cache.
  const ajv = new Ajv2020({
    allErrors: true,
    verbose: true,
    strict: true,
    // An alternative may require what only the whole names, and a list may have any length.
    ...{ strictRequired: false, strictTuples: false, strictTypes: false, allowUnionTypes: true },
    validateFormats: false,
    logger: false,
    code: { regExp: re2 },
  });
  return ajv.compile(schema);
}

/** JavaScript's own expressions backtrack: one bad one would hold the agent up for minutes. */
function re2(pattern: string) {
  const compiled = RE2JS.compile(pattern);
  return {
    test: (text: string): boolean => compiled.matcher(text).find(),
    // The compiler of schemas takes two expressions of one text for the same.
    toString: (): string => `/${pattern}/`,
  };
}
re2.code = "re2";

/** @throws Error for what would not be checked, refers to itself, or unfolds beyond the bounds. */
function refuseUnbounded(root: Schema): void {
  const known = new Map<Schema, number>();
  const open = new Set<Schema>();
  const steps = stepsOf(root, []);
  if (steps > SCHEMA_STEPS_MAX) {
    throw new Error(`a value would be held against more than ${SCHEMA_STEPS_MAX} schemas`);
  }

  function stepsOf(schema: Schema, path: FieldPath): number {
    const refuse = (what: string): never => {
      throw new Error(`${path.length === 0 ? "the schema" : formatPath(path)}: ${what}`);
    };
    if (path.length > SCHEMA_DEPTH_MAX) refuse(`nested deeper than ${SCHEMA_DEPTH_MAX} levels`);
    if (open.has(schema)) refuse("a reference leads to itself");
    const before = known.get(schema);
    if (before !== undefined) return before;
    for (const [keyword, reason] of Object.entries(REFUSED)) {
      if (Object.hasOwn(schema, keyword)) refuse(`${keyword} ${reason}`);
    }
    if (path.length > 0 && Object.hasOwn(schema, "$id")) refuse("$id inside a schema");
    open.add(schema);
    let steps = 1;
    for (const [part, inner] of schemasIn(schema)) {
      const own = stepsOf(inner, [...path, ...part]);
      if (!DEFINITIONS.includes(String(part[0]))) steps += own;
    }
    if (Object.hasOwn(schema, "$ref")) {
      steps += stepsOf(referred(root, schema.$ref, refuse), path);
    }
    open.delete(schema);
    known.set(schema, steps);
    return steps;
  }
}

/** RFC 6901, inside the document only. */
function referred(root: Schema, reference: unknown, refuse: (what: string) => never): Schema {
  if (typeof reference !== "string" || !reference.startsWith("#/")) {
    return refuse(`$ref ${JSON.stringify(reference)} leads outside; use #/$defs/NAME`);
  }
  let value: unknown = root;
  for (const part of reference.slice(2).split("/")) {
    const name = decodeURIComponent(part).replaceAll("~1", "/").replaceAll("~0", "~");
    const holder: unknown = value;
    value = undefined;
    if (Array.isArray(holder)) value = holder[Number(name)];
    else if (isRecord(holder) && Object.hasOwn(holder, name)) value = holder[name];
  }
  if (!isRecord(value)) return refuse(`$ref ${JSON.stringify(reference)} leads to no schema`);
  return value;
}

function* schemasIn(schema: Schema): Generator<[FieldPath, Schema]> {
  for (const keyword of MAPS) {
    for (const [name, inner] of Object.entries(fieldsOf(schema[keyword]))) {
      if (isRecord(inner)) yield [[keyword, name], inner];
    }
  }
  for (const keyword of LISTS) {
    for (const [index, inner] of itemsOf(schema[keyword]).entries()) {
      if (isRecord(inner)) yield [[keyword, index], inner];
    }
  }
  for (const keyword of SINGLES) {
    const inner = schema[keyword];
    if (isRecord(inner)) yield [[keyword], inner];
  }
}
