/**
 * Holds the L7 rules of a policy against the manifests of the plugins they name: unknown keys,
 * values the plugin's schema refuses, patterns that do not compile. A plugin that is not installed
 * is a warning: the policy may come first. The plugin's own `compile` has the last word, later.
 */
import type { Manifest } from "../../runtime/contract/manifest.ts";
import { l7BlocksOf } from "./l7-blocks.ts";
import { type PatternCheck, patternProblem } from "./pattern-check.ts";
import {
  formatPluginReference,
  type PluginReference,
  parsePluginReference,
} from "./plugin-reference.ts";
import { type FieldPath, type FieldProblem, formatPath, suggestion } from "./problem.ts";
import { flattenRule, manifestKey } from "./rule-fields.ts";
import { type RuleSchema, ruleSchemaOf } from "./rule-schema.ts";
import { fieldsOf, isRecord, itemsOf, textOf } from "./schema/field.ts";
import { l7KindOf } from "./schema/l7.ts";
import { ANNOTATION } from "./schema/metadata.ts";
import { HTTP_PLUGIN } from "./translate/l7.ts";

/**
 * The manifest of the version that would serve the reference, undefined if there is none. An
 * unpinned reference means the active version.
 */
export type PluginLookup = (reference: PluginReference) => Manifest | undefined;

export interface PluginCheck {
  plugins: PluginLookup;
  checkPattern: PatternCheck;
}

export interface PluginFindings {
  problems: FieldProblem[];
  warnings: FieldProblem[];
}

/** `object`: a policy of any kind as written, right or wrong. */
export function checkPlugins(object: unknown, check: PluginCheck): PluginFindings {
  const findings: PluginFindings = { problems: [], warnings: [] };
  if (fieldsOf(object).kind === "VisibilityPolicy") {
    const text = textOf(fieldsOf(fieldsOf(object).spec).plugin);
    const found = { reference: parsePluginReference(text), path: ["spec", "plugin"] };
    if (text !== "") manifestOf(found, "nothing is reported", check, findings);
    return findings;
  }
  const annotations = fieldsOf(fieldsOf(fieldsOf(object).metadata).annotations);
  const until =
    annotations[ANNOTATION.failure] === "open"
      ? "what these rules govern passes unseen"
      : "what these rules govern is denied";
  for (const { path, block } of l7BlocksOf(object)) {
    const kind = l7KindOf(block);
    if (kind === "http") {
      const found = { reference: { name: HTTP_PLUGIN }, path: [...path, "http"] };
      manifestOf(found, until, check, findings);
    } else if (kind === "l7proto") {
      const reference = parsePluginReference(textOf(block.l7proto));
      const found = { reference, path: [...path, "l7proto"] };
      const manifest = manifestOf(found, until, check, findings);
      if (manifest) checkRules(block.l7, manifest, [...path, "l7"], check, findings);
    }
  }
  return findings;
}

interface Named {
  reference: PluginReference;
  path: FieldPath;
}

/** Undefined, and a warning, if there is no such plugin or version. */
function manifestOf(
  { reference, path }: Named,
  until: string,
  { plugins }: PluginCheck,
  { warnings }: PluginFindings,
): Manifest | undefined {
  const manifest = plugins(reference);
  if (manifest) return manifest;
  const active = reference.version === undefined ? undefined : plugins({ name: reference.name });
  const known = active ? ` (active is ${active.version})` : "";
  const named = `plugin ${formatPluginReference(reference)}`;
  const missing =
    reference.version === undefined
      ? `${named} is not installed, or no version of it is active`
      : `${named} is not installed${known}`;
  warnings.push({
    path,
    message: `${missing}: until then ${until}`,
    expected: "a plugin that serves",
  });
  return undefined;
}

function checkRules(
  rules: unknown,
  manifest: Manifest,
  path: FieldPath,
  { checkPattern }: PluginCheck,
  { problems }: PluginFindings,
): void {
  let schema: RuleSchema | undefined;
  try {
    schema = ruleSchemaOf(manifest);
  } catch (error) {
    const message = error instanceof Error ? error.message : String(error);
    problems.push({ path, message, expected: "a plugin whose rule schema can be read" });
    return;
  }
  for (const [index, rule] of itemsOf(rules).entries()) {
    if (!isRecord(rule)) continue;
    for (const problem of ruleProblems(rule, manifest, schema, checkPattern)) {
      problems.push({ ...problem, path: [...path, index, ...problem.path] });
    }
  }
}

/** Paths are relative to the rule. */
function ruleProblems(
  rule: Record<string, unknown>,
  manifest: Manifest,
  schema: RuleSchema | undefined,
  checkPattern: PatternCheck,
): FieldProblem[] {
  const { fields, problems: shapeless } = flattenRule(rule);
  // Reported already, by the schema of the file.
  if (shapeless.length > 0) return [];
  const problems = schema ? schema.problemsOf(rule) : textProblems(rule);
  const known = Object.keys(manifest.rules.fields);
  for (const { key, value, path } of fields) {
    const name = manifestKey(key);
    const described = known.includes(name) ? manifest.rules.fields[name] : undefined;
    if (described?.match === "regex") {
      const problem = patternProblem(value, path, checkPattern);
      if (problem) problems.push(problem);
    }
    if (described || problems.some((problem) => isWithin(path, problem.path))) continue;
    const hint = suggestion(name, known);
    const message = `plugin ${manifest.name} has no rule field ${JSON.stringify(name)}${hint}`;
    problems.push({ path, message, expected: `one of ${known.join(", ")}` });
  }
  return problems;
}

/** Without a schema a rule is a map of strings. */
function textProblems(rule: Record<string, unknown>): FieldProblem[] {
  return Object.entries(rule)
    .filter(([, value]) => typeof value !== "string")
    .map(([key, value]) => {
      const kind = Array.isArray(value) ? "list" : typeof value;
      return { path: [key], message: `must be a string, not a ${kind}`, expected: "a string" };
    });
}

function isWithin(path: FieldPath, outer: FieldPath): boolean {
  return formatPath(path.slice(0, outer.length)) === formatPath(outer) && outer.length > 0;
}
