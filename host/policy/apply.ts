/**
 * Whether a valid document can be applied. What is not enforced is in refusal.ts; a policy that has
 * any of it is refused as a whole: a half-applied allow rule is a hole.
 */
import type { CiliumDocument, PolicyDocument, TieredDocument } from "./document.ts";
import { locateProblem } from "./document.ts";
import type { FieldPath, FieldProblem, PolicyProblem } from "./problem.ts";
import { type ApplyFeatures, REFUSALS, type Refusal, type RefusalName } from "./refusal.ts";
import type { CiliumRule, EgressRule, IngressRule } from "./schema/cilium.ts";
import type { L7RuleBlock } from "./schema/l7.ts";
import type { NetworkPolicySpec } from "./schema/network-policy.ts";
import {
  isExtendedProtocol,
  isServiceName,
  type PortProtocol,
  type PortRule,
} from "./schema/port.ts";

type Refuse = (path: FieldPath, name: RefusalName) => void;

/** Every field of the document that would not be enforced; empty if it can be applied. */
export function validateForApply(
  document: PolicyDocument,
  features: ApplyFeatures = {},
): PolicyProblem[] {
  const problems: FieldProblem[] = [];
  const refuse: Refuse = (path, name) => {
    const { message, unless }: Refusal = REFUSALS[name];
    if (unless !== undefined && features[unless] === true) return;
    problems.push({ path, message, expected: "the field to be absent" });
  };
  switch (document.kind) {
    case "CiliumNetworkPolicy":
    case "CiliumClusterwideNetworkPolicy":
      refuseInRules(document, refuse);
      break;
    case "NetworkPolicy":
      refuseInNetworkPolicy(document.spec, refuse);
      break;
    case "ClusterNetworkPolicy":
    case "AdminNetworkPolicy":
    case "BaselineAdminNetworkPolicy":
      refuseInTiered(document, refuse);
      break;
    case "CiliumCIDRGroup":
    case "VisibilityPolicy":
      break;
    default:
      document satisfies never;
  }
  return problems.map((problem) => locateProblem(problem, document.source));
}

function within(path: FieldPath, refuse: Refuse): Refuse {
  return (inner, name) => refuse([...path, ...inner], name);
}

function refuseInNetworkPolicy(spec: NetworkPolicySpec, refuse: Refuse): void {
  for (const [i, { ports }] of (spec.egress ?? []).entries()) {
    for (const [j, { port }] of (ports ?? []).entries()) {
      if (typeof port === "string") {
        refuse(["spec", "egress", i, "ports", j, "port"], "namedPorts");
      }
    }
  }
}

function refuseInTiered({ spec, kind }: TieredDocument, refuse: Refuse): void {
  refuse(kind === "ClusterNetworkPolicy" ? ["spec", "tier"] : ["spec"], "tiers");
  const portsField = kind === "ClusterNetworkPolicy" ? "protocols" : "ports";
  for (const [i, { peers, ports }] of spec.egress.entries()) {
    const report = within(["spec", "egress", i], refuse);
    for (const [j, { nodes, domainNames }] of peers.entries()) {
      // Without a condition it is every node, and nodes are known without their labels.
      const chooses = Object.keys(nodes ?? {}).length > 0;
      if (chooses) report(["to", j, "nodes"], "nodes");
      if (domainNames) report(["to", j, "domainNames"], "fqdns");
    }
    for (const [j, { port }] of (ports ?? []).entries()) {
      if (typeof port === "string") report([portsField, j], "namedPorts");
    }
  }
}

function refuseInRules(document: CiliumDocument, refuse: Refuse): void {
  for (const { path, rule } of document.rules) refuseInRule(rule, within(path, refuse));
}

function refuseInRule(rule: CiliumRule, refuse: Refuse): void {
  if (rule.nodeSelector) refuse(["nodeSelector"], "hostRules");
  for (const direction of ["ingress", "ingressDeny", "egress", "egressDeny"] as const) {
    for (const [index, item] of (rule[direction] ?? []).entries()) {
      const report = within([direction, index], refuse);
      refusePeers(item, report);
      refuseAuthentication(item, report);
      const egress = direction.startsWith("egress");
      for (const [j, ports] of (item.toPorts ?? []).entries()) {
        refuseInPorts(ports, egress, within(["toPorts", j], report));
      }
    }
  }
}

type AnyItem = Omit<Partial<IngressRule & EgressRule>, "toPorts" | "authentication">;

const REFUSED_PEERS = [
  ["fromNodes", "nodes"],
  ["toNodes", "nodes"],
  ["fromGroups", "groups"],
  ["toGroups", "groups"],
  ["toFQDNs", "fqdns"],
] as const;

/** An empty list is enforced: it selects nobody. */
function refusePeers(item: AnyItem, refuse: Refuse): void {
  for (const [field, name] of REFUSED_PEERS) {
    if (item[field]?.length) refuse([field], name);
  }
}

function refuseAuthentication(
  item: { authentication?: { mode: string } | undefined },
  refuse: Refuse,
): void {
  const mode = item.authentication?.mode ?? "disabled";
  if (mode !== "disabled") refuse(["authentication", "mode"], "authentication");
}

function refuseInPorts(portRule: Partial<PortRule>, egress: boolean, refuse: Refuse): void {
  for (const [index, port] of (portRule.ports ?? []).entries()) {
    refusePort(port, egress, within(["ports", index], refuse));
  }
  if (portRule.terminatingTLS) refuse(["terminatingTLS"], "tls");
  if (portRule.originatingTLS) refuse(["originatingTLS"], "tls");
  if (portRule.serverNames) refuse(["serverNames"], "serverNames");
  if (portRule.listener) refuse(["listener"], "listeners");
  refuseInL7(portRule.rules ?? {}, within(["rules"], refuse));
}

function refuseInL7(rules: L7RuleBlock, refuse: Refuse): void {
  if (rules.dns?.length) refuse(["dns"], "dns");
  if (rules.kafka?.length) refuse(["kafka"], "kafka");
  for (const [i, rule] of (rules.http ?? []).entries()) {
    for (const [j, match] of (rule.headerMatches ?? []).entries()) {
      const report = within(["http", i, "headerMatches", j], refuse);
      if (match.secret) report(["secret"], "secrets");
      if ((match.mismatch ?? "LOG") !== "LOG") report(["mismatch"], "headerActions");
    }
  }
}

function refusePort(
  { port = "", protocol = "ANY" }: PortProtocol,
  egress: boolean,
  refuse: Refuse,
) {
  if (isExtendedProtocol(protocol)) refuse(["protocol"], "extendedProtocols");
  if (egress && isServiceName(port)) refuse(["port"], "namedPorts");
}
