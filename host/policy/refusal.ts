/**
 * What of the languages this version does not enforce, and where it stands. One table, from which
 * policies are refused (apply.ts) and the list of fields is written (fields.ts). A row leaves it in
 * the change that makes the field work.
 */

/** What the caller is able to do. Absent is no. */
export interface ApplyFeatures {
  /** It tells the resolver the named ports of peers (`ResolveOptions.namedPortsOf`). */
  peerNamedPorts?: boolean;
  /** Rules with a `nodeSelector` are enforced on the node's own traffic (`--host-firewall`). */
  hostFirewall?: boolean;
  /** The resolver knows tiers, priorities and `pass`. */
  tiers?: boolean;
  /** Identities of nodes carry their labels (`--node-selector-labels`). */
  nodeSelectorLabels?: boolean;
  /** Protocols without ports are policed, ports may be left out (`--extended-ip-protocols`). */
  extendedProtocols?: boolean;
}

export interface Refusal {
  /** Fields as fields.ts names them: the end of a path, with `[]` for the items of a list. */
  fields: readonly string[];
  message: string;
  /** What makes it work. */
  unless?: keyof ApplyFeatures;
  /** The agent's option for it, if it is one. */
  option?: string;
  /** Only some values of the field are refused. */
  values?: string;
}

const notYet = (what: string): string => `${what} not enforced by this version`;

export const REFUSALS = {
  hostRules: {
    fields: ["nodeSelector"],
    message: "host policies can only be applied when the agent runs with --host-firewall",
    unless: "hostFirewall",
    option: "--host-firewall",
  },
  tiers: {
    fields: ["spec.tier", "AdminNetworkPolicy spec", "BaselineAdminNetworkPolicy spec"],
    message: notYet("policy tiers are"),
    unless: "tiers",
  },
  nodes: {
    fields: ["fromNodes", "toNodes", "to[].nodes"],
    message:
      "FromNodes/ToNodes rules can only be applied when the agent runs with --node-selector-labels",
    unless: "nodeSelectorLabels",
    option: "--node-selector-labels",
  },
  groups: { fields: ["fromGroups", "toGroups"], message: notYet("cloud groups are") },
  fqdns: { fields: ["toFQDNs", "to[].domainNames"], message: notYet("DNS name peers are") },
  namedPorts: {
    fields: [
      ...["egress[].toPorts[].ports[].port", "egressDeny[].toPorts[].ports[].port"],
      ...["egress[].ports[].port", "egress[].ports[].namedPort"],
      "egress[].protocols[].destinationNamedPort",
    ],
    message: notYet("named ports on egress are"),
    unless: "peerNamedPorts",
    values: "names",
  },
  extendedProtocols: {
    fields: ["toPorts[].ports[].protocol"],
    message:
      "protocols other than TCP, UDP and SCTP can only be applied when the agent runs with " +
      "--extended-ip-protocols",
    unless: "extendedProtocols",
    option: "--extended-ip-protocols",
    values: "VRRP, IGMP, GRE, IPIP, IPV6, ESP, AH",
  },
  authentication: {
    fields: ["authentication.mode"],
    message: notYet("mutual authentication is"),
    values: "required, test-always-fail",
  },
  tls: {
    fields: ["terminatingTLS", "originatingTLS"],
    message: notYet("TLS interception is"),
  },
  serverNames: { fields: ["serverNames"], message: notYet("TLS server names are") },
  listeners: { fields: ["listener"], message: notYet("custom listeners are") },
  dns: { fields: ["rules.dns"], message: notYet("DNS rules are") },
  kafka: { fields: ["rules.kafka"], message: notYet("Kafka rules are") },
  headerActions: {
    fields: ["headerMatches[].mismatch"],
    message: notYet("header actions are"),
    values: "ADD, DELETE, REPLACE",
  },
  secrets: { fields: ["headerMatches[].secret"], message: notYet("secrets are") },
} as const satisfies Readonly<Record<string, Refusal>>;

export type RefusalName = keyof typeof REFUSALS;
