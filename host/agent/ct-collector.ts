/**
 * Takes expired connections out of the kernel's map, a stretch at a time, so that the agent goes on
 * answering in between; and counts what is there. How often follows from what it finds.
 */
import { setImmediate } from "node:timers/promises";
import type { CtCounts, Datapath } from "../datapath/types.ts";

const FIRST_SECONDS = 10;
const INTERVAL_SECONDS_MIN = 10;
const INTERVAL_SECONDS_MAX = 600;
/** Of all entries: more expired than this, and it looks twice as often; fewer, and more rarely. */
const MANY_EXPIRED = 0.25;
const FEW_EXPIRED = 0.05;
/** A map as full as this is looked through as often as can be. */
const HIGH_PRESSURE = 0.75;
/** The kernel's table makes room a little before all its entries are taken. */
const FULL = 0.9;

export interface CtStatus {
  /** Entries the map can hold; when it is full the least recently used one goes. */
  capacity: number;
  /** As the last pass found it. */
  alive: CtCounts;
  /** Since the agent has started. */
  deleted: CtCounts;
  passes: number;
  /** 0 before the first pass. */
  lastPassMs: number;
  /** Until the next pass. */
  intervalSeconds: number;
}

type Kernel = Pick<Datapath, "sweepCt" | "ctCapacity">;

const KINDS = ["ipv4Tcp", "ipv4Other", "ipv6Tcp", "ipv6Other"] as const;
const nothing = (): CtCounts => ({ ipv4Tcp: 0, ipv4Other: 0, ipv6Tcp: 0, ipv6Other: 0 });

function add(to: CtCounts, more: CtCounts): void {
  for (const kind of KINDS) to[kind] += more[kind];
}

export const countAll = (counts: CtCounts): number =>
  KINDS.reduce((sum, kind) => sum + counts[kind], 0);

/** Seconds until the next pass, after one that found `alive` entries and deleted `deleted`. */
export function nextInterval(
  seconds: number,
  { alive, deleted, capacity }: { alive: number; deleted: number; capacity: number },
): number {
  if (alive + deleted > capacity * HIGH_PRESSURE) return INTERVAL_SECONDS_MIN;
  const share = deleted / Math.max(1, alive + deleted);
  const wanted = share > MANY_EXPIRED ? seconds / 2 : share < FEW_EXPIRED ? seconds * 1.5 : seconds;
  return Math.min(INTERVAL_SECONDS_MAX, Math.max(INTERVAL_SECONDS_MIN, Math.round(wanted)));
}

export class CtCollector {
  readonly #kernel: Kernel;
  readonly #failed: (error: unknown) => void;
  readonly #deleted = nothing();
  #alive = nothing();
  #passes = 0;
  #lastPassMs = 0;
  #interval = FIRST_SECONDS;
  #timer: NodeJS.Timeout | undefined;
  #running: Promise<void> | undefined;
  #closed = false;

  /** `failed`: told of a pass that could not be finished; the next one begins anew. */
  constructor(kernel: Kernel, failed: (error: unknown) => void) {
    this.#kernel = kernel;
    this.#failed = failed;
    this.#plan();
  }

  status(): CtStatus {
    return {
      capacity: this.#kernel.ctCapacity(),
      alive: { ...this.#alive },
      deleted: { ...this.#deleted },
      passes: this.#passes,
      lastPassMs: this.#lastPassMs,
      intervalSeconds: this.#interval,
    };
  }

  /** As the last pass found it; undefined: there is room. */
  get trouble(): string | undefined {
    const capacity = this.#kernel.ctCapacity();
    const alive = countAll(this.#alive);
    if (alive < capacity * FULL) return undefined;
    return (
      `conntrack: ${alive} of ${capacity} connections; with the next ones the longest idle are ` +
      "forgotten, and what their other side says first is judged as new"
    );
  }

  /** A pass now, or the one under way. @throws what the kernel says. */
  async collect(): Promise<CtStatus> {
    this.#running ??= this.#pass().finally(() => {
      this.#running = undefined;
      this.#plan();
    });
    await this.#running;
    return this.status();
  }

  close(): void {
    this.#closed = true;
    clearTimeout(this.#timer);
  }

  #plan(): void {
    clearTimeout(this.#timer);
    if (this.#closed) return;
    this.#timer = setTimeout(() => this.collect().catch(this.#failed), this.#interval * 1000);
  }

  async #pass(): Promise<void> {
    const start = performance.now();
    const alive = nothing();
    const deleted = nothing();
    let from: Uint8Array | undefined;
    do {
      const sweep = this.#kernel.sweepCt(from);
      add(alive, sweep.alive);
      add(deleted, sweep.deleted);
      add(this.#deleted, sweep.deleted);
      from = sweep.next;
      if (from !== undefined) await setImmediate();
    } while (from !== undefined && !this.#closed);
    this.#alive = alive;
    this.#passes += 1;
    this.#lastPassMs = performance.now() - start;
    this.#interval = nextInterval(this.#interval, {
      ...{ alive: countAll(alive), deleted: countAll(deleted) },
      capacity: this.#kernel.ctCapacity(),
    });
  }
}
