/**
 * From policy files to documents that can be applied: the language, the features of this version,
 * and whether the plugins take the rules. Changes nothing, so the command line uses it too.
 */
import { PluginRuleError } from "../../runtime/isolate/index.ts";
import type { PolicyFile } from "../admin/types.ts";
import {
  type ApplyFeatures,
  type FieldPath,
  flattenRule,
  locateProblem,
  type PolicyDocument,
  type PolicyFileDeps,
  type PolicyProblem,
  parsePolicyFile,
  validateForApply,
} from "../policy/index.ts";
import { l7BlocksOf } from "../policy/l7-blocks.ts";
import type { L7RuleBlock } from "../policy/schema/l7.ts";
import { translateL7 } from "../policy/translate/l7.ts";
import type { L7Rules } from "../policy/types.ts";

/** What this agent is able to do of what the language leaves open. */
export const APPLY_FEATURES: ApplyFeatures = { peerNamedPorts: true };

export interface PolicyReaderDeps {
  parsing: PolicyFileDeps;
  /**
   * Throws what is wrong when a plugin does not take the rules. Not asked about plugins that
   * `parsing.plugins` does not know: those are warnings.
   */
  checkRules: (rules: L7Rules) => void;
}

export interface ReadPolicies {
  /** Of the files without an error. */
  documents: PolicyDocument[];
  errors: PolicyProblem[];
  /** Policies that are accepted but not in force as written. */
  warnings: PolicyProblem[];
}

export function readPolicyFiles(
  files: readonly PolicyFile[],
  deps: PolicyReaderDeps,
): ReadPolicies {
  const read: ReadPolicies = { documents: [], errors: [], warnings: [] };
  for (const { file, text } of files) {
    const { documents, errors, warnings } = parsePolicyFile(text, file, deps.parsing);
    const problems = [
      ...errors,
      ...documents.flatMap((document) => validateForApply(document, APPLY_FEATURES)),
      ...documents.flatMap((document) => checkRules(document, deps)),
    ];
    if (problems.length === 0) read.documents.push(...documents);
    read.errors.push(...problems);
    read.warnings.push(...warnings);
  }
  return read;
}

/** Asks the plugins whether they take the rules. */
function checkRules(document: PolicyDocument, deps: PolicyReaderDeps): PolicyProblem[] {
  if (document.kind === "NetworkPolicy" || document.kind === "VisibilityPolicy") return [];
  if (validateForApply(document, APPLY_FEATURES).length > 0) return [];
  const { plugins } = deps.parsing;
  const problems: PolicyProblem[] = [];
  for (const { path, block } of l7BlocksOf(document.object)) {
    // The object has passed the schema, so its blocks have this shape.
    const l7 = translateL7(block as L7RuleBlock, document.l7);
    if (!l7) continue;
    const { plugin: name, version } = l7.rules;
    if (plugins && !plugins(version === undefined ? { name } : { name, version })) continue;
    try {
      deps.checkRules(l7.rules);
    } catch (error) {
      problems.push(ruleProblem(document, path, block, error));
    }
  }
  return problems;
}

/** Names the field if the plugin did. */
function ruleProblem(
  document: PolicyDocument,
  path: FieldPath,
  block: Record<string, unknown>,
  error: unknown,
): PolicyProblem {
  const message = error instanceof Error ? error.message : String(error);
  if (!(error instanceof PluginRuleError)) {
    return locateProblem({ path, message, expected: "" }, document.source);
  }
  const list = block.l7proto === undefined ? "http" : "l7";
  const rules = block[list];
  const rule: unknown = Array.isArray(rules) ? rules[error.rule] : undefined;
  const fields = typeof rule === "object" && rule !== null ? flattenRule({ ...rule }).fields : [];
  const field = fields.find(({ key }) => key === error.key)?.path ?? [];
  const problem = {
    path: rule === undefined ? path : [...path, list, error.rule, ...field],
    message: error.detail,
    expected: "a rule the plugin takes",
  };
  return locateProblem(problem, document.source);
}

/** An error of a whole document, for what does not know where in it the cause stands. */
export function problemOf(document: PolicyDocument, error: unknown): PolicyProblem {
  const message = error instanceof Error ? error.message : String(error);
  return locateProblem({ path: [], message, expected: "" }, document.source);
}
