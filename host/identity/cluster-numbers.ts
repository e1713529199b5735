/**
 * Numbers that all agents of a cluster agree on, through a shared store (keys.ts has the layout).
 * There is no lock: one transaction takes a number only if no node uses the label set yet, or joins
 * the number that others use only if that still stands. Who loses looks again. What other agents
 * allocate is learned by watching.
 */
import type { Logger } from "pino";
import type { Identity } from "../policy/types.ts";
import type { LeasedKeys } from "../store/leased-keys.ts";
import { LINGER_MS, Mirror } from "../store/mirror.ts";
import {
  type SharedEvent,
  type SharedRow,
  type SharedStore,
  StoreUnavailableError,
} from "../store/shared-store.ts";
import type { Store } from "../store/store.ts";
import { ID_PREFIX, idKey, idOfKey, valueKey, valuePrefix } from "./keys.ts";
import { labelSetKey, parseLabelSetKey } from "./label.ts";
import { IdentityAllocationError, type IdentityChange, type Numbers } from "./numbers.ts";
import { inRange, type NumberRange } from "./ranges.ts";

/** Lost races in a row before it gives up; each means that another agent has got on. */
const TRIES_MAX = 256;

export interface ClusterNumbersDeps {
  store: SharedStore;
  leased: LeasedKeys;
  /** Names this node's keys; no two agents may share it. */
  node: string;
  range: NumberRange;
  log: Logger;
  onChange: (change: IdentityChange) => void;
  /**
   * Where numbers are remembered, this node's and what it knows of others, so that a restart
   * without the shared store keeps them. Absent: the shared store is on this node anyway.
   */
  memory?: Store | undefined;
  /** As of MirrorDeps; without `memory` nothing lingers. */
  lingerMs?: number;
}

export class ClusterNumbers implements Numbers {
  readonly #deps: ClusterNumbersDeps;
  readonly #log: Logger;
  readonly #mirror: Mirror;
  readonly #known = new Map<number, Identity>();
  /** Numbers of a label set; two only when one of them is about to go. */
  readonly #byKey = new Map<string, Set<number>>();
  /** This node's own: label set → number. */
  readonly #held = new Map<string, number>();
  #next: number;

  constructor(deps: ClusterNumbersDeps) {
    this.#deps = deps;
    this.#log = deps.log.child({ part: "identity" });
    this.#next = deps.range.min;
    const { store, log, memory } = deps;
    // Longer than addresses, so that none has a number that policies no longer know.
    const lingerMs = memory === undefined ? 0 : (deps.lingerMs ?? 2 * LINGER_MS);
    const onChange = (events: readonly Pick<SharedEvent, "key" | "value">[]): void =>
      this.#heard(events);
    this.#mirror = new Mirror({ store, log, prefix: ID_PREFIX, onChange, memory, lingerMs });
  }

  start(): Promise<void> {
    return this.#mirror.start();
  }

