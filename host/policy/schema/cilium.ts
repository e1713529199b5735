/** Schema of CiliumNetworkPolicy and CiliumClusterwideNetworkPolicy (`cilium.io/v2`). */
import { z } from "zod";
import {
  acrossFields,
  fieldsOf,
  filledLists,
  forbiddenField,
  isRecord,
  itemsOf,
  matching,
  type Report,
  textField,
  titled,
} from "./field.ts";
import { icmpRuleSchema } from "./icmp.ts";
import { l7KindOf } from "./l7.ts";
import { metadataFields, metadataSchema } from "./metadata.ts";
import { egressAllowPeers, egressPeers, ingressPeers } from "./peer.ts";
import { denyPortRuleSchema, egressPortRuleSchema, ingressPortRuleSchema } from "./port.ts";
import { endpointSelectorSchema } from "./selector.ts";

const authentication = z.strictObject({
  mode: z.enum(["disabled", "required", "test-always-fail"]),
});
const icmps = z.array(icmpRuleSchema).optional();
const notInDeny = forbiddenField("is not allowed in a deny rule");

/** Peer fields of which one item may fill only one. `requires` is refused on its own. */
const L3_FIELDS = Object.keys({ ...ingressPeers, ...egressAllowPeers }).filter(
  (field) => !field.endsWith("Requires"),
);

const itemCheck = acrossFields((fields, report) => {
  const [first, second] = filledLists(fields, L3_FIELDS);
  if (first && second) {
    const message = `combining ${titled(first)} and ${titled(second)} is not supported yet`;
    report([second], message, "one kind of peer; use a rule for each kind");
  }
  if (filledLists(fields, ["icmps", "toPorts"]).length === 2) {
    const message =
      "the ICMPs block may only be present without ToPorts. Define a separate rule to use ToPorts.";
    report(["icmps"], message, "either icmps or toPorts");
  }
  for (const field of filledLists(fields, ["fromRequires", "toRequires"])) {
    const message = `${titled(field)} is not supported: it was removed from the language`;
    report([field], message, "the field to be absent");
  }
});

const ingressRule = z
  .strictObject({
    ...ingressPeers,
    toPorts: z.array(ingressPortRuleSchema).optional(),
    icmps,
    authentication: authentication.optional(),
  })
  .check(itemCheck);

const egressRule = z
  .strictObject({
    ...egressAllowPeers,
    toPorts: z.array(egressPortRuleSchema).optional(),
    icmps,
    authentication: authentication.optional(),
  })
  .check(itemCheck);

const denyFields = {
  toPorts: z.array(denyPortRuleSchema).optional(),
  icmps,
  authentication: notInDeny,
};
const ingressDenyRule = z.strictObject({ ...ingressPeers, ...denyFields }).check(itemCheck);
const egressDenyRule = z
  .strictObject({ ...egressPeers, ...denyFields, toFQDNs: notInDeny })
  .check(itemCheck);

/** `key=value` text or its parts; metadata of the policy, not part of any identity. */
const policyLabel = z.union([
  z.string().min(1),
  z.looseObject({
    key: z.string().min(1),
    value: z.string().optional(),
    source: z.string().optional(),
  }),
]);

const ruleFields = {
  endpointSelector: endpointSelectorSchema.optional(),
  nodeSelector: endpointSelectorSchema.optional(),
  ingress: z.array(ingressRule).nullish(),
  ingressDeny: z.array(ingressDenyRule).nullish(),
  egress: z.array(egressRule).nullish(),
  egressDeny: z.array(egressDenyRule).nullish(),
  enableDefaultDeny: z
    .strictObject({ ingress: z.boolean().optional(), egress: z.boolean().optional() })
    .optional(),
  labels: z.array(policyLabel.meta({ expected: "key=value" })).nullish(),
  description: z.string().nullish(),
  log: z
    .strictObject({
      value: textField(
        "at most 32 printable characters",
        matching(/^\P{C}{0,32}$/u, "is not at most 32 printable characters"),
      ),
    })
    .optional(),
};

const DIRECTIONS = ["ingress", "ingressDeny", "egress", "egressDeny"];

