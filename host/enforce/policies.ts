/**
 * The policies of this node: accepts documents, keeps them in the store, and sees that kernel and
 * proxy enforce them. A change is first computed as a whole without touching anything; only if that
 * succeeds does it become the wanted state. Everything that enforces runs one after the other.
 */
import type { Logger } from "pino";
import type { PolicyChange, PolicyKey } from "../admin/explain-types.ts";
import { ProblemError } from "../admin/problem.ts";
import type { AppliedPolicy, ApplyResult, PolicyFile, PolicyView } from "../admin/types.ts";
import { policyKeyText } from "../policy/document.ts";
import {
  type ApplyFeatures,
  documentKey,
  type PluginStates,
  type PolicyCondition,
  type PolicyConflictError,
  type PolicyDocument,
  type PolicyFileDeps,
  type PolicyProblem,
  PolicyRepository,
  type PolicySources,
  policyConditions,
  type StoredPolicy,
} from "../policy/index.ts";
import type { Rule } from "../policy/rule.ts";
import type { EnforcementMode } from "../policy/subject-policy.ts";
import type { L7Rules } from "../policy/types.ts";
import type { Store } from "../store/store.ts";
import type { Enforcer } from "./enforcer.ts";
import {
  type CutConnection,
  cutText,
  LockoutGuard,
  type NodeConnections,
} from "./lockout-guard.ts";
import type { OpenConnection } from "./open-connection.ts";
import { overflowConditions } from "./overflow-condition.ts";
import { type Pending, PendingChange } from "./pending-change.ts";
import { type Conflict, PolicyPlanning, type PolicyPlanningDeps } from "./policy-planning.ts";
import { problemOf, type ReadPolicies, readPolicyFiles } from "./policy-reader.ts";
import { PolicyStore } from "./policy-store.ts";
import type { RuleSets } from "./rule-sets.ts";
import { subjectName } from "./types.ts";

export interface PolicyServiceDeps extends PolicyPlanningDeps {
  log: Logger;
  store: Store;
  enforcer: Enforcer;
  ruleSets: RuleSets;
  parsing: PolicyFileDeps;
  features: ApplyFeatures;
  /** What policies refer to; `sourcesChanged` when it changes. */
  sources: PolicySources;
  cluster: string;
  /** As of PeerClusters. */
  anyCluster?: boolean;
  /** Connections into the node that a change should not cut; absent: nobody looks. */
  connections?: NodeConnections;
  /** Milliseconds since 1970. */
  nowMs: () => number;
}

/** A change that is looked at before it is made. */
export interface PolicyPreview {
  before: readonly Rule[];
  /** Without the files that have an error. */
  after: readonly Rule[];
  mode: EnforcementMode;
  /** Name of the local cluster. */
  cluster: string;
  errors: PolicyProblem[];
  warnings: PolicyProblem[];
}

export interface ChangeOptions {
  /** Settle when kernel and proxy enforce it. */
  wait: boolean;
  /** Also when it cuts open connections into the node. */
  force?: boolean;
  /** The connection by which the caller came, if he knows. */
  callers?: OpenConnection | undefined;
}

export interface ApplyOptions extends ChangeOptions {
  /** Undone after so long unless it is confirmed. */
  confirmTimeoutMs?: number | undefined;
}

/** Accepted if there is no error, and nothing is cut that must not be. */
interface Accepted {
  errors: PolicyProblem[];
  cuts: CutConnection[];
  confirmBy?: string;
}

/** Waits this long before it tries again what could not be put in force. */
const RETRY_MS = 1_000;

export class PolicyService {
  readonly #deps: PolicyServiceDeps;
  readonly #log: Logger;
  readonly #planning: PolicyPlanning;
  readonly #store: PolicyStore;
  readonly #pending: PendingChange;
  readonly #guard: LockoutGuard | undefined;
  #repository: PolicyRepository;
  #conflicts: readonly string[] = [];
  #tail: Promise<unknown> = Promise.resolve();
  #retry: NodeJS.Timeout | undefined;

