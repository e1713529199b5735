/**
 * What the policy resolver takes and gives. It is pure: policies + identities → the policy map of
 * one endpoint and the L7 rule sets behind its redirects. Nothing here knows of maps, sockets or
 * the admin API.
 */
import type { FailurePolicy, RuleMode } from "../../runtime/contract/control.ts";

/** A label with its source, as text `source:key=value`, the form every interface shows. */
export interface Label {
  source: string;
  key: string;
  value: string;
}

export interface Identity {
  /** Cilium's numeric space: reserved, cluster-local 256.., local (CIDR) 1<<24 | n. */
  id: number;
  labels: readonly Label[];
}

/** The endpoint, or the node, whose policy is computed. */
export interface PolicySubject {
  endpoint: number;
  /** `node`: the node itself; its identity is that of the host with the node's labels. */
  scope?: "endpoint" | "node";
  identity: Identity;
  namespace: string;
  /** Of the pod in its namespace; a visibility policy may name it. */
  name?: string;
  /** Named ports of the pod, for named ports in ingress rules. */
  namedPorts: readonly { name: string; port: number; protocol: number }[];
}

/** Which policy object stands behind a decision; the fields of Hubble's flow.Policy. */
export interface PolicyOrigin {
  kind:
    | "CiliumNetworkPolicy"
    | "CiliumClusterwideNetworkPolicy"
    | "NetworkPolicy"
    | "ClusterNetworkPolicy"
    | "AdminNetworkPolicy"
    | "BaselineAdminNetworkPolicy"
    | "VisibilityPolicy";
  name: string;
  namespace: string;
  labels: readonly string[];
  revision: number;
  /** `log.value` of the rule, shown as the flow's policy_log. */
  log?: string;
}

/** L7 rules of one plugin, merged for one (peer, port) key; equal content gets one rule set id. */
export interface L7Rules {
  /** Plugin name: `http` rules name `l7-http`; `l7proto` rules their parser. */
  plugin: string;
  /** Optional pinned version (`NAME@VERSION`). */
  version?: string;
  /**
   * ORed; a rule is fields ANDed; a rule without fields matches everything. Repeated keys allowed.
   */
  rules: readonly (readonly { key: string; value: string }[])[];
  /** Default `enforce`. */
  mode?: RuleMode;
  /** What becomes of connections that the plugin cannot serve. Default `closed`. */
  failure?: FailurePolicy;
}

/** One row of the policy map; the kernel's struct policy_key and policy_value, minus numbering. */
export interface ResolvedEntry {
  /** Peer identity, 0 any. */
  identity: number;
  direction: "ingress" | "egress";
  /** IPPROTO_*; 0 any. */
  protocol: number;
  /** Host order; ICMP: type << 8. */
  port: number;
  /** Bits of `port` that count: 16 one port, 0 all ports. */
  portPrefix: number;
  /** Of class 0 (low byte) if nothing decides here: a narrower entry than one that would. */
  precedence: number;
  deny: boolean;
  /** Set: hand over to the proxy with these rules. */
  l7?: L7Rules;
  origins: readonly PolicyOrigin[];
}

export interface ResolvedPolicy {
  entries: readonly ResolvedEntry[];
  ingressEnforced: boolean;
  egressEnforced: boolean;
}
