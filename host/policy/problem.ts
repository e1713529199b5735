/**
 * What is wrong with a policy file, in words for the person who wrote it: file, document, path of
 * the field, message and what was expected. Turns the schema's issues into that form.
 */
import { z } from "zod";

export type FieldPath = readonly (string | number)[];

/** One error of a policy file. */
export interface PolicyProblem {
  file: string;
  /** Index of the YAML document in the file, from 0; empty documents do not count. */
  document: number;
  /** Such as `spec.ingress[0].toPorts[0].ports[0].port`; "" is the whole document. */
  path: string;
  message: string;
  expected: string;
  /** From 1. */
  line?: number;
  column?: number;
}

/** An error before it is known where it stands. */
export interface FieldProblem {
  path: FieldPath;
  message: string;
  expected: string;
}

export function formatPath(path: FieldPath): string {
  let text = "";
  for (const part of path) {
    if (typeof part === "number") text += `[${part}]`;
    else if (/^[A-Za-z_][\w-]*$/.test(part)) text += text === "" ? part : `.${part}`;
    else text += `[${JSON.stringify(part)}]`;
  }
  return text;
}

/** Every error of `value` against the schema; none if it fits. */
export function problemsOf(schema: z.ZodType, value: unknown, error: z.ZodError): FieldProblem[] {
  return error.issues.flatMap((issue) => fromIssue(schema, value, issue));
}

function fromIssue(schema: z.ZodType, root: unknown, issue: z.core.$ZodIssue): FieldProblem[] {
  const path = issue.path.filter((part) => typeof part !== "symbol");
  const field = schemaAt(schema, path);
  const value = valueAt(root, path);
  const expected = expectedBy(issue, field);
  switch (issue.code) {
    case "unrecognized_keys":
      return issue.keys.map((key) => unknownField([...path, key], key, field));
    case "invalid_key":
    case "invalid_element":
      return issue.issues.map(({ message }) => ({
        path,
        message,
        expected: keyExpected(schema, path),
      }));
    case "invalid_type": {
      if (isForbidden(field)) return [{ path, message: issue.message, expected }];
      const message =
        value === undefined ? "is required" : `must be ${an(issue.expected)}, not ${kindOf(value)}`;
      return [{ path, message, expected }];
    }
    case "invalid_value":
      return [{ path, message: notAllowed(issue, value), expected }];
    case "too_big":
      return [
        { path, message: `${sized(issue)} at most ${amount(issue, issue.maximum)}`, expected },
      ];
    case "too_small":
      return [
        { path, message: `${sized(issue)} at least ${amount(issue, issue.minimum)}`, expected },
      ];
    case "invalid_union":
      return [{ path, message: `must not be ${kindOf(value)}`, expected }];
    default:
      return [{ path, message: issue.message, expected }];
  }
}

function sized({ origin }: { origin: string }): string {
  return origin === "array" ? "must have" : "must be";
}

function amount({ origin }: { origin: string }, limit: number | bigint): string {
  if (origin !== "array") return `${limit}`;
  return limit === 1 ? "1 item" : `${limit} items`;
}

function notAllowed(issue: z.core.$ZodIssueInvalidValue, value: unknown): string {
  if (value === undefined) return "is required";
  if (!issue.message.startsWith("Invalid ")) return issue.message;
  const hint = typeof value === "string" ? suggestion(value, issue.values.map(String)) : "";
  return `${JSON.stringify(value)} is not allowed here${hint}`;
}

function expectedBy(issue: z.core.$ZodIssue, field: z.ZodType | undefined): string {
  if (issue.code === "custom" && typeof issue.params?.expected === "string") {
    return issue.params.expected;
  }
  const expected = field?.meta()?.expected;
  if (expected !== undefined) return expected;
  if (issue.code === "invalid_type") return an(issue.expected);
  if (issue.code === "invalid_value") return `one of ${issue.values.join(", ")}`;
  return "another value";
}

function unknownField(path: FieldPath, key: string, parent: z.ZodType | undefined): FieldProblem {
  const known = knownFields(parent);
  return {
    path,
    message: `unknown field ${JSON.stringify(key)}${suggestion(key, known)}`,
    expected: known.length === 0 ? "no field" : `one of ${known.join(", ")}`,
  };
}

