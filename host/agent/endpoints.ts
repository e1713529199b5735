/** The pods of this node, made as the agent's options want them. */
import { createPodNetwork } from "../datapath/index.ts";
import type { Datapath } from "../datapath/types.ts";
import { Endpoints } from "../endpoint/endpoints.ts";
import { AddressPool } from "../endpoint/ipam.ts";
import { type PodMetadata, podLabels } from "../identity/pod-labels.ts";
import type { Ipcache } from "../ipcache/ipcache.ts";
import type { SharedAddresses } from "../ipcache/shared-addresses.ts";
import type { Store } from "../store/store.ts";
import type { Base } from "./base.ts";
import type { Cluster } from "./cluster.ts";
import type { Identities } from "./identities.ts";

export function createEndpoints(
  { options, log }: Base,
  parts: {
    store: Store;
    datapath: Datapath;
    ipcache: Ipcache;
    identity: Identities;
    cluster: Cluster;
    addresses: SharedAddresses | undefined;
    relabelled: (addresses: string[]) => Promise<void>;
  },
): Endpoints {
  const { allocator } = parts.identity;
  const labelsOf = (pod: PodMetadata) =>
    podLabels({
      ...pod,
      cluster: options.cluster,
      namespaceLabels: parts.cluster.state.namespaceLabels(pod.namespace),
    });
  return new Endpoints({
    log,
    store: parts.store,
    datapath: parts.datapath,
    ipcache: parts.ipcache,
    network: createPodNetwork(),
    identities: {
      acquire: (pod) => allocator.acquire(labelsOf(pod)),
      release: (identity) => allocator.release(identity),
    },
    identityGracePeriodMs: options.identity.gracePeriodMs,
    addresses: parts.addresses,
    onRelabelled: parts.relabelled,
    ipv4: new AddressPool(options.ipv4Pool),
    ipv6: new AddressPool(options.ipv6Pool),
  });
}
