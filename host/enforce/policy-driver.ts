/**
 * Brings what is wanted into force, one run after the other, and tries again what failed: the
 * policies stay wanted, and what was in force stays until they are.
 */
import { ProblemError } from "../admin/problem.ts";
import type { PolicyRepository } from "../policy/index.ts";
import type { Enforcer } from "./enforcer.ts";
import type { PolicyPlanning } from "./policy-planning.ts";
import type { RuleSets } from "./rule-sets.ts";
import type { SerialTasks } from "./serial-tasks.ts";
import { subjectName } from "./types.ts";

export interface PolicyDriverDeps {
  /** What is wanted when a run begins. */
  wanted: () => PolicyRepository;
  planning: PolicyPlanning;
  enforcer: Enforcer;
  ruleSets: RuleSets;
  /** Shared with those who change what is wanted. */
  tasks: SerialTasks;
}

/** Waits this long before it tries again what could not be put in force. */
const RETRY_MS = 1_000;

export class PolicyDriver {
  readonly #deps: PolicyDriverDeps;
  #conflicts: readonly string[] = [];
  #retry: NodeJS.Timeout | undefined;

  constructor(deps: PolicyDriverDeps) {
    this.#deps = deps;
  }

  /** Endpoints whose policies contradict each other, and how; they keep the map they had. */
  get conflicts(): readonly string[] {
    return this.#conflicts;
  }

  /** Settles when kernel and proxy enforce what is wanted. Throws ProblemError 503 if they fail. */
  enforce(): Promise<void> {
    const { wanted, planning, enforcer, tasks } = this.#deps;
    clearTimeout(this.#retry);
    return tasks.run(async () => {
      try {
        const conflicts = await planning.run(wanted(), (plan, revision) =>
          enforcer.enforce(plan, revision),
        );
        this.#conflicts = conflicts.map(
          ({ subject, error }) => `${subjectName(subject)}: ${error.message}`,
        );
      } catch (cause) {
        this.#retryLater();
        const reason = cause instanceof Error ? cause.message : String(cause);
        throw new ProblemError(
          503,
          `The policies are accepted but not in force: ${reason}; what was in force stays, ` +
            "and it is tried again",
          { cause },
        );
      }
    });
  }

  /** As `enforce` if `wait`; else a failure is only logged, shown by status and tried again. */
  async enforceOrRetry(wait: boolean): Promise<void> {
    const enforced = this.enforce();
    if (wait) await enforced;
    else enforced.catch(() => {});
  }

  /**
   * Which versions of plugins there are or serve has changed. Settles when the proxy serves
   * accordingly; maps are written only when rules that no version could serve now have one.
   */
  async pluginsChanged(): Promise<void> {
    const { ruleSets, enforcer, tasks } = this.#deps;
    if (ruleSets.hasNewcomers) return this.enforce();
    clearTimeout(this.#retry);
    try {
      await tasks.run(() => enforcer.updatePlugins());
    } catch (error) {
      this.#retryLater();
      throw error;
    }
  }

  #retryLater(): void {
    this.#retry = setTimeout(() => void this.enforce().catch(() => {}), RETRY_MS);
    this.#retry.unref();
  }
}
