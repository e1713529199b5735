/**
 * The policies of this node, for those who change, read and explain them. A change is read
 * (policy-reader.ts), judged (change-judge.ts), then wanted (wanted-policies.ts), then brought into
 * force (policy-driver.ts); all changes and runs one after the other.
 */
import type { Logger } from "pino";
import type { PolicyChange } from "../admin/explain-types.ts";
import { ProblemError } from "../admin/problem.ts";
import type { AppliedPolicy, ApplyResult, PolicyFile, PolicyView } from "../admin/types.ts";
import type { PrefixLabels } from "../identity/prefix-labels.ts";
import { policyKeyText } from "../policy/document.ts";
import {
  type PluginStates,
  type PolicyCondition,
  type PolicyDocument,
  type PolicyProblem,
  type PolicyRepository,
  policyConditions,
} from "../policy/index.ts";
import type { Rule } from "../policy/rule.ts";
import type { EnforcementMode } from "../policy/subject-policy.ts";
import type { L7Rules } from "../policy/types.ts";
import {
  type ApplyOptions,
  ChangeJudge,
  type ChangeOptions,
  type Judgement,
} from "./change-judge.ts";
import type { Enforcer } from "./enforcer.ts";
import { cutText, type NodeConnections } from "./lockout-guard.ts";
import { overflowConditions } from "./overflow-condition.ts";
import type { Pending } from "./pending-change.ts";
import { PolicyDriver } from "./policy-driver.ts";
import { PolicyPlanning, type PolicyPlanningDeps } from "./policy-planning.ts";
import { problemOf, type ReadPolicies, readPolicyFiles } from "./policy-reader.ts";
import type { RuleSets } from "./rule-sets.ts";
import { SerialTasks } from "./serial-tasks.ts";
import { named, WantedPolicies, type WantedPoliciesDeps } from "./wanted-policies.ts";

export type { ApplyOptions, ChangeOptions } from "./change-judge.ts";

/** `sourcesChanged` is to be called when the `sources` change. */
export interface PolicyServiceDeps
  extends PolicyPlanningDeps,
    Omit<WantedPoliciesDeps, "onOverdue"> {
  log: Logger;
  enforcer: Enforcer;
  ruleSets: RuleSets;
  /** Connections into the node that a change should not cut; absent: nobody looks. */
  connections?: NodeConnections;
}

/** Policies, in force or not. */
export interface PreviewSide {
  rules: readonly Rule[];
  /** The labels that prefixes have under them. */
  labels: PrefixLabels;
}

/** A change that is looked at before it is made. */
export interface PolicyPreview {
  before: PreviewSide;
  /** Without the files that have an error. */
  after: PreviewSide;
  mode: EnforcementMode;
  /** Name of the local cluster. */
  cluster: string;
  errors: PolicyProblem[];
  warnings: PolicyProblem[];
}

interface Accepted extends Judgement {
  confirmBy?: string | undefined;
}

export class PolicyService {
  readonly #deps: PolicyServiceDeps;
  readonly #tasks: SerialTasks;
  readonly #wanted: WantedPolicies;
  readonly #judge: ChangeJudge;
  readonly #driver: PolicyDriver;
  readonly #planning: PolicyPlanning;

