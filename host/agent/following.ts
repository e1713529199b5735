/** Who has to do something when what is known of the cluster changes. */
import type { Endpoints } from "../endpoint/endpoints.ts";
import type { PolicyService } from "../enforce/policies.ts";
import type { Ipcache } from "../ipcache/ipcache.ts";
import type { Base } from "./base.ts";
import type { Cluster } from "./cluster.ts";
import type { Identities } from "./identities.ts";

export interface FollowedParts {
  ipcache: Ipcache;
  identities: Identities["allocator"];
  endpoints: Endpoints;
  policies: PolicyService;
  /** Of NodePrefixesDeps. */
  relabelled: (addresses: string[]) => Promise<void>;
}

/** Settles when what the cluster's state says now is in force, or false: then it will be. */
export function followCluster(
  { options }: Base,
  cluster: Cluster,
  parts: FollowedParts,
): Promise<boolean> {
  const { ipcache, identities, endpoints, policies, relabelled: changed } = parts;
  const { node, nodeSelectorLabels: nodeLabels, cidrMatchesNodes } = options;
  const settled = (): Promise<void> => policies.refresh();
  return cluster.follow({
    nodes: { node, nodeLabels, cidrMatchesNodes, ipcache, identities, settled, changed },
    refreshIdentities: () => endpoints.refreshIdentities(settled),
    sourcesChanged: () => policies.sourcesChanged(),
  });
}
