/**
 * Every field of the policy languages, and whether it is enforced: read from the schemas and the
 * table of refusals, so that the list cannot be out of date. `imker policy fields` prints it and
 * docs/policy-support.md holds it.
 */
import { z } from "zod";
import { KINDS, SCHEMAS } from "./kinds.ts";
import { type ApplyFeatures, REFUSALS, type Refusal } from "./refusal.ts";
import { endpointSelectorSchema, plainSelectorSchema } from "./schema/selector.ts";

export interface FieldRow {
  /** Of the document; several that have the same fields share their rows. */
  kinds: readonly string[];
  /** Such as `spec.ingress[].toPorts[].ports[].port`. */
  path: string;
  /** What a correct value looks like. */
  value: string;
  /** `enforced`, or what apply says to the field. */
  support: string;
}

/** In the order of the languages and of their schemas. */
export function fieldRows(features: ApplyFeatures): FieldRow[] {
  const rows = new Map<string, FieldRow & { kinds: string[] }>();
  for (const kind of KINDS) {
    const schema = (SCHEMAS as Readonly<Record<string, z.ZodType>>)[kind];
    if (!schema) continue;
    for (const { path, field } of leavesOf(schema, "")) {
      const row = {
        path,
        value: valueText(field),
        support: supportOf(kind, path, field, features),
      };
      const key = JSON.stringify([sectionOf(kind), row]);
      const known = rows.get(key);
      if (known) known.kinds.push(kind);
      else rows.set(key, { ...row, kinds: [kind] });
    }
  }
  return [...rows.values()];
}

/** The two Cilium kinds have the same language. */
function sectionOf(kind: string): string {
  return kind === "CiliumClusterwideNetworkPolicy" ? "CiliumNetworkPolicy" : kind;
}

interface Leaf {
  path: string;
  field: z.ZodType;
}

/**
 * Metadata is Kubernetes' own, a status nobody's to write, a description out of place. `specs[]`
 * holds what `spec` does.
 */
const SKIPPED = ["apiVersion", "kind", "metadata", "status", "description"];

function* leavesOf(schema: z.ZodType, path: string): Generator<Leaf> {
  const inner = unwrap(schema);
  if (path === "specs[]" || isSelector(inner)) yield { path, field: inner };
  else if (inner instanceof z.ZodObject) {
    const shape: Record<string, z.ZodType> = inner.shape;
    const names = Object.keys(shape).filter((name) => path !== "" || !SKIPPED.includes(name));
    for (const name of names) {
      const field = shape[name];
      if (field) yield* leavesOf(field, path === "" ? name : `${path}.${name}`);
    }
  } else if (inner instanceof z.ZodArray) {
    yield* leavesOf(inner.element as z.ZodType, `${path}[]`);
  } else yield { path, field: schema };
}

function unwrap(schema: z.ZodType): z.ZodType {
  let inner = schema;
  while (inner instanceof z.ZodOptional || inner instanceof z.ZodNullable) {
    inner = inner.unwrap() as z.ZodType;
  }
  return inner;
}

function isSelector(schema: z.ZodType): boolean {
  return schema === endpointSelectorSchema || schema === plainSelectorSchema;
}

function valueText(field: z.ZodType): string {
  const inner = unwrap(field);
  const expected = field.meta()?.expected ?? inner.meta()?.expected;
  if (expected !== undefined) return expected;
  if (isSelector(inner)) return "a label selector";
  if (inner instanceof z.ZodEnum) return inner.options.join(", ");
  if (inner instanceof z.ZodBoolean) return "true or false";
  if (inner instanceof z.ZodNumber) return "a number";
  if (inner instanceof z.ZodLiteral) return [...inner.values].join(", ");
  if (inner instanceof z.ZodString) return "text";
  if (inner instanceof z.ZodRecord) return "a map of text";
  return "as in spec";
}

