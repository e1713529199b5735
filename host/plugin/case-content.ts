/**
 * From what a worker tells of a recorded connection to a case file: rules instead of numbers, names
 * instead of keys, and without the values of fields that the plugin declares sensitive.
 */
import type { Case } from "../../runtime/contract/case.ts";
import type { Manifest } from "../../runtime/contract/manifest.ts";
import { recordLine } from "../../runtime/contract/record-line.ts";
import type { CaseBody } from "../../runtime/contract/records.ts";
import type { L7Rules } from "../policy/types.ts";

const MASK = "*";
const KINDS = ["request", "response"] as const;

export interface CaseContentDeps {
  /** Undefined: the rule set is gone. */
  rulesOf: (ruleSet: number) => L7Rules["rules"] | undefined;
  /** Of the plugin that served the connection; undefined: it is not installed any more. */
  manifest: Manifest | undefined;
}

export function caseContent(body: CaseBody, { rulesOf, manifest }: CaseContentDeps): Case {
  const { open } = body;
  const partial = [...body.missing];
  const stages = open.stages.map(({ point, ruleSet }) => {
    const rules = rulesOf(ruleSet);
    if (rules === undefined) partial.push(`rule set ${ruleSet} is gone`);
    return { point, rules: (rules ?? []).map(ruleMap) };
  });
  const secrets: string[] = [];
  const records = body.records.map((record) => lineOf(record, manifest, secrets));
  if (manifest === undefined) partial.push("its plugin is not installed any more");
  // Without the manifest nobody knows which bytes are secret.
  const masked = manifest === undefined || secrets.length > 0;
  if (masked) partial.push("masked");
  const { stages: _stages, plugin, ...facts } = open;
  return {
    ...{ format: "imker case 1", plugin, stages, facts },
    steps: masked
      ? maskSteps(body.steps, manifest === undefined ? undefined : secrets)
      : body.steps,
    observed: {
      records,
      ...(body.close === undefined ? {} : { close: body.close }),
      ...(body.fault === undefined ? {} : { fault: body.fault }),
    },
    ...{ exact: partial.length === 0, partial },
  };
}

/** A repeated key gets a number: `header`, `header#2`. */
function ruleMap(rule: L7Rules["rules"][number]): Record<string, string> {
  const seen = new Map<string, number>();
  return Object.fromEntries(
    rule.map(({ key, value }) => {
      const count = (seen.get(key) ?? 0) + 1;
      seen.set(key, count);
      return [count === 1 ? key : `${key}#${count}`, value];
    }),
  );
}

/** Notes sensitive values in `secrets`. */
function lineOf(
  record: CaseBody["records"][number],
  manifest: Manifest | undefined,
  secrets: string[],
): string {
  const meaning = manifest?.records[KINDS[record.kind] ?? "request"];
  const fields = record.fields.map(({ key, value }): [string, string] => {
    const name = meaning?.fields[key] ?? "?";
    const text =
      typeof value === "number" ? String(value) : Buffer.from(value, "base64").toString("latin1");
    if (manifest === undefined) return [name, MASK];
    if (meaning?.sensitive?.includes(name) !== true) return [name, text];
    if (text !== "") secrets.push(text);
    return [name, MASK];
  });
  return recordLine({ ...record, fields });
}

/**
 * Every place where a secret stands becomes asterisks. A secret that stands nowhere as it is was
 * encoded somehow: then, and without secrets to look for, all bytes do.
 */
function maskSteps(steps: Case["steps"], secrets: readonly string[] | undefined): Case["steps"] {
  const texts = KINDS.map((direction) =>
    steps
      .filter((step) => step.direction === direction)
      .map(({ bytes }) => Buffer.from(bytes, "base64").toString("latin1"))
      .join(""),
  );
  const found = secrets?.every((secret) => texts.some((text) => text.includes(secret))) ?? false;
  const masked = texts.map((text) =>
    found ? maskAll(text, secrets ?? []) : MASK.repeat(text.length),
  );
  const at = [0, 0];
  return steps.map((step) => {
    const way = step.direction === "request" ? 0 : 1;
    const from = at[way] ?? 0;
    const to = from + Buffer.from(step.bytes, "base64").length;
    at[way] = to;
    const bytes = Buffer.from(masked[way]?.slice(from, to) ?? "", "latin1").toString("base64");
    return { ...step, bytes };
  });
}

/** The longest first: one may be a part of another. */
function maskAll(text: string, secrets: readonly string[]): string {
  return [...secrets]
    .sort((a, b) => b.length - a.length)
    .reduce((rest, secret) => rest.replaceAll(secret, MASK.repeat(secret.length)), text);
}
