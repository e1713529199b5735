/**
 * The kinds of documents there are: which schema reads each, and what it becomes. Adding a kind is
 * adding a row here, a type in document.ts and its meaning in translate/.
 */
import type { z } from "zod";
import { parsePrefix } from "../identity/cidr.ts";
import { prefixesByText } from "../identity/prefix-labels.ts";
import type {
  CidrGroupDocument,
  CiliumDocument,
  DocumentBase,
  DocumentSource,
  PolicyDocument,
  PolicyFileDeps,
  PolicyKind,
} from "./document.ts";
import { missingPorts } from "./missing-ports.ts";
import { checkPatterns } from "./pattern-check.ts";
import { checkPlugins } from "./plugin-check.ts";
import { type FieldProblem, formatPath, problemsOf, suggestion } from "./problem.ts";
import {
  adminNetworkPolicySchema,
  adminSpecOf,
  baselineAdminNetworkPolicySchema,
} from "./schema/admin-policy.ts";
import { cidrGroupSchema } from "./schema/cidr-group.ts";
import {
  type CiliumRule,
  ciliumNetworkPolicySchema,
  clusterwideNetworkPolicySchema,
} from "./schema/cilium.ts";
import { clusterNetworkPolicySchema, tieredSpecOf } from "./schema/cluster-policy.ts";
import { fieldsOf, isRecord } from "./schema/field.ts";
import { l7SettingsOf } from "./schema/metadata.ts";
import { networkPolicySchema } from "./schema/network-policy.ts";
import { visibilityPolicySchema } from "./schema/visibility.ts";

/** By kind, in the order in which they are shown. */
export const SCHEMAS: Readonly<Record<PolicyKind, z.ZodType>> = {
  CiliumNetworkPolicy: ciliumNetworkPolicySchema,
  CiliumClusterwideNetworkPolicy: clusterwideNetworkPolicySchema,
  NetworkPolicy: networkPolicySchema,
  ClusterNetworkPolicy: clusterNetworkPolicySchema,
  AdminNetworkPolicy: adminNetworkPolicySchema,
  BaselineAdminNetworkPolicy: baselineAdminNetworkPolicySchema,
  CiliumCIDRGroup: cidrGroupSchema,
  VisibilityPolicy: visibilityPolicySchema,
};
export const KINDS = Object.keys(SCHEMAS);
const EXPECTED = `one of ${KINDS.join(", ")}, List`;

/** Where policies are: what else is there may be one that we do not know. */
const POLICY_GROUPS = [
  "cilium.io",
  "networking.k8s.io",
  "policy.networking.k8s.io",
  "crd.projectcalico.org",
  "projectcalico.org",
  "imker.io",
];
/** Of their groups, and surely none. */
const NO_POLICIES = ["Ingress", "IngressClass", "CiliumNode", "CiliumEndpoint", "CiliumIdentity"];

/** What an agent learns of its cluster from elsewhere; none of these is a policy. */
const CLUSTER_KINDS = ["Namespace", "Service", "EndpointSlice", "Endpoints", "Node", "CiliumNode"];

export interface ParsedObject {
  document?: PolicyDocument;
  /** It is no policy at all, and may stand beside one. */
  isOther?: boolean;
  problems: FieldProblem[];
  warnings: FieldProblem[];
}

