/** The node itself: the names of its addresses, and its endpoint if it may have a policy. */
import type { Datapath } from "../datapath/types.ts";
import { HostEndpoint } from "../endpoint/host-endpoint.ts";
import type { IdentityAllocator } from "../identity/allocator.ts";
import { cidrLabel, parseAddress } from "../identity/cidr.ts";
import { IDENTITY } from "../identity/reserved.ts";
import type { Ipcache } from "../ipcache/ipcache.ts";
import type { Base } from "./base.ts";
import type { Cluster } from "./cluster.ts";
import { NodeAddresses } from "./node-addresses.ts";

const NODE_ADDRESSES_MS = 5_000;

/**
 * The node's own addresses, and what an address that nothing names is. `settled`: as that of
 * NodePrefixesDeps, called when CIDRs select the node by its addresses and there are others.
 */
export function nameNodePrefixes(
  { options, life }: Base,
  parts: { ipcache: Ipcache; identities: IdentityAllocator; settled: () => Promise<void> },
): NodeAddresses {
  const { ipcache, identities, settled } = parts;
  const addresses = new NodeAddresses(ipcache);
  const look = (): boolean => {
    if (!addresses.refresh() || !options.cidrMatchesNodes) return false;
    const own = addresses.list().map(parseAddress);
    identities.nameHost(own.filter((one) => one !== undefined).map(cidrLabel));
    return true;
  };
  look();
  life.every(NODE_ADDRESSES_MS, async () => {
    if (look()) await settled();
  });
  ipcache.upsert("restored", "0.0.0.0/0", IDENTITY.worldIpv4);
  ipcache.upsert("restored", "::/0", IDENTITY.worldIpv6);
  return addresses;
}

/** Undefined unless the node may have a policy. */
export function createHost(
  { options, log }: Base,
  parts: { datapath: Datapath; cluster: Cluster; nodeAddresses: NodeAddresses },
): HostEndpoint | undefined {
  if (options.hostFirewall !== true) return undefined;
  if (options.devices.length === 0) {
    log.warn("--host-firewall without --device: the node's policy sees its own pods only");
  }
  const { datapath, cluster, nodeAddresses } = parts;
  return new HostEndpoint({
    datapath,
    labels: options.nodeLabels,
    nodeLabels: () => cluster.state.nodeLabels(options.node),
    addresses: () => nodeAddresses.list(),
    netns: `/proc/${process.pid}/ns/net`,
  });
}
