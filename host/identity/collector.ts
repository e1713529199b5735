/**
 * Frees numbers of the cluster that no node uses. A number is deleted when two passes, a heartbeat
 * apart, found no node's key for it and nothing has touched it between, and then only in one
 * transaction with that being so still. Of many agents one collects: it holds a leased key.
 */
import { setTimeout as wait } from "node:timers/promises";
import type { LeasedKeys } from "../store/leased-keys.ts";
import type { SharedStore } from "../store/shared-store.ts";
import { ID_PREFIX, idOfKey, labelsOfValueKey, VALUE_PREFIX, valuePrefix } from "./keys.ts";
import { labelSetKey, parseLabelSetKey } from "./label.ts";
import { inRange, type NumberRange } from "./ranges.ts";

/** As Cilium's operator. */
export const COLLECT_INTERVAL_MS = 15 * 60_000;
export const HEARTBEAT_TIMEOUT_MS = 30 * 60_000;
const DELETES_PER_MINUTE_MAX = 2_500;
const LEADER_KEY = "imker/identities/collector";

export interface CollectorDeps {
  store: SharedStore;
  leased: LeasedKeys;
  node: string;
  range: NumberRange;
  /** Milliseconds, monotonic. */
  now: () => number;
  heartbeatTimeoutMs?: number;
  deletesPerMinuteMax?: number;
}

interface Idle {
  revision: number;
  sinceMs: number;
}

export class IdentityCollector {
  readonly #deps: CollectorDeps;
  #idle = new Map<string, Idle>();
  #running = false;
  #leads = false;
  #closed = false;

  constructor(deps: CollectorDeps) {
    this.#deps = deps;
  }

  /** One pass; the numbers that it freed. Nothing while another pass or another agent is at it. */
  async pass(): Promise<number[]> {
    if (this.#running) return [];
    this.#running = true;
    try {
      if (!(await this.#lead())) return [];
      return await this.#collect();
    } finally {
      this.#running = false;
    }
  }

  close(): void {
    this.#closed = true;
  }

  async #lead(): Promise<boolean> {
    const { store, leased, node } = this.#deps;
    const row = await store.get(LEADER_KEY);
    if (this.#leads && row?.value === node) return true;
    this.#leads = false;
    // A key of our own name is of the agent before us, whose lease still runs.
    if (row !== undefined && row.value !== node) return false;
    const revision = row?.revision ?? 0;
    let first = true;
    await leased.hold(LEADER_KEY, async (lease) => {
      // Written again after a lost lease only if nobody leads by then.
      const when = [{ key: LEADER_KEY, revision: first ? revision : 0 }];
      const put = [{ key: LEADER_KEY, value: node, lease }];
      const made = await store.commit({ when, put });
      if (first) this.#leads = made !== undefined;
      first = false;
    });
    return this.#leads;
  }

  async #collect(): Promise<number[]> {
    const { store, range, now, heartbeatTimeoutMs = HEARTBEAT_TIMEOUT_MS } = this.#deps;
    const masters = (await store.list(ID_PREFIX)).rows;
    const used = new Set((await store.list(VALUE_PREFIX)).rows.map((row) => usedKey(row.key)));
    const before = this.#idle;
    this.#idle = new Map();
    const freed: number[] = [];
    for (const { key, value, revision } of masters) {
      const id = idOfKey(key);
      if (!inRange(range, id) || used.has(labelSetKey(parseLabelSetKey(value)))) continue;
      const earlier = before.get(key);
      const sinceMs = earlier?.revision === revision ? earlier.sinceMs : now();
      const due = earlier !== undefined && now() - sinceMs >= heartbeatTimeoutMs;
      if (due && (await this.#free(key, value, revision))) freed.push(id);
      else this.#idle.set(key, { revision, sinceMs });
    }
    return freed;
  }

  async #free(key: string, labels: string, revision: number): Promise<boolean> {
    const { store, deletesPerMinuteMax = DELETES_PER_MINUTE_MAX } = this.#deps;
    if (this.#closed) return false;
    const when = [{ key, revision }, { noneBelow: valuePrefix(labels) }];
    const done = (await store.commit({ when, delete: [key] })) !== undefined;
    if (done) await wait(60_000 / deletesPerMinuteMax, undefined, { ref: false });
    return done;
  }
}

function usedKey(key: string): string {
  return labelSetKey(parseLabelSetKey(labelsOfValueKey(key) ?? ""));
}