  constructor(deps: PolicyServiceDeps) {
    const log = deps.log.child({ part: "policy" });
    const planning = new PolicyPlanning(deps);
    this.#deps = deps;
    this.#planning = planning;
    this.#tasks = new SerialTasks(log);
    this.#judge = new ChangeJudge(planning, deps.connections);
    this.#wanted = new WantedPolicies({
      ...{ ...deps, log },
      onOverdue: (pending) => this.#undoUnlessEnded(pending),
    });
    this.#driver = new PolicyDriver({
      wanted: () => this.#wanted.repository,
      ...{ planning, enforcer: deps.enforcer, ruleSets: deps.ruleSets, tasks: this.#tasks },
    });
  }

  get revision(): number {
    return this.#wanted.repository.revision;
  }

  /** Endpoints whose policies contradict each other, and how; they keep the map they had. */
  get conflicts(): readonly string[] {
    return this.#driver.conflicts;
  }

  get size(): number {
    return this.#wanted.repository.size;
  }

  /**
   * Takes up the stored policies; enforce with `refresh` once the endpoints are there too. Throws
   * when one of them is refused: an agent must not enforce less by forgetting what it cannot read.
   */
  restore(): void {
    this.#wanted.restore();
  }

  list(): Omit<PolicyView, "conditions">[] {
    return this.#wanted.list();
  }

  /** What of the accepted policies is not in force as written. */
  conditions(plugins: PluginStates): PolicyCondition[] {
    const { enforcer, subjects } = this.#deps;
    const { repository } = this.#wanted;
    return [
      ...policyConditions(repository, plugins),
      ...overflowConditions(repository, subjects(), enforcer.overflows),
      ...this.#wanted.conditions(),
    ];
  }

  /**
   * The rules of now, and those there would be with a change, whose files are read as `apply` reads
   * them. Nothing of it is kept. Throws ProblemError 404 for a policy to delete that is not there.
   */
  preview({ files, deletes }: PolicyChange): PolicyPreview {
    const { documents, errors, warnings } = this.#read(files, true);
    const { repository } = this.#wanted;
    const candidate = repository.clone();
    for (const key of deletes) candidate.delete(this.#wanted.find(key).document);
    if (documents.length > 0) candidate.upsertAll(documents);
    const side = (repository: PolicyRepository): PreviewSide => ({
      rules: repository.rules(),
      labels: this.#planning.labelsOf(repository),
    });
    return {
      ...{ before: side(repository), after: side(candidate) },
      mode: this.#deps.enforcement ?? "default",
      cluster: this.#deps.cluster,
      ...{ errors, warnings },
    };
  }

  /** Everything that can be said of the files without changing anything. */
  validate(files: PolicyFile[], forApply: boolean): ApplyResult {
    const { documents, errors, warnings } = this.#read(files, forApply);
    const applied = documents.map((document) => ({ ...named(document), revision: 0 }));
    return { applied, errors, warnings };
  }

  /**
   * Applies the files that have no error. With `wait` it settles when kernel and proxy enforce
   * them, and throws ProblemError 503 when that failed; the policies stay wanted and are retried.
   */
  async apply(files: PolicyFile[], options: ApplyOptions): Promise<ApplyResult> {
    const { documents, errors, warnings } = this.#read(files, true);
    if (documents.length === 0) return { applied: [], errors, warnings };
    const change = (candidate: PolicyRepository): void => {
      candidate.upsertAll(documents);
    };
    const accepted = await this.#tasks.run(() => this.#accept(change, documents, options));
    const { confirmBy, cuts } = accepted;
    if (!accepted.isAcceptable) {
      return { applied: [], errors: [...errors, ...accepted.errors], warnings, cuts };
    }
    const [document] = documents;
    if (document && cuts.length > 0) {
      warnings.push(problemOf(document, `this cuts ${cutText(cuts)}`));
    }
    await this.#driver.enforceOrRetry(options.wait);
    const applied = documents.map((document) => ({
      ...named(document),
      revision: this.#wanted.repository.get(document)?.revision ?? 0,
    }));
    return { applied, errors, warnings, ...(confirmBy === undefined ? {} : { confirmBy }) };
  }

  /** Keeps what was applied with a confirm timeout. @throws ProblemError 409 if nothing waits. */
  async confirm(): Promise<AppliedPolicy[]> {
    return this.#tasks.run(async () => this.#wanted.confirm());
  }

  async delete(
    kind: string,
    namespace: string,
    name: string,
    options: ChangeOptions,
  ): Promise<AppliedPolicy> {
    const { document } = this.#wanted.find({ kind, namespace, name });
    const change = (candidate: PolicyRepository): void => {
      candidate.delete(document);
    };
    const { cuts, isAcceptable } = await this.#tasks.run(() => this.#accept(change, [], options));
    if (!isAcceptable) {
      const reason = `it would cut ${cutText(cuts)}; force it (--force)`;
      throw new ProblemError(409, `Cannot delete ${policyKeyText(document)}: ${reason}`);
    }
    await this.#driver.enforceOrRetry(options.wait);
    return { ...named(document), revision: this.revision };
  }

  /** Endpoints, identities or the proxy changed: compute and enforce again. */
  async refresh(): Promise<void> {
    await this.#driver.enforce();
  }

  /** Groups or services that policies refer to have changed. */
  async sourcesChanged(): Promise<void> {
    const changed = await this.#tasks.run(async () => this.#wanted.sourcesChanged());
    if (changed) await this.#driver.enforce();
  }

  /**
   * Which versions there are or serve has changed. Settles when the proxy serves accordingly; maps
   * are written only when rules that no version could serve now have one.
   */
  async pluginsChanged(): Promise<void> {
    await this.#driver.pluginsChanged();
  }

  #read(files: PolicyFile[], forApply: boolean): ReadPolicies {
    const { parsing, features, ruleSets } = this.#deps;
    const checkRules = (l7: L7Rules): void => ruleSets.check(l7);
    return readPolicyFiles(files, { parsing, features, forApply, checkRules });
  }

  /** Only what is judged acceptable becomes the wanted state. */
  async #accept(
    change: (candidate: PolicyRepository) => void,
    documents: readonly PolicyDocument[],
    options: ApplyOptions,
  ): Promise<Accepted> {
    const { confirmTimeoutMs: timeoutMs } = options;
    if (timeoutMs !== undefined) this.#wanted.demandNothingPending();
    const before = this.#wanted.repository;
    const after = before.clone();
    change(after);
    const judgement = await this.#judge.judge({ before, after, documents }, options);
    if (!judgement.isAcceptable) return judgement;
    const confirmation = timeoutMs === undefined ? undefined : { documents, timeoutMs };
    return { ...judgement, confirmBy: this.#wanted.replace(after, confirmation) };
  }

  async #undoUnlessEnded(pending: Pending): Promise<void> {
    await this.#tasks.run(async () => this.#wanted.undoUnlessEnded(pending));
    await this.#driver.enforceOrRetry(false);
  }
}
