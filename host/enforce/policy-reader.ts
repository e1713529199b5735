/**
 * From policy files to documents that can be applied: the language, the features of this version,
 * and whether the plugins take the rules. Changes nothing, so the command line uses it too.
 */
import { PluginRuleError } from "../../runtime/isolate/index.ts";
import type { PolicyFile } from "../admin/types.ts";
import { documentKey, policyKeyText } from "../policy/document.ts";
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
import { formatPath } from "../policy/problem.ts";
import type { L7RuleBlock } from "../policy/schema/l7.ts";
import { translateL7 } from "../policy/translate/l7.ts";
import type { L7Rules } from "../policy/types.ts";

/** What every agent is able to do of what the language leaves open; options add to it. */
export const APPLY_FEATURES: ApplyFeatures = { peerNamedPorts: true, tiers: true };

/** What an agent with these options is able to do. */
export function featuresOf(options: {
  nodeSelectorLabels: boolean;
  extendedIpProtocols: boolean;
  hostFirewall?: boolean;
}): ApplyFeatures {
  return {
    ...APPLY_FEATURES,
    nodeSelectorLabels: options.nodeSelectorLabels,
    extendedProtocols: options.extendedIpProtocols,
    hostFirewall: options.hostFirewall ?? false,
  };
}

export interface PolicyReaderDeps {
  parsing: PolicyFileDeps;
  features: ApplyFeatures;
  /**
   * Whether what is not enforced is an error, as it is for those who apply. Otherwise it is a
   * warning.
   */
  forApply: boolean;
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
  const fileOf = new Map<string, string>();
  for (const { file, text } of files) {
    const { documents, errors, warnings } = parsePolicyFile(text, file, deps.parsing);
    const refused = documents.flatMap((document) => validateForApply(document, deps.features));
    const problems = [
      ...errors,
      ...documents.flatMap((document) => repeated(document, fileOf)),
      ...(deps.forApply ? refused : []),
      ...documents.flatMap((document) => checkRules(document, refused, deps)),
    ];
    if (problems.length === 0) read.documents.push(...documents);
    for (const document of documents) fileOf.set(documentKey(document), file);
    read.errors.push(...problems);
    read.warnings.push(...warnings);
    if (!deps.forApply) read.warnings.push(...refused.map(refusedOnApply));
  }
  return read;
}

/** As within one file: the second would silently replace the first. */
function repeated(document: PolicyDocument, fileOf: ReadonlyMap<string, string>): PolicyProblem[] {
  const file = fileOf.get(documentKey(document));
  if (file === undefined) return [];
  const message = `${policyKeyText(document)} stands in ${file} too`;
  const problem = { path: ["metadata", "name"], message, expected: "one of them" };
  return [locateProblem(problem, document.source)];
}

function refusedOnApply(problem: PolicyProblem): PolicyProblem {
  return { ...problem, message: `${problem.message}; the policy is refused on apply` };
}

/** Asks the plugins whether they take the rules; not about what is refused without them. */
function checkRules(
  document: PolicyDocument,
  refused: readonly PolicyProblem[],
  deps: PolicyReaderDeps,
): PolicyProblem[] {
  if (!("l7" in document)) return [];
  const { plugins } = deps.parsing;
  const problems: PolicyProblem[] = [];
  for (const { path, block } of l7BlocksOf(document.object)) {
    const { source } = document;
    const place = formatPath([...source.path, ...path]);
    const isRefused = refused.some(
      (one) => one.document === source.document && one.path.startsWith(`${place}.`),
    );
    if (isRefused) continue;
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
