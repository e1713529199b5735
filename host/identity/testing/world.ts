/** Allocators over real stores, as the agent makes them, for tests and benchmarks. */
import { pino } from "pino";
import { LeasedKeys } from "../../store/leased-keys.ts";
import type { SharedStore } from "../../store/shared-store.ts";
import { SqliteStore } from "../../store/sqlite.ts";
import { SqliteSharedStore } from "../../store/sqlite-shared.ts";
import type { Store } from "../../store/store.ts";
import { IdentityAllocator, type IdentityAllocatorDeps } from "../allocator.ts";
import { ClusterNumbers } from "../cluster-numbers.ts";
import { IdentityCollector } from "../collector.ts";
import { clusterRange, type NumberRange } from "../ranges.ts";

export interface TestAllocatorOptions extends Partial<IdentityAllocatorDeps> {
  shared?: SharedStore;
  node?: string;
  range?: NumberRange;
  memory?: Store;
  leaseSeconds?: number;
  heartbeatTimeoutMs?: number;
  renewalMs?: number;
  lingerMs?: number;
}

export function createTestAllocator(options: TestAllocatorOptions = {}) {
  const { node = "node-a", leaseSeconds = 60, heartbeatTimeoutMs = 100, memory } = options;
  const renewal = options.renewalMs === undefined ? {} : { renewalMs: options.renewalMs };
  const linger = options.lingerMs === undefined ? {} : { lingerMs: options.lingerMs };
  const clock = { ms: 0 };
  const now = options.now ?? (() => clock.ms);
  const shared = options.shared ?? new SqliteSharedStore(":memory:");
  const store = options.store ?? new SqliteStore(":memory:");
  const range = options.range ?? clusterRange({ id: 0, maxConnectedClusters: 255 });
  const log = pino({ level: "silent" });
  const leased = new LeasedKeys({ store: shared, log, leaseSeconds, retryMs: 50, ...renewal });
  const allocator = new IdentityAllocator({
    cluster: (onChange) =>
      new ClusterNumbers({ store: shared, leased, node, range, log, onChange, memory, ...linger }),
    ...{ store, now, reuseDelayMs: 100, restoredHoldMs: 1_000 },
    ...options,
  });
  const collector = new IdentityCollector({
    ...{ store: shared, leased, node, range, now, heartbeatTimeoutMs },
    deletesPerMinuteMax: 1_000_000,
  });
  const close = (): void => {
    collector.close();
    leased.close();
    allocator.close();
  };
  return { allocator, collector, leased, clock, shared, store, close };
}
