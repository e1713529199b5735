/**
 * Identities as the agent's options want them: the store that decides on numbers, the keys this
 * node keeps there, the allocator over both, and what tidies up. main.ts owns the result.
 */
import { readFileSync } from "node:fs";
import type { Logger } from "pino";
import { IdentityAllocator, RESTORED_HOLD_MS } from "../identity/allocator.ts";
import { ClusterNumbers } from "../identity/cluster-numbers.ts";
import {
  COLLECT_INTERVAL_MS,
  HEARTBEAT_TIMEOUT_MS,
  IdentityCollector,
} from "../identity/collector.ts";
import { createLabelFilter } from "../identity/label-filter.ts";
import { clusterRange } from "../identity/ranges.ts";
import { parseFixedIdentityMapping } from "../identity/reserved.ts";
import type { Ipcache } from "../ipcache/ipcache.ts";
import { SharedAddresses } from "../ipcache/shared-addresses.ts";
import { type AgentOptions, databaseFile, type EtcdStoreOptions } from "../options.ts";
import { EtcdStore } from "../store/etcd/etcd-store.ts";
import { LeasedKeys } from "../store/leased-keys.ts";
import type { SharedStore } from "../store/shared-store.ts";
import { SqliteSharedStore } from "../store/sqlite-shared.ts";
import type { Store } from "../store/store.ts";
import type { Lifetime } from "./lifetime.ts";

/** With etcd. Others bear with keys that are missing for LINGER_MS (host/store/mirror.ts). */
const RENEWAL_MS = 5_000;
const RELEASE_MS = 10_000;
/** Alone on its store a node needs no heartbeat of others; two passes a minute apart do. */
const ALONE_MS = 60_000;

export interface Identities {
  allocator: IdentityAllocator;
  shared: SharedStore;
  leased: LeasedKeys;
}

export interface IdentitiesDeps {
  options: Pick<AgentOptions, "identity" | "cluster" | "node" | "stateDir">;
  log: Logger;
  life: Lifetime;
  store: Store;
}

/** Settles when the stores have been read, or the shared one did not answer. */
export async function startIdentities(deps: IdentitiesDeps): Promise<Identities> {
  const { options, log, life, store } = deps;
  const { etcd, clusterId: id, maxConnectedClusters, labels, fixedMapping } = options.identity;
  const shared: SharedStore = life.own(
    etcd === undefined ? new SqliteSharedStore(databaseFile(options.stateDir)) : openEtcd(etcd),
  );
  const renewal = etcd === undefined ? {} : { renewalMs: RENEWAL_MS };
  const leased = life.own(new LeasedKeys({ store: shared, log, ...renewal }));
  const range = clusterRange({ id, maxConnectedClusters });
  const { node } = options;
  const now = (): number => performance.now();
  const memory = etcd === undefined ? undefined : store;
  const allocator = life.own(
    new IdentityAllocator({
      cluster: (onChange) =>
        new ClusterNumbers({ store: shared, leased, node, range, log, onChange, memory }),
      ...{ store, now, clusterName: options.cluster, filter: createLabelFilter(labels) },
      ...(fixedMapping === undefined ? {} : { fixed: parseFixedIdentityMapping(fixedMapping) }),
      restoredHoldMs: RESTORED_HOLD_MS[etcd === undefined ? "sqlite" : "etcd"],
    }),
  );
  await allocator.start();
  life.every(RELEASE_MS, () => allocator.collect());
  const heartbeatTimeoutMs = etcd === undefined ? ALONE_MS : HEARTBEAT_TIMEOUT_MS;
  const collector = life.own(
    new IdentityCollector({ store: shared, leased, node, range, now, heartbeatTimeoutMs }),
  );
  life.every(etcd === undefined ? ALONE_MS : COLLECT_INTERVAL_MS, () => collector.pass());
  return { allocator, shared, leased };
}

/** Reads the files that the options name. Throws what reading them throws. */
function openEtcd(options: EtcdStoreOptions): EtcdStore {
  const text = (file: string | undefined): string | undefined =>
    file === undefined ? undefined : readFileSync(file, "utf8");
  const { endpoints, caFile, certFile, keyFile, user, passwordFile } = options;
  const [ca, cert, key] = [text(caFile), text(certFile), text(keyFile)];
  const password = text(passwordFile)?.replace(/\r?\n$/, "") ?? "";
  return new EtcdStore({
    endpoints,
    tls: {
      ...(ca === undefined ? {} : { ca }),
      ...(cert === undefined ? {} : { cert }),
      ...(key === undefined ? {} : { key }),
    },
    ...(user === undefined ? {} : { auth: { user, password } }),
  });
}

/**
 * Pods of other nodes, when there is a store that nodes share. `settled` and `changed` are of
 * SharedAddressesDeps.
 */
export function shareAddresses(
  { shared, leased, allocator }: Identities,
  { log, life, options }: Pick<IdentitiesDeps, "log" | "life" | "options">,
  parts: {
    memory: Store;
    ipcache: Ipcache;
    hostIp: string;
    settled: () => Promise<void>;
    changed: (addresses: string[]) => Promise<void>;
  },
): SharedAddresses | undefined {
  if (options.identity.etcd === undefined) return undefined;
  const knows = (identity: number): boolean => allocator.get(identity) !== undefined;
  return life.own(new SharedAddresses({ store: shared, leased, log, knows, ...parts }));
}
