/**
 * What in a valid document is probably not what its author meant: fields that the language says to
 * ignore or to replace. Warnings; the document is applied as the language has it.
 */
import { KEY_NAMESPACE, SOURCE_K8S } from "../identity/label.ts";
import type {
  CiliumDocument,
  NetworkPolicyDocument,
  PolicyDocument,
  TieredDocument,
} from "./document.ts";
import type { FieldPath, FieldProblem } from "./problem.ts";
import type { CiliumRule } from "./schema/cilium.ts";
import { PEER_FIELDS } from "./schema/cluster-policy.ts";
import { fieldsOf } from "./schema/field.ts";
import { type PortRule, parsePortNumber } from "./schema/port.ts";
import { isInitSelector, requirementsOf } from "./translate/scope.ts";

export function adviceOn(document: PolicyDocument): FieldProblem[] {
  return [...descriptionAdvice(document), ...adviceOfKind(document)];
}

/** Where it stands in old examples the API server drops it. */
function descriptionAdvice({ object }: PolicyDocument): FieldProblem[] {
  const fields = fieldsOf(object);
  const places = [
    { holder: fields, path: ["description"] },
    { holder: fieldsOf(fields.metadata), path: ["metadata", "description"] },
  ];
  return places
    .filter(({ holder }) => holder.description !== undefined)
    .map(({ path }) => ({
      path,
      message: "is ignored: a description stands in spec",
      expected: "spec.description, or none",
    }));
}

function adviceOfKind(document: PolicyDocument): FieldProblem[] {
  switch (document.kind) {
    case "CiliumNetworkPolicy":
    case "CiliumClusterwideNetworkPolicy":
      return document.rules.flatMap(({ path, rule }) => [
        ...namespaceAdvice(document, rule, path),
        ...initAdvice(document, rule, path),
        ...ruleAdvice(rule, path),
      ]);
    case "ClusterNetworkPolicy":
    case "AdminNetworkPolicy":
    case "BaselineAdminNetworkPolicy":
      return peerAdvice(document);
    case "NetworkPolicy":
      return typeAdvice(document);
    default:
      return [];
  }
}

/** A namespaced policy is for its own namespace, whatever its subject says. */
function namespaceAdvice(
  { kind, namespace }: CiliumDocument,
  { endpointSelector }: CiliumRule,
  path: FieldPath,
): FieldProblem[] {
  if (kind !== "CiliumNetworkPolicy" || !endpointSelector) return [];
  const other = requirementsOf(endpointSelector).find(
    ({ source, key, operator, values }) =>
      key === KEY_NAMESPACE &&
      (source === SOURCE_K8S || source === "any") &&
      operator === "In" &&
      (values.length !== 1 || values[0] !== namespace),
  );
  if (!other) return [];
  const found = other.values.join(", ");
  const message =
    `the namespace ${JSON.stringify(found)} is overwritten: the policy selects in its own, ` +
    `${JSON.stringify(namespace)}, only`;
  return [
    {
      path: [...path, "endpointSelector"],
      message,
      expected: `no ${KEY_NAMESPACE} among its keys`,
    },
  ];
}

/** Endpoints without labels are in no namespace. */
function initAdvice(
  { kind }: CiliumDocument,
  { endpointSelector }: CiliumRule,
  path: FieldPath,
): FieldProblem[] {
  if (kind !== "CiliumNetworkPolicy" || !isInitSelector(endpointSelector ?? {})) return [];
  return [
    {
      path: [...path, "endpointSelector"],
      message: "selects nobody: endpoints with reserved:init are in no namespace",
      expected: "a CiliumClusterwideNetworkPolicy",
    },
  ];
}

function ruleAdvice(rule: CiliumRule, path: FieldPath): FieldProblem[] {
  const advice: FieldProblem[] = [];
  for (const direction of ["ingress", "ingressDeny", "egress", "egressDeny"] as const) {
    for (const [i, item] of (rule[direction] ?? []).entries()) {
      advice.push(...emptyPeerAdvice(item, [...path, direction, i]));
      for (const [j, portRule] of (item.toPorts ?? []).entries()) {
        advice.push(...portAdvice(portRule, [...path, direction, i, "toPorts", j]));
      }
    }
  }
  return advice;
}