function knownFields(schema: z.ZodType | undefined): string[] {
  if (!(schema instanceof z.ZodObject)) return [];
  const shape: Record<string, z.ZodType> = schema.shape;
  return Object.keys(shape).filter((key) => !isForbidden(shape[key]));
}

/** What the keys of the record that holds this field look like. */
function keyExpected(schema: z.ZodType, path: FieldPath): string {
  const record = schemaAt(schema, path.slice(0, -1));
  const key = record && unwrap(record);
  const expected = key instanceof z.ZodRecord ? (key.keyType as z.ZodType).meta()?.expected : "";
  return expected || "another key";
}

function isForbidden(schema: z.ZodType | undefined): boolean {
  return schema !== undefined && unwrap(schema) instanceof z.ZodNever;
}

/** The schema of the field at a path, without its optional wrappers; keeps the leaf's metadata. */
function schemaAt(schema: z.ZodType, path: FieldPath): z.ZodType | undefined {
  let current: z.ZodType | undefined = schema;
  for (const part of path) {
    const container: z.ZodType | undefined = current && unwrap(current);
    if (container instanceof z.ZodObject) {
      const shape: Record<string, z.ZodType> = container.shape;
      current = shape[String(part)];
    } else if (container instanceof z.ZodArray) current = container.element as z.ZodType;
    else if (container instanceof z.ZodRecord) current = container.valueType as z.ZodType;
    else return undefined;
  }
  return current && (current.meta() ? current : unwrap(current));
}

function unwrap(schema: z.ZodType): z.ZodType {
  let inner = schema;
  while (inner instanceof z.ZodOptional || inner instanceof z.ZodNullable) {
    inner = inner.unwrap() as z.ZodType;
  }
  return inner;
}

function valueAt(root: unknown, path: FieldPath): unknown {
  let value = root;
  for (const part of path) {
    if (typeof value !== "object" || value === null) return undefined;
    value = (value as Record<string | number, unknown>)[part];
  }
  return value;
}

/** Such as `a list`, for messages. */
export function kindOf(value: unknown): string {
  if (value === null) return "null";
  if (value === undefined) return "absent";
  return an(Array.isArray(value) ? "array" : typeof value);
}

const KIND_NAMES: Readonly<Record<string, string>> = {
  array: "a list",
  object: "an object",
  record: "an object",
  boolean: "true or false",
  int: "a whole number",
};

function an(kind: string): string {
  return KIND_NAMES[kind] ?? `a ${kind}`;
}

const SUGGESTION_DISTANCE_MAX = 3;

/** `; did you mean "x"?` if a candidate is near, else "". */
export function suggestion(word: string, candidates: readonly string[]): string {
  const near = nearest(word, candidates);
  return near === undefined ? "" : `; did you mean ${JSON.stringify(near)}?`;
}

/** The candidate within a few edits, ignoring case; the closest wins. */
function nearest(word: string, candidates: readonly string[]): string | undefined {
  let best: { candidate: string; distance: number } | undefined;
  for (const candidate of candidates) {
    const distance = editDistance(word.toLowerCase(), candidate.toLowerCase());
    if (!best || distance < best.distance) best = { candidate, distance };
  }
  const max = Math.min(SUGGESTION_DISTANCE_MAX, Math.floor(word.length / 2));
  return best && best.distance <= max ? best.candidate : undefined;
}

/** Longest field name compared; longer ones get no suggestion. */
const WORD_CHARACTERS_MAX = 64;

/** Levenshtein. */
function editDistance(a: string, b: string): number {
  if (a.length > WORD_CHARACTERS_MAX) return Number.POSITIVE_INFINITY;
  let row = Array.from({ length: b.length + 1 }, (_, index) => index);
  for (let i = 1; i <= a.length; i++) {
    const next = [i];
    for (let j = 1; j <= b.length; j++) {
      const replace = (row[j - 1] ?? 0) + (a[i - 1] === b[j - 1] ? 0 : 1);
      next.push(Math.min(replace, (row[j] ?? 0) + 1, (next[j - 1] ?? 0) + 1));
    }
    row = next;
  }
  return row[b.length] ?? 0;
}
