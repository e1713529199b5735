/**
 * Policy files: YAML text to typed policy documents, or every error in it. A document is what the
 * user wrote, checked but not yet translated; translate/ gives it its meaning.
 */
import type { z } from "zod";
import { checkPatterns, type PatternCheck } from "./pattern-check.ts";
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
import { type NetworkPolicySpec, networkPolicySchema } from "./schema/network-policy.ts";
import type { PolicyOrigin } from "./types.ts";
import { type Position, readYaml, type YamlDocument } from "./yaml-file.ts";

export interface PolicyFileDeps {
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
}

export interface NetworkPolicyDocument extends DocumentBase {
  kind: "NetworkPolicy";
  spec: NetworkPolicySpec;
}

export type PolicyDocument = CiliumDocument | NetworkPolicyDocument;
export type PolicyKind = PolicyOrigin["kind"];

const API_VERSIONS: Readonly<Record<PolicyKind, string>> = {
  CiliumNetworkPolicy: "cilium.io/v2",
  CiliumClusterwideNetworkPolicy: "cilium.io/v2",
  NetworkPolicy: "networking.k8s.io/v1",
};
const KINDS = Object.keys(API_VERSIONS);

/**
 * Reads one file of one or more documents. All errors are reported at once; with any error there
 * are no documents, so that nothing of the file can be applied.
 */
export function parsePolicyFile(
  text: string,
  file: string,
  deps: PolicyFileDeps,
): { documents: PolicyDocument[]; errors: PolicyProblem[] } {
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
  for (const [index, document] of yaml.documents.entries()) {
    if (document.value === undefined) continue;
    for (const object of objectsOf(document)) {
      const source = { file, document: index, path: object.path, locate: document.locate };
      const result = parseObject(object.value, source, deps);
      if (result.document) documents.push(result.document);
      errors.push(...result.problems.map((problem) => locateProblem(problem, source)));
    }
  }
  if (errors.length === 0 && yaml.documents.length === 0) {
    errors.push(emptyFile(file));
  }
  errors.push(...duplicates(documents));
  errors.sort((a, b) => a.document - b.document || (a.line ?? 0) - (b.line ?? 0));
  return { documents: errors.length > 0 ? [] : documents, errors };
}

/** The objects of a document: itself, or the items of a List. */
function objectsOf(document: YamlDocument): { value: unknown; path: FieldPath }[] {
  const fields = fieldsOf(document.value);
  const kind = fields.kind;
  const isList = kind === "List" || KINDS.some((name) => kind === `${name}List`);
  if (!isList || !Array.isArray(fields.items)) return [{ value: document.value, path: [] }];
  return itemsOf(fields.items).map((value, index) => ({ value, path: ["items", index] }));
}

function parseObject(
  value: unknown,
  source: DocumentSource,
  deps: PolicyFileDeps,
): { document?: PolicyDocument; problems: FieldProblem[] } {
  const kind = fieldsOf(value).kind;
  switch (kind) {
    case "CiliumNetworkPolicy":
      return read(ciliumNetworkPolicySchema, value, deps, (object) => ({
        ...metadataOf(object.metadata, deps, source, value),
        kind,
        rules: rulesOf(object),
      }));
    case "CiliumClusterwideNetworkPolicy":
      return read(clusterwideNetworkPolicySchema, value, deps, (object) => ({
        ...metadataOf(object.metadata, deps, source, value),
        namespace: "",
        kind,
        rules: rulesOf(object),
      }));
    case "NetworkPolicy":
      return read(networkPolicySchema, value, deps, ({ metadata, spec }) => ({
        ...metadataOf(metadata, deps, source, value),
        kind,
        spec,
      }));
    default:
      return { problems: [unknownKind(value, kind)] };
  }
}

function read<T>(
  schema: z.ZodType<T>,
  value: unknown,
  deps: PolicyFileDeps,
  build: (object: T) => PolicyDocument,
): { document?: PolicyDocument; problems: FieldProblem[] } {
  const result = schema.safeParse(value);
  const problems = checkPatterns(value, deps.checkPattern);
  if (result.success && problems.length === 0) return { document: build(result.data), problems };
  if (result.success) return { problems };
  return { problems: [...problemsOf(schema, value, result.error).map(nameMissing), ...problems] };

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