function checkRule(fields: Record<string, unknown>, namespaced: boolean, report: Report): void {
  const endpoint = fields.endpointSelector !== undefined;
  const node = fields.nodeSelector !== undefined;
  if (node && namespaced) {
    const message = "Invalid CiliumNetworkPolicy spec: rule cannot have NodeSelector";
    report(["nodeSelector"], message, "endpointSelector, or a CiliumClusterwideNetworkPolicy");
  }
  if (!endpoint && !node) {
    const message = "rule must have one of EndpointSelector or NodeSelector";
    report([], message, "endpointSelector, where {} selects every endpoint");
  }
  if (endpoint && node && !namespaced) {
    const message = "rule cannot have both EndpointSelector and NodeSelector";
    report(["nodeSelector"], message, "either endpointSelector or nodeSelector");
  }
  // A misspelt list is named already.
  const isWhole = Object.keys(fields).every((key) => Object.hasOwn(ruleFields, key));
  if (isWhole && filledLists(fields, DIRECTIONS).length === 0) {
    const message = "rule must have at least one of Ingress, IngressDeny, Egress, EgressDeny";
    report([], message, "at least one item in one of them; [{}] allows nothing");
  }
  if (node) checkHostRule(fields, report);
  if (!namespaced) checkListeners(fields, report);
}

/** What the proxy cannot do for a node's own traffic. */
function checkHostRule(fields: Record<string, unknown>, report: Report): void {
  forEachPortRule(fields, (path, portRule) => {
    const kind = l7KindOf(fieldsOf(portRule.rules));
    if (kind && path[0] === "ingress") {
      report([...path, "rules"], "L7 policy is not supported on host ingress yet", "no rules");
    } else if (kind && kind !== "dns") {
      const message = `L7 protocol ${kind.toUpperCase()} is not supported on host egress yet`;
      report([...path, "rules"], message, "no rules");
    }
  });
}

function checkListeners(fields: Record<string, unknown>, report: Report): void {
  forEachPortRule(fields, (path, portRule) => {
    const config = fieldsOf(fieldsOf(portRule.listener).envoyConfig);
    if (config.kind !== "CiliumEnvoyConfig") return;
    const message = "a clusterwide policy may not use a listener of kind CiliumEnvoyConfig";
    report([...path, "listener"], message, "kind CiliumClusterwideEnvoyConfig");
  });
}

function forEachPortRule(
  fields: Record<string, unknown>,
  visit: (path: (string | number)[], portRule: Record<string, unknown>) => void,
): void {
  for (const direction of ["ingress", "egress"]) {
    for (const [i, item] of itemsOf(fields[direction]).entries()) {
      for (const [j, portRule] of itemsOf(fieldsOf(item).toPorts).entries()) {
        if (isRecord(portRule)) visit([direction, i, "toPorts", j], portRule);
      }
    }
  }
}

const specOrSpecs = acrossFields((fields, report) => {
  if (fields.spec === undefined && itemsOf(fields.specs).length === 0) {
    report([], "spec or specs must be provided", "spec with one rule, or specs with a list");
  }
});

const namespacedRule = z
  .strictObject(ruleFields)
  .check(acrossFields((fields, report) => checkRule(fields, true, report)));
const clusterRule = z
  .strictObject(ruleFields)
  .check(acrossFields((fields, report) => checkRule(fields, false, report)));

export type CiliumRule = z.infer<typeof namespacedRule>;
export type IngressRule = z.infer<typeof ingressRule>;
export type EgressRule = z.infer<typeof egressRule>;

/** Old examples have it here, where it means nothing: ../advice.ts says so. */
const misplaced = z.unknown().optional();

export const ciliumNetworkPolicySchema = z
  .strictObject({
    apiVersion: z.literal("cilium.io/v2"),
    kind: z.literal("CiliumNetworkPolicy"),
    description: misplaced,
    metadata: metadataSchema,
    spec: namespacedRule.optional(),
    specs: z.array(namespacedRule).optional(),
    status: z.unknown().optional(),
  })
  .check(specOrSpecs);

export const clusterwideNetworkPolicySchema = z
  .strictObject({
    apiVersion: z.literal("cilium.io/v2"),
    kind: z.literal("CiliumClusterwideNetworkPolicy"),
    description: misplaced,
    metadata: z.strictObject({
      ...metadataFields,
      namespace: forbiddenField("a clusterwide policy has no namespace"),
    }),
    spec: clusterRule.optional(),
    specs: z.array(clusterRule).optional(),
    status: z.unknown().optional(),
  })
  .check(specOrSpecs);
