/**
 * Policy files: YAML text to typed policy documents, or every error in it. A document is what the
 * user wrote, checked but not yet translated; translate/ gives it its meaning.
 */
import { adviceOn } from "./advice.ts";
import { KINDS, parseObject } from "./kinds.ts";
import type { PatternCheck } from "./pattern-check.ts";
import type { PluginLookup } from "./plugin-check.ts";
import { type FieldPath, type FieldProblem, formatPath, type PolicyProblem } from "./problem.ts";
import type { CiliumRule } from "./schema/cilium.ts";
import type { TieredSpec } from "./schema/cluster-policy.ts";
import { fieldsOf, isRecord, itemsOf } from "./schema/field.ts";
import type { L7Settings } from "./schema/metadata.ts";
import type { NetworkPolicySpec } from "./schema/network-policy.ts";
import type { VisibilitySpec } from "./schema/visibility.ts";
import type { CidrGroup } from "./sources.ts";
import { type Position, readYaml, type YamlDocument } from "./yaml-file.ts";

export interface PolicyFileDeps {
  /** Absent: rules are not held against manifests (they were, when the policy was accepted). */
  plugins?: PluginLookup;
  /** Says what is wrong with a regular expression (RE2), undefined if it compiles. */
  checkPattern: PatternCheck;
  /** Of namespaced documents that name none; `default` if absent. */
  defaultNamespace?: string;
  /** Ports may be left out, which means all of them (the agent's `--extended-ip-protocols`). */
  extendedProtocols?: boolean;
}

export interface DocumentBase {
  name: string;
  /** "" for clusterwide policies. */
  namespace: string;
  /** metadata.uid, "" if absent. */
  uid: string;
  /** The object as written, for showing it again. */
  object: unknown;
  source: DocumentSource;
}

/** Where a document came from, for errors found later. */
export interface DocumentSource {
  file: string;
  document: number;
  /** Position of the object in the document: empty, or `items[n]` of a List. */
  path: FieldPath;
  locate: (path: FieldPath) => Position;
}

export interface CiliumDocument extends DocumentBase {
  kind: "CiliumNetworkPolicy" | "CiliumClusterwideNetworkPolicy";
  /** `spec`, then `specs`, each with its path in the document. */
  rules: readonly { path: FieldPath; rule: CiliumRule }[];
  l7: L7Settings;
}

export interface NetworkPolicyDocument extends DocumentBase {
  kind: "NetworkPolicy";
  spec: NetworkPolicySpec;
}

export interface VisibilityDocument extends DocumentBase {
  kind: "VisibilityPolicy";
  spec: VisibilitySpec;
}

export interface TieredDocument extends DocumentBase {
  kind: "ClusterNetworkPolicy" | "AdminNetworkPolicy" | "BaselineAdminNetworkPolicy";
  spec: TieredSpec;
}

/** No policy itself; policies refer to it by name or labels. */
export interface CidrGroupDocument extends DocumentBase {
  kind: "CiliumCIDRGroup";
  group: CidrGroup;
}

/** A document that says what is allowed, denied or shown. */
export type RuleDocument =
  | CiliumDocument
  | NetworkPolicyDocument
  | TieredDocument
  | VisibilityDocument;
export type PolicyDocument = RuleDocument | CidrGroupDocument;
export type PolicyKind = PolicyDocument["kind"];

/**
 * What a file holds. With any error there are no documents, so that nothing of the file can be
 * applied; a warning is about a policy that is accepted but not in force as written.
 */
export interface ParsedPolicyFile {
  documents: PolicyDocument[];
  errors: PolicyProblem[];
  warnings: PolicyProblem[];
}

