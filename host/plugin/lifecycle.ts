/**
 * The life of versions on this node: activated, tried, promoted, rolled back, drained. Decides
 * which version ought to serve, keeps that in the store, and tells its listeners, who put it in
 * force (host/enforce). Everything that changes something runs one after the other; a step that is
 * refused changes nothing.
 */
import type { Logger } from "pino";
import type { ProxyStatus, Trial } from "../../runtime/contract/control.ts";
import type { Store } from "../store/store.ts";
import {
  type Activation,
  Activations,
  type HistoryEntry,
  type Step,
  type Watch,
} from "./activations.ts";
import { AutomaticSteps } from "./automatic-steps.ts";
import { Eligibility } from "./eligibility.ts";
import { PluginRequestError } from "./errors.ts";
import type { InstalledVersion, InstalledVersions } from "./installed-versions.ts";
import { type TrialRecord, type TrialState, Trials } from "./trials.ts";
import type { Trust } from "./trust.ts";

export const DRAIN_MS_DEFAULT = 600_000;
const WATCH_MS_DEFAULT = 60_000;
const WATCH_FAULTS_DEFAULT = 3;

export interface LifecycleDeps {
  log: Logger;
  store: Store;
  versions: InstalledVersions;
  trust: Trust;
  /** Milliseconds since 1970. */
  now: () => number;
  /** Undefined while there is no proxy. */
  proxyStatus: () => Promise<ProxyStatus | undefined>;
  /** Makes a form of every rule set in force that asks for `name`. Throws naming the policy. */
  compileAll: (name: string, digest: string) => void;
  /** Ids of the rule sets in force that these policies have with `name`. */
  ruleSetsOf: (name: string, policies: readonly string[]) => number[];
  /** References (`NAME`, `NAME@VERSION`) of the policies in force. */
  references: () => Iterable<string>;
}

export interface ActivateOptions {
  allowDowngrade?: boolean | undefined;
  drainMs?: number | undefined;
  /** How long faults of the new version roll it back, and how many it takes. */
  watchMs?: number | undefined;
  watchFaults?: number | undefined;
}

export interface TrialSpec {
  kind: Trial["kind"];
  version: string;
  /** Thousandths of new connections. */
  share: number;
  policies: string[];
  stopOn: Trial["stopOn"];
  allowDowngrade?: boolean | undefined;
}

export class PluginLifecycle {
  readonly #deps: LifecycleDeps;
  readonly #log: Logger;
  readonly #activations: Activations;
  readonly #trials: Trials;
  readonly #listeners: (() => Promise<void>)[] = [];
  readonly #eligibility: Eligibility;
  readonly #steps: AutomaticSteps;
  #tail: Promise<unknown> = Promise.resolve();

