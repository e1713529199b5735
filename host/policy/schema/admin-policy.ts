/**
 * Schema of AdminNetworkPolicy and BaselineAdminNetworkPolicy, from which ClusterNetworkPolicy came
 * (`policy.networking.k8s.io/v1alpha1`).
 */
import { z } from "zod";
import {
  baselineEgressPeer,
  checkEgressRule,
  clusterMetadata,
  egressPeer,
  exactlyOne,
  filledList,
  ingressPeer,
  portName,
  portNumber,
  priorityField,
  ruleName,
  startBeforeEnd,
  type TieredPort,
  type TieredSpec,
  tieredSubject,
} from "./cluster-policy.ts";
import { acrossFields, fieldsOf, isRecord, textOf } from "./field.ts";

const RULES_MAX = 100;

const protocol = z.enum(["TCP", "UDP", "SCTP"]).optional();
const port = z
  .strictObject({
    portNumber: z.strictObject({ protocol, port: portNumber }).optional(),
    portRange: z
      .strictObject({ protocol, start: portNumber, end: portNumber })
      .check(startBeforeEnd)
      .optional(),
    namedPort: portName.optional(),
  })
  .check(exactlyOne(["portNumber", "portRange", "namedPort"]));

const ports = filledList(port, RULES_MAX).optional();
/** It may be absent only in the language that came after. */
const withNamespaces = acrossFields(({ pods }, report) => {
  if (!isRecord(pods) || pods.namespaceSelector !== undefined) return;
  report(["pods", "namespaceSelector"], "is required", "a label selector");
});

const subject = tieredSubject.check(withNamespaces);
const from = filledList(ingressPeer.check(withNamespaces), RULES_MAX);
const egressCheck = checkEgressRule("ports", "namedPort");

function specFields(
  actions: readonly ["Allow", "Deny", "Pass"] | readonly ["Allow", "Deny"],
  peer: typeof egressPeer | typeof baselineEgressPeer,
) {
  const action = z.enum(actions);
  const to = filledList(peer.check(withNamespaces), RULES_MAX);
  const ingress = z.strictObject({ name: ruleName, action, from, ports });
  const egress = z.strictObject({ name: ruleName, action, to, ports }).check(egressCheck);
  return {
    subject,
    ingress: z.array(ingress).max(RULES_MAX).optional(),
    egress: z.array(egress).max(RULES_MAX).optional(),
  };
}

const baselineSpec = z.strictObject(specFields(["Allow", "Deny"], baselineEgressPeer));
const adminSpec = z.strictObject({
  ...specFields(["Allow", "Deny", "Pass"], egressPeer),
  priority: priorityField.meta({ expected: "a number from 0 to 1000" }),
});

export const adminNetworkPolicySchema = z.strictObject({
  apiVersion: z.literal("policy.networking.k8s.io/v1alpha1"),
  kind: z.literal("AdminNetworkPolicy"),
  metadata: clusterMetadata,
  spec: adminSpec,
  status: z.unknown().optional(),
});

export const baselineAdminNetworkPolicySchema = z
  .strictObject({
    apiVersion: z.literal("policy.networking.k8s.io/v1alpha1"),
    kind: z.literal("BaselineAdminNetworkPolicy"),
    metadata: clusterMetadata,
    spec: baselineSpec,
    status: z.unknown().optional(),
  })
  .check(
    acrossFields((fields, report) => {
      const name = textOf(fieldsOf(fields.metadata).name);
      if (name === "" || name === "default") return;
      const message =
        'Only one baseline admin network policy with metadata.name="default" can be created in ' +
        "the cluster";
      report(["metadata", "name"], message, "default");
    }),
  );

const ACTIONS = { Allow: "allow", Deny: "deny", Pass: "pass" } as const;

export function adminSpecOf(
  spec: z.infer<typeof adminSpec> | z.infer<typeof baselineSpec>,
): TieredSpec {
  return {
    tier: "priority" in spec ? "admin" : "baseline",
    priority: "priority" in spec ? spec.priority : 0,
    subject: spec.subject,
    ingress: (spec.ingress ?? []).map((rule) => ({
      action: ACTIONS[rule.action],
      peers: rule.from,
      ports: rule.ports?.map(portOf),
    })),
    egress: (spec.egress ?? []).map((rule) => ({
      action: ACTIONS[rule.action],
      peers: rule.to,
      ports: rule.ports?.map(portOf),
    })),
  };
}

/** Without a protocol it is TCP, as the API server fills in. */
function portOf({ portNumber: one, portRange, namedPort }: z.infer<typeof port>): TieredPort {
  if (one) return { protocol: one.protocol ?? "TCP", port: { first: one.port, last: one.port } };
  if (portRange) {
    const { protocol = "TCP", start, end } = portRange;
    return { protocol, port: { first: start, last: end } };
  }
  return { protocol: undefined, port: namedPort };
}
