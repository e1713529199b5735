/** This node in the shared store, and other nodes from there, when nodes share one. */
import { readFileSync } from "node:fs";
import { SharedNodes } from "../cluster/shared-nodes.ts";
import type { ClusterState } from "../cluster/state.ts";
import type { Store } from "../store/store.ts";
import type { Base } from "./base.ts";
import type { Identities } from "./identities.ts";
import type { NodeAddresses } from "./node-addresses.ts";

/** Addresses and labels are looked at this often; only changes are written. */
const PUBLISH_MS = 5_000;
const BOOT_ID_FILE = "/proc/sys/kernel/random/boot_id";

export interface NodeSharing {
  /** False: the store did not answer when it was asked last. */
  readonly isCurrent: boolean;
  /** Settles when `state` has what other nodes say, and this one is published, as far as can be. */
  start(): Promise<void>;
}

export function shareNodes(
  { shared: store, leased }: Identities,
  { options, log, life }: Base,
  parts: { memory: Store; state: ClusterState; addresses: NodeAddresses },
): NodeSharing | undefined {
  const { identity, node, cluster, ipv4Pool, ipv6Pool } = options;
  if (identity.etcd === undefined) return undefined;
  const { memory, state, addresses } = parts;
  const nodes = life.own(
    new SharedNodes({
      ...{ store, leased, log, memory, node, cluster, ipv4Pool, ipv6Pool },
      clusterId: identity.clusterId,
      bootId: readFileSync(BOOT_ID_FILE, "utf8").trim(),
      replace: (others) => state.replaceShared(others),
    }),
  );
  const publish = (): Promise<void> =>
    nodes.publish({
      addresses: addresses.list(),
      labels: { ...state.nodeLabels(node), ...options.nodeLabels },
    });
  return {
    get isCurrent() {
      return nodes.isCurrent;
    },
    async start() {
      await Promise.all([nodes.start(), publish()]);
      life.every(PUBLISH_MS, publish);
    },
  };
}
