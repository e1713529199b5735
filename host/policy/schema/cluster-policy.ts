/**
 * Schema of the ClusterNetworkPolicy (`policy.networking.k8s.io/v1alpha2`). Both it and its
 * predecessors (admin-policy.ts) are read into a TieredSpec, so that they are translated once.
 */
import { z } from "zod";
import { acrossFields, fieldsOf, forbiddenField, itemsOf, textField } from "./field.ts";
import { metadataFields } from "./metadata.ts";
import { cidrSchema } from "./peer.ts";
import { isServiceName } from "./port.ts";
import { endpointSelectorSchema, plainSelectorSchema } from "./selector.ts";

/** What the three tiered kinds come to. */
export interface TieredSpec {
  tier: "admin" | "baseline";
  /** 0 to 1000; lower decides first. */
  priority: number;
  subject: PodPeer;
  ingress: readonly TieredRule[];
  egress: readonly TieredRule[];
}

export interface TieredRule {
  action: "allow" | "deny" | "pass";
  peers: readonly TieredPeer[];
  /** Undefined is every protocol and port. */
  ports: readonly TieredPort[] | undefined;
}

export interface TieredPort {
  /** Undefined: a named port of any of them. */
  protocol: "TCP" | "UDP" | "SCTP" | undefined;
  /** Inclusive; a name; undefined is all ports of the protocol. */
  port: { first: number; last: number } | string | undefined;
}

const RULES_MAX = 25;
const NAME_CHARACTERS_MAX = 100;
const PRIORITY_MAX = 1000;

/** A list of 1 to `max` items. */
export function filledList<T extends z.ZodType>(item: T, max: number) {
  return z
    .array(item)
    .min(1)
    .max(max)
    .meta({ expected: `1 to ${max} items` });
}

/** Reports unless exactly one of the fields is set. */
export function exactlyOne(names: readonly string[]) {
  return acrossFields((fields, report) => {
    if (names.filter((name) => fields[name] !== undefined).length === 1) return;
    const text = names.join(", ");
    report([], `exactly one of ${text} must be set`, `one of ${text}`);
  });
}

/**
 * Reports if two of the fields are set. None is a peer of a newer language, which is not
 * understood: what becomes of its rule is in ../translate/tiered.ts.
 */
export function atMostOne(names: readonly string[]) {
  return acrossFields((fields, report) => {
    if (names.filter((name) => fields[name] !== undefined).length < 2) return;
    const text = names.join(", ");
    report([], `only one of ${text} may be set`, `one of ${text}`);
  });
}

export const namespacedPod = z.strictObject({
  /** Any namespace if absent. */
  namespaceSelector: plainSelectorSchema.optional(),
  /** As Cilium reads it: keys may name a source. */
  podSelector: endpointSelectorSchema,
});

export const podPeerFields = {
  namespaces: plainSelectorSchema.optional(),
  pods: namespacedPod.optional(),
};
const podPeer = z.strictObject(podPeerFields);
export type PodPeer = z.infer<typeof podPeer>;

export const tieredSubject = podPeer.check(exactlyOne(["namespaces", "pods"]));
export const ingressPeer = podPeer.check(atMostOne(["namespaces", "pods"]));

const DOMAIN_EXPECTED = "a DNS name with two labels or more, or *. before one";
const DOMAIN_CHARACTERS_MAX = 253;
const DOMAIN_LABEL = /^[a-zA-Z0-9]([-a-zA-Z0-9_]*[a-zA-Z0-9])?$/;

const domainName = textField(DOMAIN_EXPECTED, (value) => {
  const labels = value.replace(/^\*\./, "").replace(/\.$/, "").split(".");
  const fits =
    value.length <= DOMAIN_CHARACTERS_MAX &&
    labels.length > 1 &&
    labels.every((label) => DOMAIN_LABEL.test(label));
  return fits ? undefined : "is not a domain name";
});

export const NETWORKS_MAX = 25;
export const egressPeerFields = {
  ...podPeerFields,
  nodes: plainSelectorSchema.optional(),
  networks: filledList(cidrSchema, NETWORKS_MAX).optional(),
  domainNames: filledList(domainName, NETWORKS_MAX).optional(),
};
const anyPeer = z.strictObject(egressPeerFields);
export type TieredPeer = z.infer<typeof anyPeer>;
export const PEER_FIELDS = Object.keys(egressPeerFields);
export const egressPeer = anyPeer.check(atMostOne(PEER_FIELDS));

/** Of a BaselineAdminNetworkPolicy: no names. */
const { domainNames: _names, ...baselineFields } = egressPeerFields;
export const baselineEgressPeer = z
  .strictObject(baselineFields)
  .check(atMostOne(Object.keys(baselineFields)));

export const ruleName = textField(`at most ${NAME_CHARACTERS_MAX} characters`, (value) =>
  value.length > NAME_CHARACTERS_MAX ? `is longer than ${NAME_CHARACTERS_MAX}` : undefined,
).optional();

