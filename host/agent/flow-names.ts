/** Answers what flows ask of the agent (host/hubble/getters.ts), from the agent's own parts. */
import { readFileSync } from "node:fs";
import { ENDPOINT_HOST } from "../datapath/index.ts";
import type { Endpoints } from "../endpoint/endpoints.ts";
import type { HostEndpoint } from "../endpoint/host-endpoint.ts";
import type { Planner } from "../enforce/planner.ts";
import type { FlowEndpoint } from "../hubble/flow-facts.ts";
import type { FlowGetters } from "../hubble/getters.ts";
import type { IdentityAllocator } from "../identity/allocator.ts";
import { formatLabel } from "../identity/label.ts";
import { IDENTITY } from "../identity/reserved.ts";
import type { PluginCatalogView } from "../plugin/catalog-view.ts";

export interface FlowNamesDeps {
  endpoints: Endpoints;
  /** Undefined: the node has no policy of its own. */
  host: HostEndpoint | undefined;
  identities: IdentityAllocator;
  planner: Planner;
  plugins: Pick<PluginCatalogView, "manifestOf">;
  cluster: string;
}

/** Interfaces come and go with pods; names are read again for an index not seen before. */
const INTERFACE_NAMES_MAX = 4096;

export function createFlowNames(deps: FlowNamesDeps): FlowGetters {
  const labels = (identity: number): readonly string[] =>
    (deps.identities.get(identity)?.labels ?? []).map(formatLabel).sort();
  return {
    endpointByIp: (ip) => endpointByIp(deps, labels, ip),
    identityLabels: labels,
    originsByCookie: (cookie) => deps.planner.originsOf(cookie),
    originsByRuleSet: () => [],
    namesOf: () => [],
    serviceByAddress: () => undefined,
    interfaceName: createInterfaceNames(deps.endpoints),
    pluginRecords: (digest) => deps.plugins.manifestOf(digest),
  };
}

function endpointByIp(
  { endpoints, host, cluster }: FlowNamesDeps,
  labels: (identity: number) => readonly string[],
  ip: string,
): FlowEndpoint | undefined {
  const record = endpoints.byAddress(ip);
  if (record === undefined) return host?.isAt(ip) ? hostEnd(host, cluster) : undefined;
  return {
    id: record.id,
    identity: record.identity,
    namespace: record.namespace,
    podName: record.name,
    labels: labels(record.identity),
    workloads: [],
    clusterName: cluster,
  };
}

function hostEnd(host: HostEndpoint, clusterName: string): FlowEndpoint {
  return {
    ...{ id: ENDPOINT_HOST, identity: IDENTITY.host, namespace: "", podName: "" },
    ...{ labels: host.labels(), workloads: [], clusterName },
  };
}

function createInterfaceNames(endpoints: Endpoints): (index: number) => string {
  const names = new Map<number, string>();
  return (index) => {
    const known = names.get(index);
    if (known !== undefined) return known;
    if (names.size >= INTERFACE_NAMES_MAX) names.clear();
    for (const record of endpoints.records()) names.set(record.ifindex, record.ifname);
    const name = names.get(index) ?? readInterfaceName(index);
    names.set(index, name);
    return name;
  };
}

/** The node's own interfaces, from /proc/net/dev_mcast: "index name …" in our namespace. */
function readInterfaceName(index: number): string {
  const lines = readFileSync("/proc/self/net/dev_mcast", "utf8").split("\n");
  const line = lines.find((one) => one.startsWith(`${index}\t`) || one.startsWith(`${index} `));
  return line?.split(/\s+/)[1] ?? "";
}
