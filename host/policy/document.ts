/**
 * Policy files: YAML text to typed policy documents, or every error in it. A document is what the
 * user wrote, checked but not yet translated; translate/ gives it its meaning.
 */
import type { z } from "zod";
import { checkPatterns, type PatternCheck } from "./pattern-check.ts";
import { checkPlugins, type PluginLookup } from "./plugin-check.ts";
import {
  type FieldPath,
  type FieldProblem,
  formatPath,
  type PolicyProblem,
  problemsOf,
  suggestion,
} from "./problem.ts";
import {
  type CiliumRule,
  ciliumNetworkPolicySchema,
  clusterwideNetworkPolicySchema,
} from "./schema/cilium.ts";
import { fieldsOf, itemsOf } from "./schema/field.ts";
import { type L7Settings, l7SettingsOf } from "./schema/metadata.ts";
import { type NetworkPolicySpec, networkPolicySchema } from "./schema/network-policy.ts";
import {
  VISIBILITY_API_VERSION,
  type VisibilitySpec,
  visibilityPolicySchema,
} from "./schema/visibility.ts";
import type { PolicyOrigin } from "./types.ts";
import { type Position, readYaml, type YamlDocument } from "./yaml-file.ts";

export interface PolicyFileDeps {
  /** Absent: rules are not held against manifests (they were, when the policy was accepted). */
  plugins?: PluginLookup;
  /** Says what is wrong with a regular expression (RE2), undefined if it compiles. */
  checkPattern: PatternCheck;
  /** Of namespaced documents that name none; `default` if absent. */
  defaultNamespace?: string;
}

interface DocumentBase {
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

export type PolicyDocument = CiliumDocument | NetworkPolicyDocument | VisibilityDocument;
export type PolicyKind = PolicyOrigin["kind"];

const API_VERSIONS: Readonly<Record<PolicyKind, string>> = {
  CiliumNetworkPolicy: "cilium.io/v2",
  CiliumClusterwideNetworkPolicy: "cilium.io/v2",
  NetworkPolicy: "networking.k8s.io/v1",
  VisibilityPolicy: VISIBILITY_API_VERSION,
};
const KINDS = Object.keys(API_VERSIONS);

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
  for (const [index, document] of yaml.documents.entries()) {
    if (document.value === undefined) continue;
    for (const object of objectsOf(document)) {
      const source = { file, document: index, path: object.path, locate: document.locate };
      const result = parseObject(object.value, source, deps);
      if (result.document) documents.push(result.document);
      errors.push(...result.problems.map((problem) => locateProblem(problem, source)));
      warnings.push(...result.warnings.map((warning) => locateProblem(warning, source)));
    }
  }
  if (errors.length === 0 && documents.length === 0) {
    errors.push(emptyFile(file));
  }
  errors.push(...duplicates(documents));
  errors.sort((a, b) => a.document - b.document || (a.line ?? 0) - (b.line ?? 0));
  return { documents: errors.length > 0 ? [] : documents, errors, warnings };
}

/** The objects of a document: itself, or the items of a List. */
function objectsOf(document: YamlDocument): { value: unknown; path: FieldPath }[] {
  const fields = fieldsOf(document.value);
  const kind = fields.kind;
  const isList = kind === "List" || KINDS.some((name) => kind === `${name}List`);
  if (!isList || !Array.isArray(fields.items)) return [{ value: document.value, path: [] }];
  return itemsOf(fields.items).map((value, index) => ({ value, path: ["items", index] }));
}

interface ParsedObject {
  document?: PolicyDocument;
  problems: FieldProblem[];
  warnings: FieldProblem[];
}

function parseObject(value: unknown, source: DocumentSource, deps: PolicyFileDeps): ParsedObject {
  const kind = fieldsOf(value).kind;
  switch (kind) {
    case "CiliumNetworkPolicy":
      return read(ciliumNetworkPolicySchema, value, deps, (object) => ({
        ...metadataOf(object.metadata, deps, source, value),
        kind,
        rules: rulesOf(object),
        l7: l7SettingsOf(object.metadata),
      }));
    case "CiliumClusterwideNetworkPolicy":
      return read(clusterwideNetworkPolicySchema, value, deps, (object) => ({
        ...metadataOf(object.metadata, deps, source, value),
        namespace: "",
        kind,
        rules: rulesOf(object),
        l7: l7SettingsOf(object.metadata),
      }));
    case "NetworkPolicy":
      return read(networkPolicySchema, value, deps, ({ metadata, spec }) => ({
        ...metadataOf(metadata, deps, source, value),
        kind,
        spec,
      }));
    case "VisibilityPolicy":
      return read(visibilityPolicySchema, value, deps, ({ metadata, spec }) => ({
        ...metadataOf(metadata, deps, source, value),
        kind,
        spec,
      }));
    default:
      return { problems: [unknownKind(value, kind)], warnings: [] };
  }
}

function read<T>(
  schema: z.ZodType<T>,
  value: unknown,
  deps: PolicyFileDeps,
  build: (object: T) => PolicyDocument,
): ParsedObject {
  const result = schema.safeParse(value);
  const { plugins, checkPattern } = deps;
  const found = plugins
    ? checkPlugins(value, { plugins, checkPattern })
    : { problems: [], warnings: [] };
  const problems = [...checkPatterns(value, checkPattern), ...found.problems];
  const { warnings } = found;
  if (!result.success)
    problems.unshift(...problemsOf(schema, value, result.error).map(nameMissing));
  if (!result.success || problems.length > 0) return { problems, warnings };
  return { document: build(result.data), problems, warnings };

  function nameMissing(problem: FieldProblem): FieldProblem {
    if (formatPath(problem.path) !== "metadata.name" || problem.message !== "is required") {
      return problem;
    }
    return { ...problem, message: `${String(fieldsOf(value).kind)} must have name` };
  }
}

function metadataOf(
  metadata: { name: string; namespace?: string | undefined; uid?: string | undefined },
  deps: PolicyFileDeps,
  source: DocumentSource,
  object: unknown,
): DocumentBase {
  const namespace = metadata.namespace ?? deps.defaultNamespace ?? "default";
  return { name: metadata.name, namespace, uid: metadata.uid ?? "", object, source };
}

function rulesOf(object: {
  spec?: CiliumRule | undefined;
  specs?: CiliumRule[] | undefined;
}): CiliumDocument["rules"] {
  const specs = (object.specs ?? []).map((rule, index) => ({ path: ["specs", index], rule }));
  return object.spec ? [{ path: ["spec"], rule: object.spec }, ...specs] : specs;
}

function unknownKind(value: unknown, kind: unknown): FieldProblem {
  const expected = `one of ${KINDS.join(", ")}, List`;
  if (typeof kind !== "string") {
    const isObject = typeof value === "object" && value !== null && !Array.isArray(value);
    return {
      path: isObject ? ["kind"] : [],
      message: isObject ? "is required" : "must be an object",
      expected,
    };
  }
  if (kind.endsWith("List")) {
    return { path: ["items"], message: "is required", expected: "a list of policies" };
  }
  const message = `unsupported kind ${JSON.stringify(kind)}${suggestion(kind, KINDS)}`;
  return { path: ["kind"], message, expected };
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
