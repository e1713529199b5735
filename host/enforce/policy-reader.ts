/**
 * From policy files to documents that can be applied: the language, the features of this version,
 * and whether the plugins take the rules. Changes nothing, so the command line uses it too.
 */
import type { PolicyFile } from "../admin/types.ts";
import {
  type PolicyDocument,
  type PolicyFileDeps,
  type PolicyProblem,
  parsePolicyFile,
  validateForApply,
} from "../policy/index.ts";
import { translate } from "../policy/translate/index.ts";
import type { L7Rules } from "../policy/types.ts";

export interface PolicyReaderDeps {
  parsing: PolicyFileDeps;
  cluster: string;
  /** Throws what is wrong when a plugin does not take the rules. */
  checkRules: (rules: L7Rules) => void;
}

export interface ReadPolicies {
  /** Of the files without an error. */
  documents: PolicyDocument[];
  errors: PolicyProblem[];
}

export function readPolicyFiles(
  files: readonly PolicyFile[],
  deps: PolicyReaderDeps,
): ReadPolicies {
  const errors: PolicyProblem[] = [];
  const documents: PolicyDocument[] = [];
  for (const { file, text } of files) {
    const parsed = parsePolicyFile(text, file, deps.parsing);
    const problems = [
      ...parsed.errors,
      ...parsed.documents.flatMap((document) => validateForApply(document)),
      ...parsed.documents.flatMap((document) => checkRules(document, deps)),
    ];
    if (problems.length === 0) documents.push(...parsed.documents);
    errors.push(...problems);
  }
  return { documents, errors };
}

/** Asks the plugins whether they take the rules, so that a refusal names its document. */
function checkRules(document: PolicyDocument, deps: PolicyReaderDeps): PolicyProblem[] {
  if (validateForApply(document).length > 0) return [];
  for (const rule of translate(document, { cluster: deps.cluster, revision: 0 })) {
    for (const { l7 } of rule.items.flatMap((item) => item.ports ?? [])) {
      try {
        if (l7 !== undefined) deps.checkRules(l7.rules);
      } catch (error) {
        return [problemOf(document, error)];
      }
    }
  }
  return [];
}

/** An error of a whole document, for what does not know where in it the cause stands. */
export function problemOf(document: PolicyDocument, error: unknown): PolicyProblem {
  const { file, document: index } = document.source;
  const message = error instanceof Error ? error.message : String(error);
  return { file, document: index, path: "", message, expected: "", ...document.source.locate([]) };
}
