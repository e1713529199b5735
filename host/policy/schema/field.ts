/**
 * Building blocks of the policy schema: strict objects, leaves that say what they expect, and
 * checks across fields that also run when a field beside them is wrong, so that one run reports
 * every error of a file.
 */
import { z } from "zod";

declare module "zod" {
  interface GlobalMeta {
    /** What a correct value looks like, as told to the person who wrote a wrong one. */
    expected?: string;
  }
}

/** Says what is wrong, or undefined. */
export type FieldTest = (value: string) => string | undefined;

/** Reports one error of a check across fields; `path` is relative to the checked object. */
export type Report = (path: (string | number)[], message: string, expected: string) => void;

/** Text with a test of its own. */
export function textField(expected: string, test: FieldTest = () => undefined) {
  return z
    .string()
    .superRefine((value, context) => {
      const message = test(value);
      if (message !== undefined) context.addIssue({ code: "custom", message });
    })
    .meta({ expected });
}

/** A field that exists in the language but not at this place. */
export function forbiddenField(message: string) {
  return z.never({ error: message }).optional().meta({ expected: "the field to be absent" });
}

/**
 * A check over several fields. It runs on what the file holds, right or wrong, hence `unknown`:
 * read it with `fieldsOf`, `itemsOf` and `textOf`.
 */
export function acrossFields(test: (fields: Record<string, unknown>, report: Report) => void) {
  const check = z.superRefine((value: unknown, context) => {
    if (!isRecord(value)) return;
    test(value, (path, message, expected) => {
      context.addIssue({ code: "custom", path, message, params: { expected } });
    });
  });
  check._zod.def.when = () => true;
  return check;
}

export function isRecord(value: unknown): value is Record<string, unknown> {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

export function fieldsOf(value: unknown): Record<string, unknown> {
  return isRecord(value) ? value : {};
}

export function itemsOf(value: unknown): unknown[] {
  return Array.isArray(value) ? value : [];
}

export function textOf(value: unknown): string {
  return typeof value === "string" ? value : "";
}

/** Lists these fields that hold at least one item. */
export function filledLists(fields: Record<string, unknown>, names: readonly string[]): string[] {
  return names.filter((name) => itemsOf(fields[name]).length > 0);
}

/** `fromCIDRSet` as error messages name it: `FromCIDRSet`. */
export function titled(field: string): string {
  return field.charAt(0).toUpperCase() + field.slice(1);
}

/** `message` unless the pattern matches. */
export function matching(pattern: RegExp, message: string): FieldTest {
  return (value) => (pattern.test(value) ? undefined : message);
}