/** Reads one file of one or more documents. All errors are reported at once. */
export function parsePolicyFile(
  text: string,
  file: string,
  deps: PolicyFileDeps,
): ParsedPolicyFile {
  const yaml = readYaml(text);
  const errors: PolicyProblem[] = yaml.errors.map(({ document, message, position }) => ({
    file,
    document,
    path: "",
    message,
    expected: "valid YAML",
    ...position,
  }));
  const documents: PolicyDocument[] = [];
  const warnings: PolicyProblem[] = [];
  const others: PolicyProblem[] = [];
  for (const [index, document] of yaml.documents.entries()) {
    if (document.value === undefined) continue;
    for (const object of objectsOf(document)) {
      const source = { file, document: index, path: object.path, locate: document.locate };
      const result = parseObject(object.value, source, deps);
      if (result.document) {
        documents.push(result.document);
        result.warnings.push(...adviceOn(result.document));
      }
      const problems = result.problems.map((problem) => locateProblem(problem, source));
      (result.isOther ? others : errors).push(...problems);
      warnings.push(...result.warnings.map((warning) => locateProblem(warning, source)));
    }
  }
  if (errors.length === 0 && documents.length === 0) {
    errors.push(...(others.length > 0 ? others : [emptyFile(file)]));
  } else {
    warnings.push(...others.map(leftOut));
  }
  errors.push(...duplicates(documents));
  errors.sort((a, b) => a.document - b.document || (a.line ?? 0) - (b.line ?? 0));
  return { documents: errors.length > 0 ? [] : documents, errors, warnings };
}

/**
 * The objects of a document: itself, or the items of a List. The API server leaves kind and version
 * out of the items of a list of one kind.
 */
function objectsOf(document: YamlDocument): { value: unknown; path: FieldPath }[] {
  const { kind, apiVersion, items } = fieldsOf(document.value);
  const itemKind = KINDS.find((name) => kind === `${name}List`);
  const isList = kind === "List" || itemKind !== undefined;
  if (!isList || !Array.isArray(items)) return [{ value: document.value, path: [] }];
  return itemsOf(items).map((item, index) => {
    const named = itemKind === undefined || !isRecord(item) || item.kind !== undefined;
    const value = named ? item : { apiVersion, kind: itemKind, ...item };
    return { value, path: ["items", index] };
  });
}

/** Beside a policy it is no mistake. */
function leftOut(problem: PolicyProblem): PolicyProblem {
  const message = `${problem.message}; it is left out`;
  return { ...problem, message, expected: "only policies" };
}

function emptyFile(file: string): PolicyProblem {
  return {
    file,
    document: 0,
    path: "",
    message: "the file holds no document",
    expected: "a policy",
  };
}

/** Applied one after the other, the second would silently replace the first. */
function duplicates(documents: readonly PolicyDocument[]): PolicyProblem[] {
  const seen = new Set<string>();
  return documents.flatMap((document) => {
    const key = documentKey(document);
    if (!seen.has(key)) {
      seen.add(key);
      return [];
    }
    const message = `${document.kind} ${document.name} stands twice in this file`;
    return [
      locateProblem(
        { path: ["metadata", "name"], message, expected: "one of them" },
        document.source,
      ),
    ];
  });
}

/** What makes a document unique in a repository. */
export function documentKey(document: Pick<PolicyDocument, "kind" | "namespace" | "name">): string {
  return `${document.kind}/${document.namespace}/${document.name}`;
}

/** The same without the text it came from, whose positions nobody asks for once it is accepted. */
export function withoutText<D extends PolicyDocument>(document: D): D {
  const locate = (): Position => ({ line: 1, column: 1 });
  return { ...document, source: { ...document.source, locate } };
}

/** For people: `CiliumNetworkPolicy shop/web`. */
export function policyKeyText(
  document: Pick<PolicyDocument, "kind" | "namespace" | "name">,
): string {
  const { kind, namespace, name } = document;
  return `${kind} ${namespace === "" ? "" : `${namespace}/`}${name}`;
}

/** Gives a problem of an object its place in the file. */
export function locateProblem(problem: FieldProblem, source: DocumentSource): PolicyProblem {
  const path = [...source.path, ...problem.path];
  return {
    file: source.file,
    document: source.document,
    path: formatPath(path),
    message: problem.message,
    expected: problem.expected,
    ...source.locate(path),
  };
}