/** What holds for an egress rule as a whole; `named` says which of its ports have a name. */
export function checkEgressRule(portsField: string, nameField: string) {
  return acrossFields((fields, report) => {
    const peers = itemsOf(fields.to).map(fieldsOf);
    const named = itemsOf(fields[portsField]).some(
      (port) => fieldsOf(port)[nameField] !== undefined,
    );
    const nameless = ["networks", "nodes", "domainNames"];
    if (named && peers.some((peer) => nameless.some((field) => peer[field] !== undefined))) {
      const message =
        "networks/nodes/domainNames peer cannot be set with namedPorts since there are no " +
        "namedPorts for networks/nodes/domainNames";
      report([portsField], message, "port numbers");
    }
    for (const [index, peer] of peers.entries()) {
      if (peer.domainNames === undefined || isAllow(fields.action)) continue;
      const message = "domainNames is only supported for Accept rules";
      report(["to", index, "domainNames"], message, "action Accept, or another kind of peer");
    }
  });
}

function isAllow(action: unknown): boolean {
  return action === "Accept" || action === "Allow";
}

const PORT_EXPECTED = "a number from 1 to 65535";
export const portNumber = z.number().int().min(1).max(65_535).meta({ expected: PORT_EXPECTED });
export const startBeforeEnd = acrossFields(({ start, end }, report) => {
  if (typeof start !== "number" || typeof end !== "number" || start < end) return;
  report(["start"], "Start port must be less than End port", "a start below end");
});

const portRange = z.strictObject({ start: portNumber, end: portNumber }).check(startBeforeEnd);
const destinationPort = z
  .strictObject({ number: portNumber.optional(), range: portRange.optional() })
  .check(exactlyOne(["number", "range"]));
const protocolMatch = z.strictObject({ destinationPort });

export const portName = textField("a port name of at most 15 letters, digits and '-'", (value) =>
  isServiceName(value) ? undefined : `${JSON.stringify(value)} is not a port name`,
);

const PROTOCOL_FIELDS = ["tcp", "udp", "sctp"] as const;
const protocol = z
  .strictObject({
    tcp: protocolMatch.optional(),
    udp: protocolMatch.optional(),
    sctp: protocolMatch.optional(),
    destinationNamedPort: portName.optional(),
  })
  .check(exactlyOne([...PROTOCOL_FIELDS, "destinationNamedPort"]));

const action = z.enum(["Accept", "Deny", "Pass"]);
const protocols = filledList(protocol, RULES_MAX).optional();
const ingressRule = z.strictObject({
  name: ruleName,
  action,
  from: filledList(ingressPeer, RULES_MAX),
  protocols,
});
const egressRule = z
  .strictObject({ name: ruleName, action, to: filledList(egressPeer, RULES_MAX), protocols })
  .check(checkEgressRule("protocols", "destinationNamedPort"));

export const priorityField = z.number().int().min(0).max(PRIORITY_MAX);
const spec = z.strictObject({
  tier: z.enum(["Admin", "Baseline"]),
  priority: priorityField.meta({ expected: `a number from 0 to ${PRIORITY_MAX}` }),
  subject: tieredSubject,
  ingress: z.array(ingressRule).max(RULES_MAX).optional(),
  egress: z.array(egressRule).max(RULES_MAX).optional(),
});

/** Of kinds without a namespace. */
export const clusterMetadata = z.strictObject({
  ...metadataFields,
  namespace: forbiddenField("a clusterwide policy has no namespace"),
});

export const clusterNetworkPolicySchema = z.strictObject({
  apiVersion: z.literal("policy.networking.k8s.io/v1alpha2"),
  kind: z.literal("ClusterNetworkPolicy"),
  metadata: clusterMetadata,
  spec,
  status: z.unknown().optional(),
});

const ACTIONS = { Accept: "allow", Deny: "deny", Pass: "pass" } as const;

export function tieredSpecOf(policy: z.infer<typeof spec>): TieredSpec {
  return {
    tier: policy.tier === "Admin" ? "admin" : "baseline",
    priority: policy.priority,
    subject: policy.subject,
    ingress: (policy.ingress ?? []).map((rule) => ({
      action: ACTIONS[rule.action],
      peers: rule.from,
      ports: rule.protocols?.map(portOf),
    })),
    egress: (policy.egress ?? []).map((rule) => ({
      action: ACTIONS[rule.action],
      peers: rule.to,
      ports: rule.protocols?.map(portOf),
    })),
  };
}

function portOf(match: z.infer<typeof protocol>): TieredPort {
  const field = PROTOCOL_FIELDS.find((name) => match[name] !== undefined);
  if (field === undefined) return { protocol: undefined, port: match.destinationNamedPort };
  const protocol = field.toUpperCase() as "TCP" | "UDP" | "SCTP";
  const { number, range } = match[field]?.destinationPort ?? {};
  if (number !== undefined) return { protocol, port: { first: number, last: number } };
  return { protocol, port: range && { first: range.start, last: range.end } };
}
