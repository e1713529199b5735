/**
 * The one change of policies that is undone unless somebody confirms it in time: whoever has locked
 * himself out cannot confirm. It is in the store with the policies themselves, so it is undone too
 * when the agent was not there at its time.
 */
import type { Logger } from "pino";
import { ProblemError } from "../admin/problem.ts";
import type { PolicyKind } from "../policy/document.ts";
import type { Store, StoreRow } from "../store/store.ts";

/** A policy as it stands in the store. */
export interface PolicyRow {
  object: unknown;
  file: string;
  revision: number;
}

export interface ChangedPolicy {
  kind: PolicyKind;
  namespace: string;
  name: string;
  /** That the change gave it. With another one it was changed again since, and is left alone. */
  revision: number;
  /** What was there; absent: nothing. */
  before?: PolicyRow;
}

export interface Pending {
  /** Milliseconds since 1970. */
  deadlineMs: number;
  /** What whoever applied it asked for: a clock set back must not make it longer. */
  timeoutMs: number;
  policies: readonly ChangedPolicy[];
}

export interface PendingChangeDeps {
  log: Logger;
  store: Store;
  nowMs: () => number;
  /** Undoes it, and calls `end`; tried again when it throws. */
  undo: (pending: Pending) => Promise<void>;
}

const KEY = "policy-pending";
/** Until it is tried again. */
const RETRY_MS = 1_000;

export class PendingChange {
  readonly #deps: PendingChangeDeps;
  #pending: Pending | undefined;
  #timer: NodeJS.Timeout | undefined;

  constructor(deps: PendingChangeDeps) {
    this.#deps = deps;
  }

  get current(): Pending | undefined {
    return this.#pending;
  }

  /** @throws ProblemError 409 while a change waits: nobody could say which one is confirmed. */
  demandNone(): void {
    if (this.#pending === undefined) return;
    throw new ProblemError(
      409,
      `Cannot apply with a confirm timeout: another change is undone at ${this.deadline()} ` +
        "unless it is confirmed; confirm it first, or wait",
    );
  }

  /** RFC 3339. */
  deadline(): string {
    return new Date(this.#pending?.deadlineMs ?? 0).toISOString();
  }

  /** To be written together with the policies. */
  static row(pending: Pending): Pick<StoreRow, "key" | "value"> {
    return { key: KEY, value: JSON.stringify(pending) };
  }

  /** Its row is written. */
  begin(pending: Pending): void {
    this.#pending = pending;
    this.#arm(pending.deadlineMs - this.#deps.nowMs());
  }

  /**
   * Takes up what the last agent left; that one is undone at once if its time has passed. Nobody
   * knows how long the agent was away if the clock was set back since: it has the whole time again
   * then, once.
   */
  restore(): void {
    const row = this.#deps.store.get(KEY);
    if (row === undefined) return;
    const found = JSON.parse(row.value) as Pending;
    const latestMs = this.#deps.nowMs() + found.timeoutMs;
    if (found.deadlineMs <= latestMs) {
      this.begin(found);
      return;
    }
    const pending = { ...found, deadlineMs: latestMs };
    this.#deps.log.warn(
      { deadline: found.deadlineMs },
      "the clock was set back; a change that waits to be confirmed is undone sooner than was said",
    );
    this.#deps.store.putAll([PendingChange.row(pending)]);
    this.begin(pending);
  }

  get isDue(): boolean {
    return this.#pending !== undefined && this.#pending.deadlineMs <= this.#deps.nowMs();
  }

  /** It was confirmed or undone. */
  end(): void {
    clearTimeout(this.#timer);
    this.#deps.store.delete(KEY);
    this.#pending = undefined;
  }

  #arm(delayMs: number): void {
    clearTimeout(this.#timer);
    this.#timer = setTimeout(
      () => {
        const pending = this.#pending;
        if (pending === undefined) return;
        this.#deps.undo(pending).catch((error: unknown) => {
          this.#deps.log.error({ error }, "a change that nobody confirmed is not undone yet");
          this.#arm(RETRY_MS);
        });
      },
      Math.max(0, delayMs),
    );
    this.#timer.unref();
  }
}