const PEER_LIST = /^(from|to)(Endpoints|Entities|CIDR|CIDRSet|Nodes|Services|FQDNs|Groups)$/;
/** Empty ones of these leave it to a list of another kind beside them. */
const YIELDING_LIST = /(Services|FQDNs|Groups)$/;

/** Who leaves such a list out means everybody. */
function emptyPeerAdvice(item: object, path: FieldPath): FieldProblem[] {
  const lists = Object.entries(item).filter(
    ([field, value]) => PEER_LIST.test(field) && Array.isArray(value),
  ) as [string, unknown[]][];
  const hasPeers = lists.some(([, list]) => list.length > 0);
  return lists
    .filter(([field, list]) => list.length === 0 && !(hasPeers && YIELDING_LIST.test(field)))
    .map(([field]) => ({
      path: [...path, field],
      message: "an empty list selects nobody: the rule matches nothing",
      expected: "at least one peer, or the field to be absent",
    }));
}

function portAdvice({ ports, rules }: Partial<PortRule>, path: FieldPath): FieldProblem[] {
  const advice: FieldProblem[] = [];
  for (const [index, { port = "", endPort = 0 }] of (ports ?? []).entries()) {
    const first = parsePortNumber(port);
    if (endPort === 0 || (first !== undefined && endPort >= first)) continue;
    const why = first === undefined ? "the port has a name" : `it is below port ${port}`;
    advice.push({
      path: [...path, "ports", index, "endPort"],
      message: `is ignored: ${why}`,
      expected: "no endPort, or a range of numbers",
    });
  }
  for (const kind of ["http", "dns", "kafka"] as const) {
    if (rules?.[kind]?.length !== 0) continue;
    advice.push({
      path: [...path, "rules", kind],
      message: "an empty list is no L7 rule: everything on these ports is allowed",
      expected: "at least one rule; {} allows everything and shows it",
    });
  }
  for (const [i, { headers }] of (rules?.http ?? []).entries()) {
    for (const [j, header] of (headers ?? []).entries()) {
      if (!header.includes(":") || header.includes(" ")) continue;
      advice.push({
        path: [...path, "rules", "http", i, "headers", j],
        message: `matches nothing: without a space it is the name ${JSON.stringify(header)}`,
        expected: "Name: value, with a space behind the colon",
      });
    }
  }
  return advice;
}

/** Kubernetes' own words would leave such rules out; Cilium does not. */
function typeAdvice({ spec }: NetworkPolicyDocument): FieldProblem[] {
  const types = spec.policyTypes ?? [];
  if (types.length === 0) return [];
  const lists = { Ingress: spec.ingress, Egress: spec.egress } as const;
  return (["Ingress", "Egress"] as const)
    .filter((type) => (lists[type]?.length ?? 0) > 0 && !types.includes(type))
    .map((type) => ({
      path: ["spec", type.toLowerCase()],
      message: "counts and turns default deny on, though policyTypes does not list it",
      expected: `${type} among policyTypes, or no such rules`,
    }));
}

/** A peer without a field this version knows comes from a newer language. */
function peerAdvice({ spec, kind }: TieredDocument): FieldProblem[] {
  const advice: FieldProblem[] = [];
  for (const direction of ["ingress", "egress"] as const) {
    const field = direction === "ingress" ? "from" : "to";
    for (const [i, { action, peers }] of spec[direction].entries()) {
      for (const [j, peer] of peers.entries()) {
        if (Object.values(peer).some((value) => value !== undefined)) continue;
        const effect =
          action === "allow" ? "the rule matches nothing" : "the rule denies everything";
        advice.push({
          path: ["spec", direction, i, field, j],
          message: `the peer cannot be understood: ${effect}`,
          expected: `one of ${PEER_FIELDS.join(", ")} of a ${kind}`,
        });
      }
    }
  }
  return advice;
}