  async acquire(key: string): Promise<number> {
    const at = valueKey(key, this.#deps.node);
    let id: number | undefined;
    const refer = async (lease: string): Promise<void> => {
      id = await this.#refer(key, id, lease);
    };
    try {
      await this.#deps.leased.hold(at, refer);
    } catch (error) {
      if (!(error instanceof StoreUnavailableError)) throw error;
      id = this.#remembered(key, error);
      this.#learn(id, key);
      await this.#deps.leased.holdLater(at, refer);
    }
    if (id === undefined) throw new Error(`no number for ${key}`);
    this.#held.set(key, id);
    this.#deps.memory?.put(memoryKey(key), String(id));
    return id;
  }

  async release(_id: number, key: string): Promise<void> {
    this.#held.delete(key);
    this.#deps.memory?.delete(memoryKey(key));
    await this.#deps.leased.drop(valueKey(key, this.#deps.node));
  }

  get(id: number): Identity | undefined {
    return this.#known.get(id);
  }

  list(): Iterable<Identity> {
    return this.#known.values();
  }

  close(): void {
    this.#mirror.close();
  }

  /** What the set was called before the store went away, here or elsewhere. */
  #remembered(key: string, cause: StoreUnavailableError): number {
    const id = Number(this.#deps.memory?.get(memoryKey(key))?.value);
    if (inRange(this.#deps.range, id)) return id;
    for (const known of this.#byKey.get(key) ?? []) return known;
    throw new IdentityAllocationError(
      `Cannot allocate an identity for ${key}: ${cause.message}; known ones go on`,
      { cause },
    );
  }

  /** Writes this node's key for the set; `wanted` is the number it has already. */
  async #refer(key: string, wanted: number | undefined, lease: string): Promise<number> {
    const { store, node } = this.#deps;
    const tried = new Set<number>();
    for (let tries = 0; tries < TRIES_MAX; tries++) {
      const { rows } = await store.list(valuePrefix(key));
      const used = wanted ?? this.#numberOf(rows) ?? this.#idle(key, tried);
      const id = used ?? this.#free(tried);
      const master = used === undefined ? undefined : await store.get(idKey(id));
      const put = [{ key: valueKey(key, node), value: String(id), lease }];
      if (master !== undefined && !sameLabels(master.value, key)) {
        if (id === wanted) throw lostNumber(id, key, master.value);
        tried.add(id);
        continue;
      }
      const alone = wanted === undefined ? [{ noneBelow: valuePrefix(key) }] : [];
      const joined = await store.commit(
        master === undefined
          ? {
              when: [{ key: idKey(id), revision: 0 }, ...alone],
              put: [...put, { key: idKey(id), value: key }],
            }
          : { when: [{ key: idKey(id), revision: master.revision }], put },
      );
      if (joined !== undefined) {
        this.#learn(id, key);
        return id;
      }
      tried.add(id);
    }
    throw new IdentityAllocationError(
      `Cannot allocate an identity for ${key}: other agents were faster ${TRIES_MAX} times`,
    );
  }

  /** The number that nodes use for a set. */
  #numberOf(rows: readonly SharedRow[]): number | undefined {
    const found = rows
      .map(({ value }) => Number(value))
      .find((id) => inRange(this.#deps.range, id));
    const [strange] = rows;
    if (found !== undefined || strange === undefined) return found;
    throw new IdentityAllocationError(
      `Cannot allocate an identity: in ${this.#deps.store.name} the key ${strange.key} is ` +
        `"${strange.value}", not a number of this cluster`,
    );
  }

  /** A number of the set that nobody uses and nobody has freed yet. */
  #idle(key: string, tried: ReadonlySet<number>): number | undefined {
    return [...(this.#byKey.get(key) ?? [])].find((id) => !tried.has(id));
  }

  /** In turn, so that numbers come back late; anywhere once another agent took one before us. */
  #free(tried: ReadonlySet<number>): number {
    const { min, max } = this.#deps.range;
    const numbers = max - min + 1;
    let id = tried.size === 0 ? this.#next : min + Math.floor(Math.random() * numbers);
    for (let seen = 0; seen < numbers; seen++, id = id >= max ? min : id + 1) {
      if (!this.#known.has(id) && !tried.has(id)) return id;
    }
    throw new IdentityAllocationError(
      `Cannot allocate an identity: all ${numbers} cluster numbers are in use`,
    );
  }

  #heard(events: readonly Pick<SharedEvent, "key" | "value">[]): void {
    for (const { key, value } of events) {
      const id = idOfKey(key);
      if (!inRange(this.#deps.range, id)) {
        this.#log.warn({ key }, "the store has an identity that is not of this cluster");
      } else if (value !== undefined) {
        this.#learn(id, labelSetKey(parseLabelSetKey(value)));
      } else {
        this.#gone(id);
      }
    }
  }

  #learn(id: number, key: string): void {
    const before = this.#known.get(id);
    if (before !== undefined && labelSetKey(before.labels) === key) return;
    if (before !== undefined) this.#forget(id);
    const identity = { id, labels: parseLabelSetKey(key) };
    this.#known.set(id, identity);
    this.#byKey.set(key, (this.#byKey.get(key) ?? new Set()).add(id));
    const { min, max } = this.#deps.range;
    if (id >= this.#next) this.#next = id >= max ? min : id + 1;
    this.#deps.onChange({ added: [identity], removed: [] });
  }

  /** Somebody deleted the master key; a number in use here gets it back. */
  #gone(id: number): void {
    const identity = this.#known.get(id);
    if (identity === undefined) return;
    const key = labelSetKey(identity.labels);
    if (this.#held.get(key) !== id) {
      this.#forget(id);
      return;
    }
    this.#log.warn({ id }, "an identity in use was deleted from the store; it is written again");
    const write = async (lease: string): Promise<void> => {
      await this.#refer(key, id, lease);
    };
    void this.#deps.leased.holdLater(valueKey(key, this.#deps.node), write);
  }

  #forget(id: number): void {
    const identity = this.#known.get(id);
    if (identity === undefined) return;
    const key = labelSetKey(identity.labels);
    const ids = this.#byKey.get(key);
    ids?.delete(id);
    if (ids?.size === 0) this.#byKey.delete(key);
    this.#known.delete(id);
    this.#deps.onChange({ added: [], removed: [id] });
  }
}

function memoryKey(key: string): string {
  return `identities/held/${key}`;
}

/** Others may write a set in another order. */
function sameLabels(stored: string, key: string): boolean {
  return stored === key || labelSetKey(parseLabelSetKey(stored)) === key;
}

function lostNumber(id: number, key: string, owner: string): Error {
  return new IdentityAllocationError(
    `Cannot keep identity ${id} for ${key}: while the store was away it was given to ${owner}`,
  );
}
