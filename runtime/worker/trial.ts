/**
 * One trial of a version in this worker: which connections it takes, what came of them, and when it
 * stops by itself. Counts are this worker's; the proxy adds them up.
 */
import type { Trial, TrialDifference, TrialStatus } from "../contract/control.ts";
import type { RuleStore } from "./rule-store.ts";

const SAMPLES_MAX = 16;
/** Fuel and time are judged from so many calls on; the first ones are not typical. */
const CALLS_JUDGED_MIN = 100;
const SHARE_WHOLE = 1000;

/** Why a connection, or the rest of it, was not compared. */
export type Skip =
  /** The worker had too much to do. */
  | "busy"
  /** Bytes were moved that the other version wanted to see. */
  | "unseen"
  /** One version waits for more, or is further ahead, than is kept. */
  | "window"
  /** No instance could be had. */
  | "instance"
  /** The active version failed. */
  | "fault"
  /** Policy changed to rules that one of the two has no form of. */
  | "policy"
  /** The connection's mode is not `enforce`. */
  | "mode";

/** A worker's share of a TrialStatus: with sums instead of means. */
export interface TrialShare extends Omit<TrialStatus, "callMicros"> {
  triedCalls: number;
  triedMicros: number;
}

export class TrialRun {
  /** As last given: its share and limits may change under its id. */
  trial: Trial;
  readonly #share: TrialShare;

  constructor(trial: Trial) {
    this.trial = trial;
    this.#share = {
      id: trial.id,
      connections: 0,
      compared: 0,
      skipped: {},
      differences: 0,
      faults: 0,
      fuelActive: 0,
      fuelTried: 0,
      samples: [],
      lastFault: "",
      triedCalls: 0,
      triedMicros: 0,
    };
  }

  get stopped(): boolean {
    return this.#share.stopped !== undefined;
  }

  /** `random`: 0 to 1. Whether the trial takes a new connection. */
  takes(random: number): boolean {
    return !this.stopped && random * SHARE_WHOLE < this.trial.share;
  }

  began(): void {
    this.#share.connections++;
  }

  skipped(why: Skip): void {
    this.#share.skipped[why] = (this.#share.skipped[why] ?? 0) + 1;
  }

  /** One call of the tried version that served, or one look of the one that watched. */
  calls(count: number, micros: number): void {
    this.#share.triedCalls += count;
    this.#share.triedMicros += micros;
    const { stopOn } = this.trial;
    const { triedCalls, triedMicros } = this.#share;
    if (stopOn.callMicros > 0 && triedCalls >= CALLS_JUDGED_MIN) {
      if (triedMicros / triedCalls > stopOn.callMicros) this.#stop("latency");
    }
  }

  /** Both versions have seen the same bytes. */
  comparedCall(fuelActive: number, fuelTried: number): void {
    this.#share.compared++;
    this.#share.fuelActive += fuelActive;
    this.#share.fuelTried += fuelTried;
    const { fuelRatio } = this.trial.stopOn;
    if (fuelRatio > 0 && this.#share.compared >= CALLS_JUDGED_MIN) {
      if (this.#share.fuelTried > this.#share.fuelActive * fuelRatio) this.#stop("fuel");
    }
  }

  differs(difference: TrialDifference): void {
    this.#share.differences++;
    if (this.#share.samples.length < SAMPLES_MAX) this.#share.samples.push(difference);
    if (this.#share.differences >= Math.max(1, this.trial.stopOn.differences)) {
      this.#stop("differences");
    }
  }

  /** The tried version failed. */
  faulted(message: string): void {
    this.#share.faults++;
    this.#share.lastFault = message;
    if (this.#share.faults >= Math.max(1, this.trial.stopOn.faults)) this.#stop("faults");
  }

  share(): TrialShare {
    return {
      ...this.#share,
      skipped: { ...this.#share.skipped },
      samples: [...this.#share.samples],
    };
  }

  #stop(why: NonNullable<TrialShare["stopped"]>): void {
    this.#share.stopped ??= why;
  }
}

/** The trials of the state in force. One that stopped stays stopped as long as its id is there. */
export class Trials {
  readonly #rules: RuleStore;
  readonly #runs = new Map<string, TrialRun>();

  constructor(rules: RuleStore) {
    this.#rules = rules;
  }

  /** After the state changed. */
  sync(): void {
    const trials = new Map(this.#rules.trials().map((trial) => [trial.id, trial]));
    for (const id of this.#runs.keys()) if (!trials.has(id)) this.#runs.delete(id);
    for (const [id, trial] of trials) {
      const run = this.#runs.get(id);
      if (run === undefined) this.#runs.set(id, new TrialRun(trial));
      else run.trial = trial;
    }
  }

  run(id: string): TrialRun | undefined {
    return this.#runs.get(id);
  }

  shares(): TrialShare[] {
    return [...this.#runs.values()].map((run) => run.share());
  }
}
