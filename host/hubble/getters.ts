/**
 * What flows ask of the rest of the agent. Each consumer of this folder passes implementations;
 * they are called once for a packet or a connection, from maps, and never wait.
 */
import type { PolicyOrigin } from "../policy/types.ts";
import type { FlowEndpoint, FlowService } from "./flow-facts.ts";

export interface EndpointGetter {
  /** The endpoint (of this node, or known from the ipcache) behind a printable address. */
  endpointByIp(ip: string): FlowEndpoint | undefined;
}

export interface IdentityGetter {
  /** Labels as `source:key=value`, sorted; empty when the identity is not known. */
  identityLabels(identity: number): readonly string[];
}

export interface PolicyGetter {
  /** Policies behind a policy map entry, by the cookie in its events. */
  originsByCookie(cookie: number): readonly PolicyOrigin[];
  /** The same by rule set, for connections whose stage has no cookie. */
  originsByRuleSet(ruleSet: number, endpoint: number): readonly PolicyOrigin[];
}

export interface NameGetter {
  /** DNS names by which endpoint `endpoint` (0: any) knows the address. */
  namesOf(endpoint: number, ip: string): readonly string[];
}

export interface ServiceGetter {
  serviceByAddress(ip: string, port: number): FlowService | undefined;
}

export interface InterfaceGetter {
  /** Empty when unknown. */
  interfaceName(index: number): string;
}

export interface PluginGetter {
  /** Record fields and flow kind of a plugin's manifest, by its digest. */
  pluginRecords(digest: string): PluginRecords | undefined;
}

/** The part of a manifest that says what records mean (runtime/contract/manifest.ts). */
export interface PluginRecords {
  readonly flow: "http" | "dns" | "kafka" | "generic";
  readonly records: { readonly request: RecordMeaning; readonly response: RecordMeaning };
}

export interface RecordMeaning {
  readonly fields: readonly string[];
  readonly summary?: string | undefined;
  readonly sensitive?: readonly string[] | undefined;
}

export interface FlowGetters
  extends EndpointGetter,
    IdentityGetter,
    PolicyGetter,
    NameGetter,
    ServiceGetter,
    InterfaceGetter,
    PluginGetter {}

/** The node, as flows and status name it. */
export interface FlowNode {
  /** `cluster/node` */
  readonly nodeName: string;
  readonly clusterName: string;
  readonly nodeLabels: readonly string[];
  /** Version of the agent, without a leading v. */
  readonly version: string;
}
