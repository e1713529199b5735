/**
 * Keys that stay in a shared store as long as this agent lives: written with one lease that is kept
 * alive, and written again when the lease was lost: the store was away for longer than it lasts,
 * somebody revoked it, or the store was emptied. When the agent dies they go by themselves.
 */
import type { Logger } from "pino";
import { LeaseLostError, type SharedStore, StoreUnavailableError } from "./shared-store.ts";

/** As Cilium's kvstore-lease-ttl: an agent may be away for so long without losing its keys. */
export const LEASE_SECONDS = 15 * 60;
const RENEWALS_PER_LEASE = 3;
const RETRY_MS = 1_000;

/** Writes the key with this lease; may refuse by throwing. */
export type LeasedWrite = (lease: string) => Promise<void>;

export interface LeasedKeysDeps {
  store: SharedStore;
  log: Logger;
  leaseSeconds?: number;
  /** How often the lease and the store are looked at. Default: three times in a lease. */
  renewalMs?: number;
  retryMs?: number;
}

export class LeasedKeys {
  readonly #store: SharedStore;
  readonly #log: Logger;
  readonly #leaseSeconds: number;
  readonly #renewalMs: number;
  readonly #retryMs: number;
  readonly #writes = new Map<string, LeasedWrite>();
  /** Not written with the lease there is, or not deleted: tried again until the store answers. */
  readonly #pending = new Set<string>();
  #lease: Promise<string> | undefined;
  #timer: NodeJS.Timeout | undefined;
  #trouble: string | undefined;
  /** The store's own word; a change may fit in all the same. */
  #refusal: string | undefined;
  #closed = false;

  constructor(deps: LeasedKeysDeps) {
    const { store, log, leaseSeconds = LEASE_SECONDS, retryMs = RETRY_MS } = deps;
    this.#store = store;
    this.#renewalMs = deps.renewalMs ?? (leaseSeconds * 1000) / RENEWALS_PER_LEASE;
    this.#log = log.child({ part: "store" });
    this.#leaseSeconds = leaseSeconds;
    this.#retryMs = retryMs;
  }

  /** Why keys may not be as they should, or undefined. */
  get trouble(): string | undefined {
    return this.#trouble ?? this.#refusal;
  }

  /** Writes now, and again when that is needed. Throws what `write` throws; then it is not kept. */
  async hold(key: string, write: LeasedWrite): Promise<void> {
    await this.#write(write);
    this.#writes.set(key, write);
    this.#pending.delete(key);
  }

  /** As `hold`, but a store that does not answer is no failure: it is written when it does. */
  async holdLater(key: string, write: LeasedWrite): Promise<void> {
    this.#writes.set(key, write);
    this.#pending.add(key);
    await this.#settle();
  }

  /** Deletes it, now or when the store answers again. */
  async drop(key: string): Promise<void> {
    this.#writes.delete(key);
    this.#pending.add(key);
    await this.#settle();
  }

  close(): void {
    this.#closed = true;
    clearTimeout(this.#timer);
  }

  async #write(write: LeasedWrite): Promise<void> {
    try {
      await write(await this.#currentLease());
    } catch (error) {
      if (!(error instanceof LeaseLostError)) throw error;
      this.#leaseLost();
      await write(await this.#currentLease());
    }
  }

  #currentLease(): Promise<string> {
    if (this.#lease === undefined) {
      const granted = this.#store.grantLease(this.#leaseSeconds);
      this.#lease = granted;
      granted.then(
        () => this.#schedule(this.#pending.size > 0 ? this.#retryMs : this.#renewalMs),
        () => {
          if (this.#lease === granted) this.#lease = undefined;
        },
      );
    }
    return this.#lease;
  }

  #leaseLost(): void {
    this.#lease = undefined;
    for (const key of this.#writes.keys()) this.#pending.add(key);
  }

  #schedule(delayMs: number): void {
    clearTimeout(this.#timer);
    if (this.#closed) return;
    this.#timer = setTimeout(() => void this.#renew(), delayMs).unref();
  }

  async #renew(): Promise<void> {
    try {
      const refusal = await this.#store.trouble();
      if (refusal !== undefined && refusal !== this.#refusal) this.#log.warn(refusal);
      this.#refusal = refusal;
      const lease = await this.#lease;
      if (lease !== undefined && !(await this.#store.keepLeaseAlive(lease))) {
        this.#log.warn(
          { keys: this.#writes.size },
          "the lease is gone; its keys are written again",
        );
        this.#leaseLost();
      }
    } catch (error) {
      this.#failed(error);
      return;
    }
    this.#schedule(this.#renewalMs);
    await this.#settle();
  }

  /** Does what is pending; what fails is tried again soon. Never throws. */
  async #settle(): Promise<void> {
    let failure: unknown;
    for (const key of [...this.#pending]) {
      try {
        const write = this.#writes.get(key);
        if (write === undefined) await this.#store.commit({ delete: [key] });
        else await this.#write(write);
        // It may have been dropped or held anew meanwhile; then it is pending again.
        if (this.#writes.get(key) === write) this.#pending.delete(key);
      } catch (error) {
        failure = error;
        if (error instanceof StoreUnavailableError) break;
        // One key that is refused must not keep the others back.
      }
    }
    if (failure === undefined) this.#trouble = undefined;
    else this.#failed(failure);
  }

  #failed(error: unknown): void {
    const message = error instanceof Error ? error.message : String(error);
    if (this.#trouble !== message)
      this.#log.warn({ reason: message }, "shared keys are not renewed");
    this.#trouble = message;
    const delayMs = error instanceof StoreUnavailableError ? this.#retryMs : this.#retryMs * 10;
    this.#schedule(delayMs);
  }
}
