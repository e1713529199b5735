/**
 * Gives label sets their numbers: one number for one set, kept in a store, counted by its users,
 * and not given to another set until some time after the last user left, because packets, events
 * and connections still carry it. Labels of a pod are filtered here, so every caller agrees on
 * which of them count.
 */
import type { Identity, Label } from "../policy/types.ts";
import { cidrLabels, isWorldLabel, parsePrefix } from "./cidr.ts";
import { labelSetKey, parseLabelSetKey, SOURCE_RESERVED, sortLabels } from "./label.ts";
import { createLabelFilter, filterLabels, type LabelFilter } from "./label-filter.ts";
import {
  CLUSTER_IDENTITY_MAX,
  CLUSTER_IDENTITY_MIN,
  fixedIdentities,
  indexByLabels,
  LOCAL_IDENTITY_MAX,
  LOCAL_IDENTITY_MIN,
} from "./reserved.ts";
import type { IdentityStore } from "./store.ts";

/** Twice what a pod keeps its old identity after a relabel (identity-change-grace-period, 5 s). */
const REUSE_DELAY_MS = 10_000;

export interface IdentityAllocatorDeps {
  /** Numbers that all nodes of the cluster agree on. */
  store: IdentityStore;
  /** Numbers of this node only (CIDR); `store` if absent, which must then be this node's own. */
  localStore?: IdentityStore;
  /** Milliseconds, monotonic. */
  now: () => number;
  filter?: LabelFilter;
  /** Name of the cluster, for the well-known identities. */
  cluster?: string;
  reuseDelayMs?: number;
}

/** Identities that came or went, in the order in which it happened. */
export interface IdentityChange {
  added: readonly Identity[];
  removed: readonly number[];
}

export class IdentityAllocationError extends Error {
  override name = "IdentityAllocationError";
}

interface Allocation {
  identity: Identity;
  key: string;
  scope: Scope;
  users: number;
  /** When the last user left, or the start if it has had none since. */
  unusedSinceMs: number;
}

/** One range of numbers and the store that owns it. */
class Scope {
  readonly store: IdentityStore;
  readonly name: string;
  readonly min: number;
  readonly max: number;
  /** Where the search for a free number goes on, so that numbers come back as late as possible. */
  next: number;

  constructor(store: IdentityStore, name: string, min: number, max: number) {
    this.store = store;
    this.name = name;
    this.min = min;
    this.max = max;
    this.next = min;
  }

  idKey(id: number | ""): string {
    return `identities/${this.name}/id/${id}`;
  }

  valueKey(labels: string): string {
    return `identities/${this.name}/value/${labels}`;
  }

  contains(id: number): boolean {
    return Number.isInteger(id) && id >= this.min && id <= this.max;
  }

  step(id: number): number {
    return id >= this.max ? this.min : id + 1;
  }
}

export class IdentityAllocator {
  readonly #filter: LabelFilter;
  readonly #now: () => number;
  readonly #reuseDelayMs: number;
  readonly #cluster: Scope;
  readonly #local: Scope;
  readonly #fixedById: Map<number, Identity>;
  readonly #fixedByLabels: Map<string, Identity>;
  readonly #byId = new Map<number, Allocation>();
  readonly #byLabels = new Map<string, Allocation>();
  readonly #listeners: ((change: IdentityChange) => void)[] = [];
  /** Changes run one after another: two acquires of one set must not take two numbers. */
  #tail: Promise<unknown> = Promise.resolve();

  constructor(deps: IdentityAllocatorDeps) {
    this.#filter = deps.filter ?? createLabelFilter();
    this.#now = deps.now;
    this.#reuseDelayMs = deps.reuseDelayMs ?? REUSE_DELAY_MS;
    const { store, localStore } = deps;
    this.#cluster = new Scope(store, "cluster", CLUSTER_IDENTITY_MIN, CLUSTER_IDENTITY_MAX);
    this.#local = new Scope(localStore ?? store, "local", LOCAL_IDENTITY_MIN, LOCAL_IDENTITY_MAX);
    const fixed = fixedIdentities(deps.cluster);
    this.#fixedById = new Map(fixed.map((identity) => [identity.id, identity]));
    this.#fixedByLabels = indexByLabels(fixed);
  }

  /** Takes over what the stores hold; unused until acquired again. Call once, before the rest. */
  start(): Promise<void> {
    return this.#run(async () => {
      for (const scope of [this.#cluster, this.#local]) await this.#restore(scope);
    });
  }

  /**
   * The identity of these labels (after the label filter), with one more user. Labels of the
   * world or a CIDR give a local identity, reserved and well-known sets their fixed number.
   * @throws IdentityAllocationError when the range is used up or no label is left.
   */
  acquire(labels: Iterable<Label>): Promise<Identity> {
    const kept = sortLabels(filterLabels([...labels], this.#filter));
    return this.#run(() => this.#acquire(kept, this.#scopeOf(kept)));
  }

  /**
   * The identity of an address prefix; `0.0.0.0/0` and `::/0` are the world of their family.
   * @throws IdentityAllocationError when it is not a prefix or the range is used up.
   */
  acquireCidr(prefix: string): Promise<Identity> {
    return this.#run(() => {
      const parsed = parsePrefix(prefix);
      if (parsed) return this.#acquire(sortLabels(cidrLabels(parsed)), this.#local);
      throw new IdentityAllocationError(
        `Cannot allocate an identity for ${JSON.stringify(prefix)}: it is not a prefix`,
      );
    });
  }

