/** The filters on one end of a flow: address, pod, labels and so on, for source and destination. */
import { BlockList, isIP } from "node:net";
import {
  type FlowEndpoint,
  type FlowFacts,
  type FlowService,
  PORT_PROTOCOLS,
} from "./flow-facts.ts";
import type { FlowFilter, Workload } from "./gen/flow/flow_pb.ts";
import { compileSelectors } from "./label-selector.ts";
import { compileNameGlobs, invalid } from "./pattern.ts";

export type FlowPredicate = (flow: FlowFacts) => boolean;

const PORT_MAX = 65_535;
const NAMESPACE_DEFAULT = "default";

type Side = "source" | "destination";

/** Predicates of the set fields of `side`; throws HubbleError. */
export function endPredicates(filter: FlowFilter, side: Side): FlowPredicate[] {
  const predicates: FlowPredicate[] = [];
  const add = <T>(values: readonly T[], compile: (values: readonly T[]) => FlowPredicate): void => {
    if (values.length > 0) predicates.push(compile(values));
  };
  const isSource = side === "source";
  const endpoint = (flow: FlowFacts): FlowEndpoint | undefined => flow.ends?.[side];
  add(isSource ? filter.sourceIp : filter.destinationIp, (ips) => {
    const match = compileIps(`${side}_ip`, ips);
    return (flow) => match((isSource ? flow.ends?.sourceIp : flow.ends?.destinationIp) ?? "");
  });
  add(isSource ? filter.sourcePod : filter.destinationPod, (pods) => {
    const match = compileNamespacedNames(`${side}_pod`, pods);
    return (flow) => match(endpoint(flow)?.namespace, endpoint(flow)?.podName);
  });
  add(isSource ? filter.sourceService : filter.destinationService, (services) => {
    const match = compileNamespacedNames(`${side}_service`, services);
    const service = (flow: FlowFacts): FlowService | undefined =>
      isSource ? flow.ends?.sourceService : flow.ends?.destinationService;
    return (flow) => match(service(flow)?.namespace, service(flow)?.name);
  });
  add(isSource ? filter.sourceFqdn : filter.destinationFqdn, (globs) => {
    const match = compileNameGlobs(`${side}_fqdn`, globs);
    return ({ ends }) =>
      (isSource ? ends?.sourceNames : ends?.destinationNames)?.some(match) ?? false;
  });
  add(isSource ? filter.sourceLabel : filter.destinationLabel, (selectors) => {
    const match = compileSelectors(`${side}_label`, selectors);
    return (flow) => match(endpoint(flow)?.labels ?? NO_LABELS);
  });
  add(isSource ? filter.sourcePort : filter.destinationPort, (ports) => compilePorts(side, ports));
  add(isSource ? filter.sourceIdentity : filter.destinationIdentity, (identities) => {
    const wanted = new Set(identities);
    return (flow) => wanted.has(endpoint(flow)?.identity ?? 0);
  });
  add(isSource ? filter.sourceWorkload : filter.destinationWorkload, (workloads) => {
    return (flow) => hasWorkload(endpoint(flow), workloads);
  });
  add(isSource ? filter.sourceClusterName : filter.destinationClusterName, (names) => {
    if (names.includes("")) throw invalid(`${side}_cluster_name`, "a name is empty");
    return (flow) => names.includes(endpoint(flow)?.clusterName ?? "");
  });
  return predicates;
}

const NO_LABELS: readonly string[] = [];

/** Exact addresses and CIDR prefixes. */
function compileIps(field: string, ips: readonly string[]): (ip: string) => boolean {
  const list = new BlockList();
  for (const ip of ips) {
    const [address = "", bits] = ip.split("/", 2);
    const version = isIP(address);
    const bitsMax = version === 6 ? 128 : 32;
    if (version === 0) throw invalid(field, `${JSON.stringify(ip)} is no address`);
    const family = version === 6 ? "ipv6" : "ipv4";
    if (bits === undefined) {
      list.addAddress(address, family);
    } else if (/^\d{1,3}$/.test(bits) && Number(bits) <= bitsMax) {
      list.addSubnet(address, Number(bits), family);
    } else {
      throw invalid(field, `${JSON.stringify(ip)} is no prefix`);
    }
  }
  return (ip) => ip !== "" && list.check(ip, ip.includes(":") ? "ipv6" : "ipv4");
}

/** `namespace/prefix`; without namespace `default`, `/prefix` any, `namespace/` all in it. */
function compileNamespacedNames(
  field: string,
  names: readonly string[],
): (namespace: string | undefined, name: string | undefined) => boolean {
  const wanted = names.map((text) => {
    if (text === "") throw invalid(field, "a name is empty");
    const parts = text.split("/");
    if (parts.length === 1) return { namespace: NAMESPACE_DEFAULT, prefix: text };
    return { namespace: parts[0] ?? "", prefix: parts[1] ?? "" };
  });
  return (namespace = "", name = "") => {
    if (namespace === "" && name === "") return false;
    return wanted.some(
      (each) =>
        (each.namespace === "" || each.namespace === namespace) && name.startsWith(each.prefix),
    );
  };
}

function compilePorts(side: Side, texts: readonly string[]): FlowPredicate {
  const ports = new Set(
    texts.map((text) => {
      const port = Number(text);
      if (!/^\d{1,5}$/.test(text) || port > PORT_MAX) {
        throw invalid(`${side}_port`, `${JSON.stringify(text)} is no port`);
      }
      return port;
    }),
  );
  return ({ ends }) => {
    if (ends === undefined || !PORT_PROTOCOLS.has(ends.protocol)) return false;
    return ports.has(side === "source" ? ends.sourcePort : ends.destinationPort);
  };
}

function hasWorkload(endpoint: FlowEndpoint | undefined, wanted: readonly Workload[]): boolean {
  if (endpoint === undefined) return false;
  return endpoint.workloads.some((workload) =>
    wanted.some(
      ({ name, kind }) =>
        (name === "" || name === workload.name) && (kind === "" || kind === workload.kind),
    ),
  );
}
