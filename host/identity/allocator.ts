/**
 * Gives label sets their numbers: one number for one set, counted by its users on this node, and
 * not let go until some time after the last user left, because packets, events and connections
 * still carry it. Which labels of a pod count is filtered here, so every caller agrees. Where the
 * numbers come from: cluster-numbers.ts and local-numbers.ts.
 */
import type { Identity, Label } from "../policy/types.ts";
import type { Store } from "../store/store.ts";
import { labelSetKey, reservedLabel, SOURCE_K8S, SOURCE_RESERVED, sortLabels } from "./label.ts";
import { createLabelFilter, filterLabels, type LabelFilter } from "./label-filter.ts";
import { LocalNumbers } from "./local-numbers.ts";
import { IdentityAllocationError, type IdentityChange, type Numbers } from "./numbers.ts";
import { type IdentityScope, LOCAL_RANGE, REMOTE_NODE_RANGE, scopeOfLabels } from "./ranges.ts";
import {
  type FixedIdentityMapping,
  fixedIdentities,
  IDENTITY,
  indexByLabels,
  KEY_FIXED_IDENTITY,
} from "./reserved.ts";

/** Twice what a pod keeps its old identity after a relabel (identity-change-grace-period, 5 s). */
const REUSE_DELAY_MS = 10_000;
/** Local numbers of before a restart; their users may still be on their way back. */
export const RESTORED_HOLD_MS = { sqlite: 30_000, etcd: 10 * 60_000 } as const;

export interface IdentityAllocatorDeps {
  /** Numbers that all nodes of the cluster agree on. */
  cluster: (onChange: (change: IdentityChange) => void) => Numbers;
  /** The agent's own store, for the numbers of this node only. */
  store: Store;
  /** Milliseconds, monotonic. */
  now: () => number;
  filter?: LabelFilter | undefined;
  /** Name of the cluster, for the well-known identities. */
  clusterName?: string;
  fixed?: FixedIdentityMapping;
  reuseDelayMs?: number;
  /** How long local identities of before a restart are kept for nobody. */
  restoredHoldMs?: number;
}

interface Allocation {
  identity: Identity;
  key: string;
  numbers: Numbers;
  users: number;
  /** When it may be let go, unless somebody uses it by then. */
  freeAtMs: number;
}

export class IdentityAllocator {
  readonly #filter: LabelFilter;
  readonly #now: () => number;
  readonly #reuseDelayMs: number;
  readonly #restoredHoldMs: number;
  readonly #numbers: Record<IdentityScope, Numbers>;
  readonly #mapping: FixedIdentityMapping;
  readonly #fixedById: Map<number, Identity>;
  readonly #fixedByLabels: ReadonlyMap<string, Identity>;
  readonly #byId = new Map<number, Allocation>();
  readonly #byKey = new Map<string, Allocation>();
  readonly #listeners: ((change: IdentityChange) => void)[] = [];
  /** Changes run one after another: two acquires of one set must not take two numbers. */
  #tail: Promise<unknown> = Promise.resolve();

  constructor(deps: IdentityAllocatorDeps) {
    this.#filter = deps.filter ?? createLabelFilter();
    this.#now = deps.now;
    this.#reuseDelayMs = deps.reuseDelayMs ?? REUSE_DELAY_MS;
    this.#restoredHoldMs = deps.restoredHoldMs ?? RESTORED_HOLD_MS.sqlite;
    const onChange = (change: IdentityChange): void => this.#announce(change);
    const local = { store: deps.store, onChange };
    this.#numbers = {
      cluster: deps.cluster(onChange),
      local: new LocalNumbers({ ...local, name: "local", range: LOCAL_RANGE }),
      "remote-node": new LocalNumbers({ ...local, name: "remote-node", range: REMOTE_NODE_RANGE }),
    };
    this.#mapping = deps.fixed ?? new Map();
    const fixed = fixedIdentities(deps.clusterName, this.#mapping);
    this.#fixedById = new Map(fixed.map((identity) => [identity.id, identity]));
    this.#fixedByLabels = indexByLabels(fixed);
  }

  /** Takes over what the stores hold; unused until acquired again. Call once, before the rest. */
  start(): Promise<void> {
    return this.#run(async () => {
      for (const numbers of Object.values(this.#numbers)) await numbers.start();
      const { local, "remote-node": nodes } = this.#numbers;
      const freeAtMs = this.#now() + this.#restoredHoldMs;
      for (const numbers of [local, nodes]) {
        for (const identity of numbers.list()) this.#remember(identity, numbers, freeAtMs);
      }
    });
  }

  /**
   * The identity of these labels (after the label filter), with one more user. Labels that only
   * this node gives (CIDR, DNS name, reserved) have a local number, nodes with labels one of their
   * own range, reserved and well-known sets their fixed one.
   * @throws IdentityAllocationError when the range is used up, no label is left, or the shared
   *   store does not answer and the set was not known.
   */
  acquire(labels: Iterable<Label>): Promise<Identity> {
    const kept = sortLabels(filterLabels([...labels], this.#filter));
    return this.#run(() => this.#acquire(kept));
  }

  /** One user less. Fixed and unknown numbers are ignored. */
  release(id: number): Promise<void> {
    return this.#run(async () => {
      const allocation = this.#byId.get(id);
      if (!allocation || allocation.users === 0) return;
      allocation.users--;
      if (allocation.users === 0) allocation.freeAtMs = this.#now() + this.#reuseDelayMs;
    });
  }