  /** One user less. Fixed and unknown numbers are ignored. */
  release(id: number): Promise<void> {
    return this.#run(async () => {
      const allocation = this.#byId.get(id);
      if (!allocation || allocation.users === 0) return;
      allocation.users--;
      if (allocation.users === 0) allocation.unusedSinceMs = this.#now();
    });
  }

  /**
   * Frees the numbers that had no user for the reuse delay, and returns them. Only safe where one
   * agent writes the store: it knows no users but its own.
   */
  collect(): Promise<number[]> {
    return this.#run(async () => {
      const freed: number[] = [];
      const deadlineMs = this.#now() - this.#reuseDelayMs;
      for (const allocation of [...this.#byId.values()]) {
        if (allocation.users > 0 || allocation.unusedSinceMs > deadlineMs) continue;
        await this.#remove(allocation);
        freed.push(allocation.identity.id);
      }
      return freed;
    });
  }

  get(id: number): Identity | undefined {
    return this.#fixedById.get(id) ?? this.#byId.get(id)?.identity;
  }

  /** Fixed and allocated identities, unused ones among them until they are collected. */
  list(): Identity[] {
    return [
      ...this.#fixedById.values(),
      ...[...this.#byId.values()].map((allocation) => allocation.identity),
    ];
  }

  /**
   * Calls `listener` for everything that comes after this: an identity is announced before
   * `acquire` settles with it, and its end before its number can be given out again. Fixed
   * identities are never announced; `list` has them.
   */
  onChange(listener: (change: IdentityChange) => void): void {
    this.#listeners.push(listener);
  }

  #announce(change: IdentityChange): void {
    for (const listener of this.#listeners) listener(change);
  }

  #run<T>(change: () => Promise<T>): Promise<T> {
    const result = this.#tail.then(change);
    this.#tail = result.catch(() => {});
    return result;
  }

  #scopeOf(labels: readonly Label[]): Scope {
    return labels.some(isWorldLabel) ? this.#local : this.#cluster;
  }

  async #acquire(labels: Label[], scope: Scope): Promise<Identity> {
    if (labels.length === 0) {
      throw new IdentityAllocationError("Cannot allocate an identity: no label is left to name it");
    }
    const key = labelSetKey(labels);
    const fixed = this.#fixedByLabels.get(key);
    if (fixed) return fixed;
    this.#refuseReserved(labels, scope);
    const allocation = this.#byLabels.get(key) ?? (await this.#allocate(key, labels, scope));
    allocation.users++;
    return allocation.identity;
  }

  /** A pod cannot carry reserved labels; only local identities have them beside others. */
  #refuseReserved(labels: readonly Label[], scope: Scope): void {
    const reserved = labels.find((label) => label.source === SOURCE_RESERVED);
    if (scope === this.#local || !reserved) return;
    throw new IdentityAllocationError(
      `Cannot allocate an identity: reserved:${reserved.key} does not combine with other labels`,
    );
  }

  async #allocate(key: string, labels: Label[], scope: Scope): Promise<Allocation> {
    const id = await this.#claim(key, scope);
    if (await scope.store.createIfAbsent(scope.valueKey(key), String(id))) {
      return this.#remember(id, key, labels, scope);
    }
    // Another agent was faster with the same set: its number counts.
    await scope.store.delete(scope.idKey(id));
    const winner = Number(await scope.store.get(scope.valueKey(key)));
    if (!scope.contains(winner)) {
      throw new IdentityAllocationError(`Cannot allocate an identity for ${key}: the store is odd`);
    }
    return this.#remember(winner, key, labels, scope);
  }

  /** Takes a free number in the store. */
  async #claim(key: string, scope: Scope): Promise<number> {
    const numbers = scope.max - scope.min + 1;
    for (let tried = 0, id = scope.next; tried < numbers; tried++, id = scope.step(id)) {
      if (this.#byId.has(id)) continue;
      if (!(await scope.store.createIfAbsent(scope.idKey(id), key))) continue;
      scope.next = scope.step(id);
      return id;
    }
    throw new IdentityAllocationError(
      `Cannot allocate an identity: all ${numbers} ${scope.name} numbers are in use`,
    );
  }

  #remember(id: number, key: string, labels: Label[], scope: Scope): Allocation {
    const identity = { id, labels };
    const allocation = { identity, key, scope, users: 0, unusedSinceMs: this.#now() };
    this.#byId.set(id, allocation);
    this.#byLabels.set(key, allocation);
    this.#announce({ added: [identity], removed: [] });
    return allocation;
  }

  /** The set goes first: a crash in between leaves a claimed number, which `start` frees. */
  async #remove(allocation: Allocation): Promise<void> {
    const { scope, key, identity } = allocation;
    await scope.store.delete(scope.valueKey(key));
    await scope.store.delete(scope.idKey(identity.id));
    this.#byLabels.delete(key);
    this.#byId.delete(identity.id);
    this.#announce({ added: [], removed: [identity.id] });
  }

  async #restore(scope: Scope): Promise<void> {
    const prefix = scope.idKey("");
    for (const row of await scope.store.list(prefix)) {
      const id = Number(row.key.slice(prefix.length));
      const owner = await scope.store.get(scope.valueKey(row.value));
      if (!scope.contains(id) || owner !== String(id)) {
        // Claimed, but the agent ended before the set pointed to it: nobody ever saw this number.
        await scope.store.delete(row.key);
        continue;
      }
      this.#remember(id, row.value, parseLabelSetKey(row.value), scope);
      if (id >= scope.next) scope.next = scope.step(id);
    }
  }
}