/** Reads one object of whatever kind; every problem of it is reported. */
export function parseObject(
  value: unknown,
  source: DocumentSource,
  deps: PolicyFileDeps,
): ParsedObject {
  const kind = fieldsOf(value).kind;
  const base = (metadata: Metadata) => metadataOf(metadata, deps, source, value);
  const clusterwide = (metadata: Metadata) => ({ ...base(metadata), namespace: "" });
  switch (kind) {
    case "CiliumNetworkPolicy":
      return read(ciliumNetworkPolicySchema, value, deps, (object) => ({
        ...base(object.metadata),
        kind,
        rules: rulesOf(object),
        l7: l7SettingsOf(object.metadata),
      }));
    case "CiliumClusterwideNetworkPolicy":
      return read(clusterwideNetworkPolicySchema, value, deps, (object) => ({
        ...clusterwide(object.metadata),
        kind,
        rules: rulesOf(object),
        l7: l7SettingsOf(object.metadata),
      }));
    case "NetworkPolicy":
      return read(networkPolicySchema, value, deps, ({ metadata, spec }) => ({
        ...base(metadata),
        kind,
        spec: spec ?? {},
      }));
    case "ClusterNetworkPolicy":
      return read(clusterNetworkPolicySchema, value, deps, ({ metadata, spec }) => ({
        ...clusterwide(metadata),
        kind,
        spec: tieredSpecOf(spec),
      }));
    case "AdminNetworkPolicy":
      return read(adminNetworkPolicySchema, value, deps, ({ metadata, spec }) => ({
        ...clusterwide(metadata),
        kind,
        spec: adminSpecOf(spec),
      }));
    case "BaselineAdminNetworkPolicy":
      return read(baselineAdminNetworkPolicySchema, value, deps, ({ metadata, spec }) => ({
        ...clusterwide(metadata),
        kind,
        spec: adminSpecOf(spec),
      }));
    case "CiliumCIDRGroup":
      return read(cidrGroupSchema, value, deps, ({ metadata, spec }) => ({
        ...clusterwide(metadata),
        kind,
        group: groupOf(metadata, spec.externalCIDRs),
      }));
    case "VisibilityPolicy":
      return read(visibilityPolicySchema, value, deps, ({ metadata, spec }) => ({
        ...base(metadata),
        kind,
        spec,
      }));
    default:
      return isOther(value)
        ? { problems: [otherKind(kind)], warnings: [], isOther: true }
        : { problems: [unknownKind(value, kind)], warnings: [] };
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
  const problems = [
    ...missingPorts(value, deps.extendedProtocols === true),
    ...checkPatterns(value, checkPattern),
    ...found.problems,
  ];
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

interface Metadata {
  name: string;
  namespace?: string | null | undefined;
  uid?: string | null | undefined;
}

function metadataOf(
  metadata: Metadata,
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

/** Equal prefixes count once. */
export function groupOf(
  metadata: { name: string; labels?: Readonly<Record<string, string>> | null | undefined },
  cidrs: readonly string[],
): CidrGroupDocument["group"] {
  const prefixes = cidrs.map(parsePrefix).filter((prefix) => prefix !== undefined);
  return {
    ...{ name: metadata.name, labels: metadata.labels ?? {} },
    prefixes: prefixesByText(prefixes),
  };
}

/** Files that people apply hold more than policies; nobody may overlook a misspelt one. */
function isOther(value: unknown): boolean {
  const { apiVersion, kind } = fieldsOf(value);
  if (typeof kind !== "string" || kind.endsWith("List")) return false;
  if (CLUSTER_KINDS.includes(kind) || NO_POLICIES.includes(kind)) return true;
  if (typeof apiVersion !== "string") return false;
  const group = apiVersion.includes("/") ? apiVersion.replace(/\/.*$/, "") : "";
  return !POLICY_GROUPS.includes(group) && suggestion(kind, KINDS) === "";
}

function otherKind(kind: unknown): FieldProblem {
  const where = CLUSTER_KINDS.includes(String(kind))
    ? "; the agent reads it from --cluster-state"
    : "";
  return { path: ["kind"], message: `${String(kind)} is not a policy${where}`, expected: EXPECTED };
}

function unknownKind(value: unknown, kind: unknown): FieldProblem {
  const expected = EXPECTED;
  if (Array.isArray(value)) {
    const message = "is a list without a kind; rules need a policy around them";
    return { path: [], message, expected };
  }
  if (typeof kind !== "string") {
    return isRecord(value)
      ? { path: ["kind"], message: "is required", expected }
      : { path: [], message: "must be an object", expected };
  }
  if (kind.endsWith("List")) {
    return { path: ["items"], message: "is required", expected: "a list of policies" };
  }
  const message = `unsupported kind ${JSON.stringify(kind)}${suggestion(kind, KINDS)}`;
  return { path: ["kind"], message, expected };
}
