/**
 * What this version cannot enforce yet. Such fields are valid, but a policy that has one is
 * refused on apply as a whole: a half-applied allow rule is a hole. A field leaves this file in
 * the change that makes it work.
 */
import type { CiliumDocument, PolicyDocument } from "./document.ts";
import { locateProblem } from "./document.ts";
import type { FieldPath, FieldProblem, PolicyProblem } from "./problem.ts";
import type { CiliumRule, EgressRule, IngressRule } from "./schema/cilium.ts";
import { l7KindOf } from "./schema/l7.ts";
import {
  isExtendedProtocol,
  isServiceName,
  type PortProtocol,
  type PortRule,
} from "./schema/port.ts";

/** What the caller is able to do. Absent is no. */
export interface ApplyFeatures {
  /** It tells the resolver the named ports of peers (`ResolveOptions.namedPortsOf`). */
  peerNamedPorts?: boolean;
}

type Refuse = (path: FieldPath, what: string) => void;

/** Every field of the document that would not be enforced; empty if it can be applied. */
export function validateForApply(
  document: PolicyDocument,
  features: ApplyFeatures = {},
): PolicyProblem[] {
  const problems: FieldProblem[] = [];
  const refuse: Refuse = (path, what) => {
    const message = `${what} not enforced by this version`;
    problems.push({ path, message, expected: "the field to be absent" });
  };
  if (document.kind === "NetworkPolicy") {
    for (const [i, { ports }] of (document.spec.egress ?? []).entries()) {
      for (const [j, { port }] of (ports ?? []).entries()) {
        if (typeof port !== "string" || features.peerNamedPorts) continue;
        refuse(["spec", "egress", i, "ports", j, "port"], "named ports on egress are");
      }
    }
  } else if (document.kind !== "VisibilityPolicy") refuseInRules(document, features, refuse);
  return problems.map((problem) => locateProblem(problem, document.source));
}

function refuseInRules(document: CiliumDocument, features: ApplyFeatures, refuse: Refuse): void {
  for (const { path, rule } of document.rules) refuseInRule(rule, features, within(path, refuse));
}

function within(path: FieldPath, refuse: Refuse): Refuse {
  return (inner, what) => refuse([...path, ...inner], what);
}

function refuseInRule(rule: CiliumRule, features: ApplyFeatures, refuse: Refuse): void {
  if (rule.nodeSelector) refuse(["nodeSelector"], "host policies are");
  for (const direction of ["ingress", "ingressDeny", "egress", "egressDeny"] as const) {
    for (const [index, item] of (rule[direction] ?? []).entries()) {
      const report = within([direction, index], refuse);
      refusePeers(item, report);
      refuseAuthentication(item, report);
      const egress = direction.startsWith("egress");
      for (const [j, ports] of (item.toPorts ?? []).entries()) {
        refuseInPorts(ports, egress && !features.peerNamedPorts, within(["toPorts", j], report));
      }
    }
  }
}

type AnyItem = Omit<Partial<IngressRule & EgressRule>, "toPorts" | "authentication">;

/** An empty list is enforced: it selects nobody. */
function refusePeers(item: AnyItem, refuse: Refuse): void {
  const lists = {
    fromNodes: "node selectors are",
    toNodes: "node selectors are",
    fromGroups: "cloud groups are",
    toGroups: "cloud groups are",
    toServices: "service peers are",
    toFQDNs: "DNS name peers are",
  } as const;
  for (const field of [
    "fromNodes",
    "toNodes",
    "fromGroups",
    "toGroups",
    "toServices",
    "toFQDNs",
  ] as const) {
    if (item[field]?.length) refuse([field], lists[field]);
  }
  for (const field of ["fromCIDRSet", "toCIDRSet"] as const) {
    for (const [index, set] of (item[field] ?? []).entries()) {
      if (set.cidrGroupRef !== undefined) refuse([field, index, "cidrGroupRef"], "CIDR groups are");
      if (set.cidrGroupSelector) refuse([field, index, "cidrGroupSelector"], "CIDR groups are");
    }
  }
}

function refuseAuthentication(
  item: { authentication?: { mode: string } | undefined },
  refuse: Refuse,
): void {
  const mode = item.authentication?.mode ?? "disabled";
  if (mode !== "disabled") refuse(["authentication", "mode"], "mutual authentication is");
}

function refuseInPorts(portRule: Partial<PortRule>, namedPorts: boolean, refuse: Refuse): void {
  for (const [index, port] of (portRule.ports ?? []).entries()) {
    refusePort(port, namedPorts, within(["ports", index], refuse));
  }
  if (portRule.terminatingTLS) refuse(["terminatingTLS"], "TLS interception is");
  if (portRule.originatingTLS) refuse(["originatingTLS"], "TLS interception is");
  if (portRule.serverNames) refuse(["serverNames"], "TLS server names are");
  if (portRule.listener) refuse(["listener"], "custom listeners are");
  const { rules } = portRule;
  const kind = rules && l7KindOf(rules);
  if (kind === "dns") refuse(["rules", "dns"], "DNS rules are");
  if (kind === "kafka") refuse(["rules", "kafka"], "Kafka rules are");
  for (const [i, rule] of (rules?.http ?? []).entries()) {
    for (const [j, match] of (rule.headerMatches ?? []).entries()) {
      if (match.secret) refuse(["rules", "http", i, "headerMatches", j, "secret"], "secrets are");
    }
  }
}

function refusePort(port: PortProtocol, namedPorts: boolean, refuse: Refuse): void {
  if (port.protocol && isExtendedProtocol(port.protocol)) {
    refuse(["protocol"], `protocol ${port.protocol} is`);
  }
  if (namedPorts && isServiceName(port.port ?? "")) refuse(["port"], "named ports on egress are");
}