/** What the schema refuses by a check across fields, which cannot be read from it. */
const NEVER: readonly (readonly [string, string])[] = [
  ...["ingress", "ingressDeny"].map(
    (list) => [`spec.${list}[].fromRequires`, "it was removed from the language"] as const,
  ),
  ...["egress", "egressDeny"].map(
    (list) => [`spec.${list}[].toRequires`, "it was removed from the language"] as const,
  ),
  ["spec.ingress[].toPorts[].rules.dns", "DNS rules are not allowed on ingress"],
  ["spec.ingress[].toPorts[].listener", "Listener is not allowed on ingress"],
];

function supportOf(kind: string, path: string, field: z.ZodType, features: ApplyFeatures): string {
  const inner = unwrap(field);
  if (inner instanceof z.ZodNever) return `refused: ${messageOf(inner)}`;
  const never = NEVER.find(([start]) => path.startsWith(start));
  if (never) return `refused: ${never[1]}`;
  // What one row has no objection to, another may refuse.
  return (
    Object.values(REFUSALS)
      .filter(({ fields }) => fields.some((end) => isAt(`${kind} ${path}`, end)))
      .map((refusal) => refusalText(refusal, features))
      .find((text) => text !== "enforced") ?? "enforced"
  );
}

/** Whether the field, or an object that holds it, is at the end of a path. */
function isAt(path: string, end: string): boolean {
  const at = ` ${path.replace(/^(\w+) /, "$1 .")}.`;
  return (
    at.includes(`.${end}.`) ||
    at.includes(`.${end}[]`) ||
    at.startsWith(` ${end.replace(" ", " .")}`)
  );
}

function refusalText({ message, unless, option, values }: Refusal, features: ApplyFeatures) {
  if (option !== undefined) {
    const what = values === undefined ? "" : `; ${values}`;
    return `enforced${what} with the agent's ${option}, otherwise refused on apply`;
  }
  if (unless !== undefined && features[unless] === true) return "enforced";
  const which = values === undefined ? "" : `enforced, but ${values} `;
  return `${which}refused on apply: ${message}`;
}

function messageOf(schema: z.ZodNever): string {
  const [issue] = schema.safeParse(0).error?.issues ?? [];
  return issue?.message ?? "is not allowed here";
}

/** Tables, one for each language, padded as the formatter pads them. */
export function fieldsMarkdown(rows: readonly FieldRow[]): string {
  const sections = new Map<string, FieldRow[]>();
  for (const row of rows) {
    const section = sectionOf(row.kinds[0] ?? "");
    sections.set(section, [...(sections.get(section) ?? []), row]);
  }
  return [...sections].map(([title, list]) => sectionMarkdown(title, list)).join("\n");
}

function sectionMarkdown(title: string, rows: readonly FieldRow[]): string {
  const clusterwide = title === "CiliumNetworkPolicy" ? ", CiliumClusterwideNetworkPolicy" : "";
  const kinds = [...new Set(rows.flatMap((row) => row.kinds))];
  const cells = rows.map((row) => {
    const only = row.kinds.length < kinds.length ? `${row.kinds.join(", ")}: ` : "";
    return [`\`${row.path}\``, row.value, `${only}${row.support}`].map((text) =>
      text.replaceAll("|", "\\|").replaceAll("*", "\\*"),
    );
  });
  return `## ${title}${clusterwide}\n\n${markdownTable(["field", "value", "state"], cells)}`;
}

function markdownTable(head: readonly string[], rows: readonly string[][]): string {
  const widths = head.map((title, column) =>
    Math.max(title.length, ...rows.map((row) => row[column]?.length ?? 0)),
  );
  const line = (cells: readonly string[], fill: string): string =>
    `| ${cells.map((cell, column) => cell.padEnd(widths[column] ?? 0, fill)).join(" | ")} |\n`;
  const rule = head.map(() => "");
  return [line(head, " "), line(rule, "-"), ...rows.map((row) => line(row, " "))].join("");
}
