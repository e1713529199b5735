/** Who has to do something when what is known of the cluster changes. */
import type { ApiServers } from "../cluster/api-servers.ts";
import type { Endpoints } from "../endpoint/endpoints.ts";
import type { PolicyService } from "../enforce/policies.ts";
import type { Ipcache } from "../ipcache/ipcache.ts";
import type { Base } from "./base.ts";
import type { Cluster } from "./cluster.ts";
import type { Identities } from "./identities.ts";
import { hostLabels } from "./node.ts";
import type { NodeAddresses } from "./node-addresses.ts";

export interface FollowedParts {
  ipcache: Ipcache;
  identities: Identities["allocator"];
  endpoints: Endpoints;
  policies: PolicyService;
  apiServers: ApiServers;
  nodeAddresses: NodeAddresses;
  /** Of NodePrefixesDeps. */
  relabelled: (addresses: string[]) => Promise<void>;
}

/** Settles when what the cluster's state says now is in force, or false: then it will be. */
export function followCluster(
  base: Base,
  cluster: Cluster,
  parts: FollowedParts,
): Promise<boolean> {
  const { ipcache, identities, endpoints, policies, relabelled: changed } = parts;
  const { apiServers, nodeAddresses } = parts;
  const { node, nodeSelectorLabels: nodeLabels, cidrMatchesNodes } = base.options;
  const settled = (): Promise<void> => policies.refresh();
  nodeAddresses.onChange(() => void cluster.nodesChanged());
  return cluster.follow({
    nameHost: () => identities.nameHost(hostLabels(base, { apiServers, nodeAddresses })),
    nodes: { node, nodeLabels, cidrMatchesNodes, ipcache, identities, settled, changed },
    refreshIdentities: () => endpoints.refreshIdentities(settled),
    sourcesChanged: () => policies.sourcesChanged(),
  });
}