  constructor(deps: PolicyServiceDeps) {
    this.#deps = deps;
    this.#log = deps.log.child({ part: "policy" });
    this.#planning = new PolicyPlanning(deps);
    this.#store = new PolicyStore(deps);
    const { store, nowMs, connections } = deps;
    this.#pending = new PendingChange({
      ...{ log: this.#log, store, nowMs },
      undo: (pending) => this.#undoUnlessEnded(pending),
    });
    this.#guard =
      connections &&
      new LockoutGuard({
        ...connections,
        judge: (repository) => this.#planning.judgeNode(repository),
      });
    this.#repository = new PolicyRepository({
      cluster: deps.cluster,
      anyCluster: deps.anyCluster ?? false,
      features: deps.features,
      sources: deps.sources,
    });
  }

  get revision(): number {
    return this.#repository.revision;
  }

  /** Endpoints whose policies contradict each other, and how; they keep the map they had. */
  get conflicts(): readonly string[] {
    return this.#conflicts;
  }

  get size(): number {
    return this.#repository.list().length;
  }

  /**
   * Takes up the stored policies; enforce with `refresh` once the endpoints are there too. Throws
   * when one of them is refused: an agent must not enforce less by forgetting what it cannot read.
   */
  restore(): void {
    this.#store.restoreInto(this.#repository);
    this.#pending.restore();
    if (this.#pending.isDue) this.#undo();
  }

  list(): Omit<PolicyView, "conditions">[] {
    return this.#repository.list().map(({ document, revision }) => ({
      ...named(document),
      revision,
      source: document.source.file,
      object: document.object,
    }));
  }

  /** What of the accepted policies is not in force as written. */
  conditions(plugins: PluginStates): PolicyCondition[] {
    const { enforcer, subjects } = this.#deps;
    return [
      ...policyConditions(this.#repository, plugins),
      ...overflowConditions(this.#repository, subjects(), enforcer.overflows),
      ...this.#pendingConditions(),
    ];
  }

  /**
   * The rules of now, and those there would be with a change, whose files are read as `apply` reads
   * them. Nothing of it is kept. Throws ProblemError 404 for a policy to delete that is not there.
   */
  preview({ files, deletes }: PolicyChange): PolicyPreview {
    const { documents, errors, warnings } = this.#read(files, true);
    const candidate = this.#repository.clone();
    for (const key of deletes) candidate.delete(this.#find(key).document);
    if (documents.length > 0) candidate.upsertAll(documents);
    return {
      before: [...this.#repository.rules()],
      after: [...candidate.rules()],
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
    const accepted = await this.#serial(() => this.#accept(change, documents, options));
    const { confirmBy, cuts } = accepted;
    if (accepted.errors.length > 0 || (cuts.length > 0 && !isCarefree(options))) {
      return { applied: [], errors: [...errors, ...accepted.errors], warnings, cuts };
    }
    const [document] = documents;
    if (document && cuts.length > 0) {
      warnings.push(problemOf(document, `this cuts ${cutText(cuts)}`));
    }
    await this.#enforceOrRetry(options.wait);
    const applied = documents.map((document) => ({
      ...named(document),
      revision: this.#repository.get(document)?.revision ?? 0,
    }));
    return { applied, errors, warnings, ...(confirmBy === undefined ? {} : { confirmBy }) };
  }

  /** Keeps what was applied with a confirm timeout. @throws ProblemError 409 if nothing waits. */
  async confirm(): Promise<AppliedPolicy[]> {
    return this.#serial(async () => {
      const pending = this.#pending.current;
      if (pending === undefined) {
        throw new ProblemError(
          409,
          "Cannot confirm: no change waits for it; if one did, it was undone in time",
        );
      }
      this.#pending.end();
      return pending.policies.map((one) => ({ ...named(one), revision: one.revision }));
    });
  }

  async delete(
    kind: string,
    namespace: string,
    name: string,
    options: ChangeOptions,
  ): Promise<AppliedPolicy> {
    const stored = this.#find({ kind, namespace, name });
    const change = (candidate: PolicyRepository): void => {
      candidate.delete(stored.document);
    };
    const { cuts } = await this.#serial(() => this.#accept(change, [], options));
    if (cuts.length > 0) {
      const reason = `it would cut ${cutText(cuts)}; force it (--force)`;
      throw new ProblemError(409, `Cannot delete ${policyKeyText(stored.document)}: ${reason}`);
    }
    await this.#enforceOrRetry(options.wait);
    return { ...named(stored.document), revision: this.revision };
  }

  /** Endpoints, identities or the proxy changed: compute and enforce again. */
  async refresh(): Promise<void> {
    await this.#enforceSoon();
  }

  /** Groups or services that policies refer to have changed. */
  async sourcesChanged(): Promise<void> {
    const changed = await this.#serial(async () => this.#repository.sourcesChanged());
    if (changed) await this.#enforceSoon();
  }

  /**
   * Which versions there are or serve has changed. Settles when the proxy serves accordingly; maps
   * are written only when rules that no version could serve now have one.
   */
  async pluginsChanged(): Promise<void> {
    if (this.#deps.ruleSets.hasNewcomers) return this.#enforceSoon();
    clearTimeout(this.#retry);
    try {
      await this.#serial(() => this.#deps.enforcer.updatePlugins());
    } catch (error) {
      this.#retryLater();
      throw error;
    }
  }

  #find({ kind, namespace, name }: PolicyKey): StoredPolicy {
    const stored = this.#repository.list().find(({ document }) => {
      return document.kind === kind && document.namespace === namespace && document.name === name;
    });
    if (stored === undefined) {
      throw new ProblemError(404, `Cannot find ${kind} ${namespace}/${name}`);
    }
    return stored;
  }

  #read(files: PolicyFile[], forApply: boolean): ReadPolicies {
    const { parsing, features, ruleSets } = this.#deps;
    const checkRules = (l7: L7Rules): void => ruleSets.check(l7);
    return readPolicyFiles(files, { parsing, features, forApply, checkRules });
  }

  /** Computes with the change; only if that works does it become the wanted state. */
  async #accept(
    change: (candidate: PolicyRepository) => void,
    documents: PolicyDocument[],
    options: ApplyOptions,
  ): Promise<Accepted> {
    if (options.confirmTimeoutMs !== undefined) this.#pending.demandNone();
    const candidate = this.#repository.clone();
    change(candidate);
    let conflicts: Conflict[];
    try {
      conflicts = await this.#planning.check(candidate);
    } catch (error) {
      if (documents.length === 0) throw error;
      return refused(documents.map((document) => problemOf(document, error)));
    }
    // Those that are there already, between other policies, are not this change's.
    const errors = conflicts.flatMap(({ error }) =>
      documents
        .filter((document) => isParty(document, error))
        .map((document) => problemOf(document, error)),
    );
    if (errors.length > 0) return refused(distinct(errors));
    const cuts = await this.#cutBy(candidate, documents, options);
    if (cuts.length > 0 && !isCarefree(options)) return { errors: [], cuts };
    const { confirmTimeoutMs } = options;
    const pending =
      confirmTimeoutMs === undefined
        ? undefined
        : {
            deadlineMs: this.#deps.nowMs() + confirmTimeoutMs,
            policies: this.#store.changesOf(documents, candidate.revision),
          };
    this.#store.write(this.#repository, candidate, pending);
    this.#repository = candidate;
    if (pending === undefined) return { errors: [], cuts };
    this.#pending.begin(pending);
    return { errors: [], cuts, confirmBy: this.#pending.deadline() };
  }

  async #cutBy(
    candidate: PolicyRepository,
    documents: PolicyDocument[],
    { callers, force }: ApplyOptions,
  ): Promise<CutConnection[]> {
    // Nobody would be told of it.
    if (this.#guard === undefined || (force && documents.length === 0)) return [];
    return this.#guard.cutBy(candidate, this.#repository, callers);
  }

  async #undoUnlessEnded(pending: Pending): Promise<void> {
    await this.#serial(async () => {
      if (this.#pending.current === pending) this.#undo();
    });
    await this.#enforceOrRetry(false);
  }

  /** What was in force before was accepted then: nothing may keep it from coming back. */
  #undo(): void {
    const candidate = this.#repository.clone();
    const undone = this.#store.undo(this.#pending.current?.policies ?? [], candidate);
    this.#store.write(this.#repository, candidate);
    this.#repository = candidate;
    this.#pending.end();
    for (const one of undone) {
      this.#log.warn(named(one), "nobody confirmed this policy in time; it is as it was before");
    }
  }

  #pendingConditions(): PolicyCondition[] {
    const policies = this.#pending.current?.policies ?? [];
    const end = `is undone at ${this.#pending.deadline()} unless it is confirmed`;
    return policies.map(({ kind, namespace, name }) => {
      const policy = { kind, namespace, name };
      return { policy, type: "ConfirmationPending", message: `${policyKeyText(policy)}: ${end}` };
    });
  }

  async #enforceOrRetry(wait: boolean): Promise<void> {
    const enforced = this.#enforceSoon();
    if (wait) await enforced;
    else enforced.catch(() => {}); // Logged by the enforcer, shown by status, tried again.
  }

  #enforceSoon(): Promise<void> {
    clearTimeout(this.#retry);
    return this.#serial(async () => {
      try {
        const conflicts = await this.#planning.run(this.#repository, (plan) =>
          this.#deps.enforcer.enforce(plan, this.#repository.revision),
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

  #retryLater(): void {
    this.#retry = setTimeout(() => void this.refresh().catch(() => {}), RETRY_MS);
    this.#retry.unref();
  }

  #serial<T>(task: () => Promise<T>): Promise<T> {
    const result = this.#tail.then(task);
    this.#tail = result.catch((error: unknown) => {
      this.#log.debug({ error }, "a policy change failed");
    });
    return result;
  }
}

function refused(errors: PolicyProblem[]): Accepted {
  return { errors, cuts: [] };
}

/** The caller takes the risk, or it ends by itself. */
function isCarefree({ force, confirmTimeoutMs }: ApplyOptions): boolean {
  return force === true || confirmTimeoutMs !== undefined;
}

function isParty(document: PolicyDocument, { policies }: PolicyConflictError): boolean {
  return policies.some((one) => documentKey(one) === documentKey(document));
}

/** Many endpoints may have the same conflict. */
function distinct(problems: PolicyProblem[]): PolicyProblem[] {
  return [...new Map(problems.map((one) => [JSON.stringify(one), one])).values()];
}

function named(document: { kind: string; namespace: string; name: string }): {
  kind: string;
  namespace: string;
  name: string;
} {
  return { kind: document.kind, namespace: document.namespace, name: document.name };
}
