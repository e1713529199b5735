/**
 * The steps nobody asks for: a trial that went over its budget ends, a version that fails after it
 * was promoted goes, a version that has drained is let go. Asks the proxy for its numbers while
 * there is something to judge, and only then.
 */
import type { Logger } from "pino";
import type { ProxyStatus } from "../../runtime/contract/control.ts";
import type { Activation, Activations } from "./activations.ts";
import {
  hasDrained,
  reasonToRollBack,
  reasonToStop,
  statusOfTrial,
  statusOfVersion,
} from "./judgement.ts";
import type { TrialRecord, Trials } from "./trials.ts";

/** How often the proxy is asked. */
const LOOK_MS = 500;

export interface AutomaticStepsDeps {
  log: Logger;
  activations: Activations;
  trials: Trials;
  /** Milliseconds since 1970. */
  now: () => number;
  /** Undefined while there is no proxy. */
  proxyStatus: () => Promise<ProxyStatus | undefined>;
  endTrial: (trial: TrialRecord, reason: string) => void;
  /** False when there is nothing to go back to. */
  goBack: (name: string, reason: string) => boolean;
}

export class AutomaticSteps {
  readonly #deps: AutomaticStepsDeps;
  #timer: NodeJS.Timeout | undefined;
  #looking = false;
  /** Of the last look. */
  #status: ProxyStatus | undefined;

  constructor(deps: AutomaticStepsDeps) {
    this.#deps = deps;
  }

  /** Calls `look` from time to time while there is something to judge, once at a time. */
  start(look: () => Promise<void>): void {
    this.#timer ??= setInterval(() => {
      if (this.#looking || !this.needed()) return;
      this.#looking = true;
      look()
        .catch((error: unknown) => this.#deps.log.error({ error }, "an automatic step failed"))
        .finally(() => {
          this.#looking = false;
        });
    }, LOOK_MS).unref();
  }

  close(): void {
    clearInterval(this.#timer);
    this.#timer = undefined;
  }

  /** Whether anything is tried, watched or draining. */
  needed(): boolean {
    const { trials, activations } = this.#deps;
    const busy = ({ watch, draining }: Activation): boolean =>
      watch !== undefined || draining.length > 0;
    return trials.allRunning().length > 0 || activations.list().some(busy);
  }

  /** Faults of a version as of the last look; undefined when that did not see it. */
  faultsSeen(digest: string): number | undefined {
    return this.#status === undefined ? undefined : statusOfVersion(digest, this.#status)?.faults;
  }

  /** Judges everything by the numbers of this moment; whether something changed. */
  async judge(): Promise<boolean> {
    const { trials, activations, proxyStatus } = this.#deps;
    const status = await proxyStatus().catch(() => undefined);
    this.#status = status;
    const changed = [
      ...trials.allRunning().map((trial) => this.#judgeTrial(trial, status)),
      ...activations.list().map((activation) => this.#judgeWatch(activation, status)),
      ...activations.list().map((activation) => this.#judgeDraining(activation, status)),
    ];
    return changed.includes(true);
  }

  #judgeTrial(trial: TrialRecord, status: ProxyStatus | undefined): boolean {
    if (status === undefined) return false;
    const { id, name, version } = trial;
    const seen = statusOfTrial(trial, status);
    if (seen !== undefined) this.#deps.trials.see(id, seen);
    const reason = reasonToStop(trial, status);
    if (reason === undefined) return false;
    this.#deps.log.warn({ plugin: name, version, trial: id, reason }, "a trial is rolled back");
    this.#deps.endTrial(trial, reason);
    return true;
  }

  #judgeWatch({ name, watch }: Activation, status: ProxyStatus | undefined): boolean {
    if (watch === undefined) return false;
    const seen = this.faultsSeen(watch.digest);
    if (watch.faultsBefore === undefined && seen !== undefined) {
      this.#deps.activations.countFrom(name, seen);
    }
    const reason = status === undefined ? undefined : reasonToRollBack(watch, status);
    if (reason !== undefined && this.#deps.goBack(name, reason)) return true;
    if (reason !== undefined) {
      this.#deps.log.error({ plugin: name, reason }, "there is no version to go back to");
    }
    if (reason !== undefined || this.#deps.now() >= watch.until) {
      this.#deps.activations.endWatch(name);
    }
    return false;
  }

  #judgeDraining({ name, draining }: Activation, status: ProxyStatus | undefined): boolean {
    const now = this.#deps.now();
    const over = draining.filter((one) => hasDrained(one, status, now));
    for (const { digest } of over) {
      this.#deps.activations.endDraining(name, digest);
      this.#deps.log.info({ plugin: name, digest }, "a version has drained");
    }
    return over.length > 0;
  }
}
