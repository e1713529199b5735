/** Who has to do something when what is known of the cluster changes. */
import type { ApiServers } from "../cluster/api-servers.ts";
import type { Endpoints } from "../endpoint/endpoints.ts";
import type { PolicyService } from "../enforce/policies.ts";
import type { Ipcache } from "../ipcache/ipcache.ts";
import type { Base } from "./base.ts";
import type { Cluster } from "./cluster.ts";
import type { Identities } from "./identities.ts";
import type { NodeAddresses } from "./node-addresses.ts";

export interface FollowedParts {
  ipcache: Ipcache;
  identities: Identities["allocator"];
  endpoints: Endpoints;
  policies: PolicyService;
  apiServers: ApiServers;
  nodeAddresses: NodeAddresses;
}

/** Settles when what the cluster's state says now is in force, or false: then it will be. */
export function followCluster(
  { options }: Base,
  cluster: Cluster,
  parts: FollowedParts,
): Promise<boolean> {
  const { ipcache, identities, endpoints, policies, apiServers, nodeAddresses } = parts;
  const { node, nodeSelectorLabels: nodeLabels } = options;
  const settled = (): Promise<void> => policies.refresh();
  nodeAddresses.onChange(() => void cluster.nodesChanged());
  return cluster.follow({
    nameHost: () => identities.nameHost(apiServers.hostLabels()),
    nodes: { node, nodeLabels, ipcache, identities, settled },
    refreshIdentities: () => endpoints.refreshIdentities(settled),
    sourcesChanged: () => policies.sourcesChanged(),
  });
}
