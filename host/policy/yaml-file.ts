/**
 * YAML (and so JSON) text to plain values that know where they stand in the file. Knows nothing
 * of policies.
 */
import { isMap, isScalar, isSeq, LineCounter, type Node, parseAllDocuments } from "yaml";
import type { FieldPath } from "./problem.ts";

/** The API server's own limit for an object is below this. */
export const POLICY_FILE_CHARACTERS_MAX = 4 * 1024 * 1024;
/** More are not worth reading: the first ones explain the others. */
const ERRORS_MAX = 20;
/** Alias bombs: how many nodes aliases may add. */
const ALIAS_COUNT_MAX = 100;

export interface Position {
  /** From 1. */
  line: number;
  column: number;
}

export interface YamlDocument {
  /** Undefined if it could not be read. */
  value: unknown;
  /** Where a field stands; of a missing one, where its closest parent stands. */
  locate: (path: FieldPath) => Position;
}

export interface YamlError {
  document: number;
  message: string;
  position: Position;
}

const START: Position = { line: 1, column: 1 };

/** Never throws; documents that hold nothing are left out. */
export function readYaml(text: string): { documents: YamlDocument[]; errors: YamlError[] } {
  const refuse = (message: string) => ({
    documents: [],
    errors: [{ document: 0, message, position: START }],
  });
  if (text.length > POLICY_FILE_CHARACTERS_MAX) {
    return refuse(`the file is longer than ${POLICY_FILE_CHARACTERS_MAX} characters`);
  }
  try {
    const { documents, errors } = readDocuments(text);
    return { documents, errors: errors.slice(0, ERRORS_MAX) };
  } catch (error) {
    // The parser recurses: nesting that exhausts the stack ends here.
    return refuse(messageOf(error));
  }
}

function messageOf(error: unknown): string {
  const message = error instanceof Error ? error.message : String(error);
  return /call stack/.test(message) ? "the file is nested too deeply" : message;
}

function readDocuments(text: string): { documents: YamlDocument[]; errors: YamlError[] } {
  const lineCounter = new LineCounter();
  const position = (offset: number): Position => {
    const { line, col } = lineCounter.linePos(offset);
    return { line: Math.max(line, 1), column: Math.max(col, 1) };
  };
  const documents: YamlDocument[] = [];
  const errors: YamlError[] = [];
  const parsed = parseAllDocuments(text, {
    lineCounter,
    prettyErrors: false,
    merge: true,
    logLevel: "error",
  });
  if (!Array.isArray(parsed)) return { documents, errors };
  for (const document of parsed) {
    if (document.errors.length === 0 && isEmpty(document.contents)) continue;
    const index = documents.length;
    for (const error of [...document.errors, ...document.warnings]) {
      const message = messageOf(error);
      errors.push({ document: index, message, position: position(error.pos[0]) });
    }
    let value: unknown;
    try {
      value =
        document.errors.length > 0 ? undefined : document.toJS({ maxAliasCount: ALIAS_COUNT_MAX });
    } catch (error) {
      errors.push({ document: index, message: messageOf(error), position: START });
    }
    documents.push({
      value,
      locate: (path) => position(offsetOf(document.contents, path)),
    });
  }
  return { documents, errors };
}

/** Only comments, or nothing, between two `---`. */
function isEmpty(contents: unknown): boolean {
  return contents === null || (isScalar(contents) && contents.value === null);
}

function offsetOf(contents: Node | null, path: FieldPath): number {
  let node: unknown = contents;
  let offset = contents?.range?.[0] ?? 0;
  for (const part of path) {
    if (isMap(node)) {
      const pair = node.items.find(({ key }) => textOfKey(key) === String(part));
      if (!pair) return offset;
      offset = rangeStart(pair.key) ?? offset;
      node = pair.value;
    } else if (isSeq(node) && typeof part === "number") {
      node = node.items[part];
      offset = rangeStart(node) ?? offset;
    } else return offset;
  }
  return offset;
}

function textOfKey(key: unknown): string | undefined {
  const value = typeof key === "object" && key !== null && "value" in key ? key.value : key;
  return value === undefined || value === null ? undefined : String(value);
}

function rangeStart(node: unknown): number | undefined {
  if (typeof node !== "object" || node === null || !("range" in node)) return undefined;
  const start: unknown = Array.isArray(node.range) ? node.range[0] : undefined;
  return typeof start === "number" ? start : undefined;
}
