/** The node itself: the names of its addresses, and its endpoint if it may have a policy. */
import type { ApiServers } from "../cluster/api-servers.ts";
import type { Datapath } from "../datapath/types.ts";
import { HostEndpoint } from "../endpoint/host-endpoint.ts";
import { cidrLabel, parseAddress } from "../identity/cidr.ts";
import { IDENTITY } from "../identity/reserved.ts";
import type { Ipcache } from "../ipcache/ipcache.ts";
import { loadNative } from "../native/index.ts";
import type { Label } from "../policy/types.ts";
import type { Base } from "./base.ts";
import type { Cluster } from "./cluster.ts";
import { NodeAddresses } from "./node-addresses.ts";

const NODE_ADDRESSES_MS = 5_000;

/** The node's own addresses, and what an address that nothing names is. */
export function nameNodePrefixes({ life }: Base, ipcache: Ipcache): NodeAddresses {
  const addresses = new NodeAddresses(ipcache, loadNative());
  addresses.refresh();
  life.every(NODE_ADDRESSES_MS, async () => void addresses.refresh());
  ipcache.upsert("restored", "0.0.0.0/0", IDENTITY.worldIpv4);
  ipcache.upsert("restored", "::/0", IDENTITY.worldIpv6);
  return addresses;
}

/** Of the identity `host`, besides that it is: the API is here; its addresses if CIDRs count. */
export function hostLabels(
  { options }: Base,
  { apiServers, nodeAddresses }: { apiServers: ApiServers; nodeAddresses: NodeAddresses },
): Label[] {
  const own = options.cidrMatchesNodes ? nodeAddresses.list().map(parseAddress) : [];
  const addresses = own.filter((one) => one !== undefined).map(cidrLabel);
  return [...apiServers.hostLabels(), ...addresses];
}

/** Undefined unless the node may have a policy. */
export function createHost(
  { options, log }: Base,
  parts: {
    datapath: Datapath;
    cluster: Cluster;
    nodeAddresses: NodeAddresses;
    apiServers: ApiServers;
  },
): HostEndpoint | undefined {
  if (options.hostFirewall !== true) return undefined;
  if (options.devices.length === 0) {
    log.warn("--host-firewall without --device: the node's policy sees its own pods only");
  }
  const { datapath, cluster, nodeAddresses, apiServers } = parts;
  return new HostEndpoint({
    datapath,
    labels: options.nodeLabels,
    nodeLabels: () => cluster.state.nodeLabels(options.node),
    reservedLabels: () => apiServers.hostLabels(),
    addresses: () => nodeAddresses.list(),
    netns: `/proc/${process.pid}/ns/net`,
  });
}