  constructor(deps: LifecycleDeps) {
    this.#deps = deps;
    this.#log = deps.log.child({ part: "plugin" });
    this.#activations = new Activations(deps.store);
    this.#trials = new Trials(deps.store);
    const { versions, trust, now, proxyStatus } = deps;
    const parts = { activations: this.#activations, trials: this.#trials, now };
    this.#eligibility = new Eligibility({ ...parts, log: this.#log, versions, trust });
    this.#steps = new AutomaticSteps({
      ...{ ...parts, log: this.#log, proxyStatus },
      endTrial: (trial, reason) => this.#endTrial(trial, "rolled-back", reason),
      goBack: (name, reason) => this.#goBackFrom(name, reason),
    });
    for (const trial of this.#trials.allRunning()) {
      // The agent ended between the two writes of a promotion.
      if (this.#activations.of(trial.name).active !== trial.digest) continue;
      this.#trials.end(trial.id, "promoted", deps.now());
    }
  }

  /** Goes on watching what the agent before this one watched. */
  start(): void {
    this.#steps.start(() => this.look());
  }

  close(): void {
    this.#steps.close();
  }

  /**
   * The listener settles when what `view` says is in force; it tries again itself when it fails.
   */
  onChange(listener: () => Promise<void>): void {
    this.#listeners.push(listener);
  }

  activations(): Activation[] {
    return this.#activations.list();
  }

  activationOf(name: string): Activation {
    return this.#activations.of(name);
  }

  trialsOf(name: string): TrialRecord[] {
    return this.#trials.list(name);
  }

  runningTrial(name: string): TrialRecord | undefined {
    return this.#trials.running(name);
  }

  runningTrials(): TrialRecord[] {
    return this.#trials.allRunning();
  }

  /** Why the version cannot be removed; empty: nothing uses it. */
  usesOf({ name, version, digest }: InstalledVersion): string[] {
    const { active, draining, good } = this.#activations.of(name);
    const pinned = [...this.#deps.references()].includes(`${name}@${version}`);
    return [
      ...(active === digest ? ["active"] : []),
      ...(this.#trials.running(name)?.digest === digest ? ["on trial"] : []),
      ...(draining.some((one) => one.digest === digest) ? ["draining"] : []),
      ...(good.at(-1) === digest ? ["last known good"] : []),
      ...(pinned ? ["pinned by a policy"] : []),
    ];
  }

  /**
   * The tree's own version serves when none does, or when the tree brought the one that does: what
   * an operator chose stays, and what was rolled back does not come again by itself.
   */
  adoptShipped(shipped: readonly InstalledVersion[]): void {
    const { versions, now } = this.#deps;
    for (const row of shipped) {
      const { active, history } = this.#activations.of(row.name);
      const serving = active === undefined ? undefined : versions.byDigest(active);
      if (serving?.digest === row.digest) continue;
      const last = history.at(-1)?.step;
      const replaced = serving?.superseded === true && serving.version === row.version;
      const unseen = history.every((entry) => entry.digest !== row.digest);
      const follows = last === "shipped" || (last === "automatic-rollback" && unseen);
      if (serving !== undefined && !replaced && !follows) continue;
      const entry = this.#entry(row, "shipped");
      this.#activations.advance(row.name, { entry, drainUntil: now() + DRAIN_MS_DEFAULT });
      this.#log.info(naming(row), "the version that ships with this tree serves");
    }
    this.#removeSuperseded();
  }

  /** Throws PluginRequestError, UntrustedError. */
  activate(name: string, version: string, options: ActivateOptions): Promise<void> {
    return this.#serial(async () => {
      const row = this.#deps.versions.get(name, version);
      const { active } = this.#activations.of(name);
      if (active === row.digest) return;
      this.#eligibility.mayServe(row, options.allowDowngrade === true);
      const trial = this.#trials.running(name);
      if (trial !== undefined && trial.digest !== row.digest) {
        throw new PluginRequestError(
          409,
          `Cannot activate ${name} ${version}: ${trial.version} is on trial (${trial.id}); ` +
            "promote or abort it first",
        );
      }
      this.#compileAll(row);
      await this.#advance(row, trial === undefined ? "activate" : "promote", options);
    });
  }

  /** Back to the last known good. Throws PluginRequestError. */
  rollBack(name: string, drainMs = DRAIN_MS_DEFAULT): Promise<void> {
    return this.#serial(async () => {
      const target = this.#eligibility.lastKnownGood(name);
      if (target === undefined) {
        throw new PluginRequestError(409, `Cannot roll ${name} back: there is no last known good`);
      }
      this.#goBack(target, "rollback", drainMs);
      await this.#announce(`the rollback to ${name} ${target.version}`);
    });
  }

  /** Throws what `activate` throws. */
  startTrial(name: string, spec: TrialSpec): Promise<TrialRecord> {
    return this.#serial(async () => {
      const row = this.#deps.versions.get(name, spec.version);
      const { active } = this.#activations.of(name);
      const cannot = `Cannot try ${name} ${spec.version}`;
      if (active === undefined) {
        throw new PluginRequestError(409, `${cannot}: no version of it is active; activate one`);
      }
      if (active === row.digest) throw new PluginRequestError(409, `${cannot}: it is active`);
      const other = this.#trials.running(name);
      if (other !== undefined) {
        throw new PluginRequestError(
          409,
          `${cannot}: ${other.version} is on trial (${other.id}); promote or abort it first`,
        );
      }
      this.#eligibility.mayServe(row, spec.allowDowngrade === true);
      this.#compileAll(row);
      const { kind, version, share, policies, stopOn } = spec;
      if (policies.length > 0 && this.#deps.ruleSetsOf(name, policies).length === 0) {
        throw new PluginRequestError(422, `${cannot}: none of ${policies.join(", ")} asks for it`);
      }
      const trial = this.#trials.start({
        ...{ name, kind, version, digest: row.digest, against: active },
        ...{ share, policies, stopOn, startedAt: this.#deps.now() },
      });
      this.#log.info({ ...naming(row), trial: trial.id, kind, share }, "a trial begins");
      await this.#announce(`the trial of ${name} ${version}`);
      return trial;
    });
  }

  /** The tried version serves. Throws PluginRequestError, UntrustedError. */
  promote(name: string, id: string, options: ActivateOptions): Promise<TrialRecord> {
    return this.#serial(async () => {
      const trial = this.#runningTrial(name, id, "promote");
      const row = this.#deps.versions.get(name, trial.version);
      this.#eligibility.mayServe(row, true);
      await this.#advance(row, "promote", options);
      return this.#trials.get(id) ?? trial;
    });
  }

  /** Throws PluginRequestError. */
  abort(name: string, id: string): Promise<TrialRecord> {
    return this.#serial(async () => {
      const trial = this.#runningTrial(name, id, "abort");
      this.#endTrial(trial, "aborted");
      await this.#announce(`the end of trial ${id}`);
      return this.#trials.get(id) ?? trial;
    });
  }

  /** Throws PluginRequestError while it is in use. */
  remove(name: string, version: string): Promise<InstalledVersion> {
    return this.#serial(async () => {
      const row = this.#deps.versions.get(name, version);
      const uses = this.usesOf(row);
      if (uses.length > 0) {
        throw new PluginRequestError(
          409,
          `Cannot remove ${name} ${version}: it is ${uses.join(", ")}`,
        );
      }
      this.#activations.forget(name, row.digest);
      this.#deps.versions.remove(row.digest);
      return row;
    });
  }

  /** Judges what is tried, watched or draining by the proxy's numbers of this moment. */
  look(): Promise<void> {
    return this.#serial(async () => {
      if (!this.#steps.needed() || !(await this.#steps.judge())) return;
      this.#removeSuperseded();
      await this.#announce("an automatic step");
    });
  }

  #compileAll({ name, version, digest }: InstalledVersion): void {
    try {
      this.#deps.compileAll(name, digest);
    } catch (cause) {
      const reason = cause instanceof Error ? cause.message : String(cause);
      const what = `${name} ${version} cannot serve the rules in force`;
      throw new PluginRequestError(422, `${what}: ${reason}`, { cause });
    }
  }

  async #advance(row: InstalledVersion, step: Step, options: ActivateOptions): Promise<void> {
    const { now } = this.#deps;
    const { name, digest } = row;
    const { active } = this.#activations.of(name);
    const trial = this.#trials.running(name);
    const before = this.#faultsBefore(row);
    const watch: Watch = {
      digest,
      until: now() + (options.watchMs ?? WATCH_MS_DEFAULT),
      faultsMax: options.watchFaults ?? WATCH_FAULTS_DEFAULT,
      ...(before === undefined ? {} : { faultsBefore: before }),
    };
    this.#activations.advance(name, {
      entry: this.#entry(row, step),
      drainUntil: now() + (options.drainMs ?? DRAIN_MS_DEFAULT),
      ...(active === undefined ? {} : { watch }),
    });
    if (trial !== undefined) this.#trials.end(trial.id, "promoted", now());
    this.#log.info({ ...naming(row), step }, "a version serves");
    await this.#announce(`${name} ${row.version}`);
  }

  /**
   * What a version has done before, as a canary say, is not held against it. Undefined: the next
   * look says; asking the proxy here would hold up the activation.
   */
  #faultsBefore(row: InstalledVersion): number | undefined {
    const uses = this.usesOf(row).filter((use) => use !== "last known good");
    if (uses.length === 0) return 0;
    return uses.includes("on trial") ? this.#steps.faultsSeen(row.digest) : undefined;
  }

  #goBackFrom(name: string, reason: string): boolean {
    const target = this.#eligibility.lastKnownGood(name);
    if (target === undefined) return false;
    this.#goBack(target, "automatic-rollback", DRAIN_MS_DEFAULT, reason);
    return true;
  }

  #goBack(target: InstalledVersion, step: Step, drainMs: number, reason?: string): void {
    const { now } = this.#deps;
    const trial = this.#trials.running(target.name);
    if (trial !== undefined) {
      this.#endTrial(trial, "aborted", "the version that it was compared with was rolled back");
    }
    this.#activations.goBack(target.name, {
      entry: this.#entry(target, step, reason),
      drainUntil: now() + drainMs,
    });
    this.#log.warn({ ...naming(target), step, reason }, "the last known good serves");
  }

  #entry({ version, digest }: InstalledVersion, step: Step, reason?: string): HistoryEntry {
    const why = reason === undefined ? {} : { reason };
    return { time: this.#deps.now(), step, version, digest, ...why };
  }

  #endTrial(trial: TrialRecord, state: Exclude<TrialState, "running">, reason?: string): void {
    const now = this.#deps.now();
    this.#trials.end(trial.id, state, now, reason);
    if (trial.kind !== "canary") return;
    this.#activations.drain(trial.name, trial.digest, now + DRAIN_MS_DEFAULT);
  }

  #runningTrial(name: string, id: string, verb: string): TrialRecord {
    const trial = this.#trials.get(id);
    if (trial === undefined || trial.name !== name) {
      throw new PluginRequestError(404, `Cannot ${verb} trial ${id} of ${name}: there is none`);
    }
    if (trial.state === "running") return trial;
    throw new PluginRequestError(409, `Cannot ${verb} trial ${id} of ${name}: ${trial.state}`);
  }

  #removeSuperseded(): void {
    const { versions } = this.#deps;
    for (const row of versions.superseded()) {
      if (this.usesOf(row).length === 0) versions.remove(row.digest);
    }
  }

  /** Settles when it is in force. Throws PluginRequestError (503): decided, but not in force. */
  async #announce(what: string): Promise<void> {
    try {
      await Promise.all(this.#listeners.map((listener) => listener()));
    } catch (cause) {
      const reason = cause instanceof Error ? cause.message : String(cause);
      throw new PluginRequestError(
        503,
        `Decided but not in force: ${what}: ${reason}; it is tried again`,
        { cause },
      );
    }
  }

  #serial<T>(task: () => Promise<T>): Promise<T> {
    const result = this.#tail.then(task);
    this.#tail = result.catch(() => {});
    return result;
  }
}

function naming({ name, version, digest }: Pick<InstalledVersion, "name" | "version" | "digest">) {
  return { name, version, digest };
}
