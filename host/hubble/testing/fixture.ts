/** Two pods, the world, one policy and one HTTP plugin, for tests of the flow API. */
import type { DatapathEvent } from "../../datapath/types.ts";
import type { PolicyOrigin } from "../../policy/types.ts";
import { FlowBuilder } from "../flow-builder.ts";
import type { FlowEndpoint, RingEntry } from "../flow-facts.ts";
import type { FlowGetters, FlowNode, PluginRecords } from "../getters.ts";

export const NODE: FlowNode = {
  nodeName: "default/node-1",
  clusterName: "default",
  nodeLabels: ["k8s:zone=a"],
  version: "0.1.0",
};

function pod(id: number, identity: number, podName: string): FlowEndpoint {
  return {
    id,
    identity,
    namespace: "default",
    podName,
    labels: ["k8s:app=web", `k8s:name=${podName}`],
    workloads: [{ name: podName, kind: "Deployment" }],
    clusterName: "default",
  };
}

export const POD_A = pod(1, 26_450, "a");
export const POD_B = pod(2, 32_531, "b");

export const POLICY_WEB: PolicyOrigin = {
  kind: "CiliumNetworkPolicy",
  name: "web",
  namespace: "default",
  labels: ["k8s:io.cilium.k8s.policy.name=web"],
  revision: 3,
  log: "ticket-1",
};

export const HTTP_PLUGIN: PluginRecords = {
  flow: "http",
  records: {
    request: { fields: ["method", "path", "host", "protocol", "traceparent"] },
    response: { fields: ["status", "protocol", "content-length"] },
  },
};

const PODS: Readonly<Record<string, FlowEndpoint>> = {
  "10.0.0.1": POD_A,
  "10.0.0.2": POD_B,
  "fd00::1": POD_A,
  "fd00::2": POD_B,
};

export const GETTERS: FlowGetters = {
  endpointByIp: (ip) => PODS[ip],
  identityLabels: (identity) => (identity === 2 ? ["reserved:world"] : []),
  originsByCookie: (cookie) =>
    cookie === 7 ? [POLICY_WEB, { ...POLICY_WEB, log: "ticket-2" }, POLICY_WEB] : [],
  originsByRuleSet: (ruleSet, endpoint) =>
    ruleSet === 5 && endpoint === 1 ? [{ ...POLICY_WEB, name: "by-rule-set" }] : [],
  namesOf: (endpoint, ip) => (endpoint === 1 && ip === "192.0.2.1" ? ["example.com"] : []),
  serviceByAddress: (ip, port) =>
    ip === "10.96.0.1" && port === 80 ? { name: "web", namespace: "default" } : undefined,
  interfaceName: (index) => `lxc${index}`,
  pluginRecords: (digest) => (digest === "sha256:ab" ? HTTP_PLUGIN : undefined),
};

/** 2026-11-24 04:05:42.123456789 UTC */
export const TIME = 1_795_493_142_123_456_789n;

/** A SYN from a to b, seen where it enters b. */
export const SYN: DatapathEvent = {
  time: TIME,
  type: 4,
  subType: 0,
  direction: "ingress",
  reason: 0,
  verdict: 0,
  sourceIdentity: 26_450,
  destinationIdentity: 32_531,
  ifindex: 5,
  cookie: 0,
  length: 60,
  endpoint: 2,
  tcpFlags: 0x02,
  isReply: false,
  tuple: {
    source: "10.0.0.1",
    destination: "10.0.0.2",
    sourcePort: 33_044,
    destinationPort: 8_080,
    protocol: 6,
  },
  sourceMac: "0a:00:00:00:00:01",
  destinationMac: "0a:00:00:00:00:02",
};

/** A builder and what it delivered. */
export function collectingBuilder(getters: FlowGetters = GETTERS): {
  builder: FlowBuilder;
  entries: RingEntry[];
} {
  const entries: RingEntry[] = [];
  const builder = new FlowBuilder({
    getters,
    nowNs: () => TIME,
    deliver: (entry) => entries.push(entry),
  });
  return { builder, entries };
}