  /**
   * Lets go of the numbers that had no user here for the reuse delay, and returns them. Local ones
   * end with that; one of the cluster ends when no node holds it (collector.ts).
   */
  collect(): Promise<number[]> {
    return this.#run(async () => {
      const freed: number[] = [];
      for (const { identity, key, numbers, users, freeAtMs } of [...this.#byId.values()]) {
        if (users > 0 || freeAtMs > this.#now()) continue;
        this.#byKey.delete(key);
        this.#byId.delete(identity.id);
        await numbers.release(identity.id, key);
        freed.push(identity.id);
      }
      return freed;
    });
  }

  get(id: number): Identity | undefined {
    const fixed = this.#fixedById.get(id);
    if (fixed !== undefined) return fixed;
    for (const numbers of Object.values(this.#numbers)) {
      const identity = numbers.get(id);
      if (identity !== undefined) return identity;
    }
    return undefined;
  }

  /** Fixed and allocated identities, those of other nodes and unused ones among them. */
  list(): Identity[] {
    return [
      ...this.#fixedById.values(),
      ...Object.values(this.#numbers).flatMap((numbers) => [...numbers.list()]),
    ];
  }

  /** How often this node uses it: endpoints, prefixes of policies. */
  usersOf(id: number): number {
    return this.#byId.get(id)?.users ?? 0;
  }

  /**
   * Besides `reserved:host` this node has these labels: it is number 1 whatever is said of it, and
   * each node has its own view of that. Announced, unlike other fixed identities.
   */
  nameHost(labels: readonly Label[]): void {
    const identity = { id: IDENTITY.host, labels: sortLabels([reservedLabel("host"), ...labels]) };
    const known = this.#fixedById.get(IDENTITY.host);
    if (known !== undefined && labelSetKey(known.labels) === labelSetKey(identity.labels)) return;
    this.#fixedById.set(IDENTITY.host, identity);
    this.#announce({ added: [identity], removed: [] });
  }

  /**
   * Calls `listener` for everything that comes after this: an identity is announced before
   * `acquire` settles with it, and its end before its number can be given out again. Of the fixed
   * identities only `nameHost` is announced; `list` has them.
   */
  onChange(listener: (change: IdentityChange) => void): void {
    this.#listeners.push(listener);
  }

  close(): void {
    for (const numbers of Object.values(this.#numbers)) numbers.close();
  }

  #announce(change: IdentityChange): void {
    for (const listener of this.#listeners) listener(change);
  }

  #run<T>(change: () => Promise<T>): Promise<T> {
    const result = this.#tail.then(change);
    this.#tail = result.catch(() => {});
    return result;
  }

  async #acquire(labels: Label[]): Promise<Identity> {
    if (labels.length === 0) {
      throw new IdentityAllocationError("Cannot allocate an identity: no label is left to name it");
    }
    const key = labelSetKey(labels);
    const fixed = this.#fixedByLabels.get(key) ?? this.#mapped(labels);
    if (fixed) return fixed;
    const scope = scopeOfLabels(labels);
    refuseReserved(labels, scope);
    const allocation = this.#byKey.get(key) ?? (await this.#allocate(key, labels, scope));
    allocation.users++;
    return allocation.identity;
  }

  /** A pod may ask by label for a number that the operator has named. */
  #mapped(labels: readonly Label[]): Identity | undefined {
    const asked = labels.find(({ source, key }) => {
      return source === SOURCE_K8S && key === KEY_FIXED_IDENTITY;
    });
    const id = asked === undefined ? undefined : this.#mapping.get(asked.value);
    return id === undefined ? undefined : this.#fixedById.get(id);
  }

  async #allocate(key: string, labels: Label[], scope: IdentityScope): Promise<Allocation> {
    const numbers = this.#numbers[scope];
    const id = await numbers.acquire(key);
    return this.#remember({ id, labels }, numbers, this.#now());
  }

  #remember(identity: Identity, numbers: Numbers, freeAtMs: number): Allocation {
    const key = labelSetKey(identity.labels);
    const allocation = { identity, key, numbers, users: 0, freeAtMs };
    this.#byId.set(identity.id, allocation);
    this.#byKey.set(key, allocation);
    return allocation;
  }
}

/** A pod cannot carry reserved labels; only what this node names itself has them beside others. */
function refuseReserved(labels: readonly Label[], scope: IdentityScope): void {
  const reserved = labels.find((label) => label.source === SOURCE_RESERVED);
  if (scope !== "cluster" || !reserved) return;
  throw new IdentityAllocationError(
    `Cannot allocate an identity: reserved:${reserved.key} does not combine with other labels`,
  );
}
