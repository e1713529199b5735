/**
 * The policies that are wanted on this node, in memory and in the store, and the last change if it
 * waits to be confirmed. Says nothing of whether they are in force, and judges no change.
 */
import type { Logger } from "pino";
import type { PolicyKey } from "../admin/explain-types.ts";
import { ProblemError } from "../admin/problem.ts";
import type { AppliedPolicy, PolicyView } from "../admin/types.ts";
import { policyKeyText } from "../policy/document.ts";
import {
  type ApplyFeatures,
  type PolicyCondition,
  type PolicyDocument,
  type PolicyFileDeps,
  PolicyRepository,
  type PolicySources,
  type StoredPolicy,
} from "../policy/index.ts";
import type { Store } from "../store/store.ts";
import { type Pending, PendingChange } from "./pending-change.ts";
import { PolicyStore } from "./policy-store.ts";

export interface WantedPoliciesDeps {
  log: Logger;
  store: Store;
  parsing: PolicyFileDeps;
  features: ApplyFeatures;
  sources: PolicySources;
  cluster: string;
  /** As of PeerClusters. */
  anyCluster?: boolean;
  /** Milliseconds since 1970. */
  nowMs: () => number;
  /** Nobody confirmed the change in time. */
  onOverdue: (pending: Pending) => Promise<void>;
}

/** A change that is undone unless it is confirmed. */
export interface Confirmation {
  documents: readonly PolicyDocument[];
  timeoutMs: number;
}

export class WantedPolicies {
  readonly #log: Logger;
  readonly #nowMs: () => number;
  readonly #store: PolicyStore;
  readonly #pending: PendingChange;
  #repository: PolicyRepository;

  constructor(deps: WantedPoliciesDeps) {
    const { log, store, nowMs, cluster, anyCluster = false, features, sources, onOverdue } = deps;
    this.#log = log;
    this.#nowMs = nowMs;
    this.#store = new PolicyStore(deps);
    this.#pending = new PendingChange({ log, store, nowMs, undo: onOverdue });
    this.#repository = new PolicyRepository({ cluster, anyCluster, features, sources });
  }

  /** Another one after every change; to be changed only as a copy, for `replace`. */
  get repository(): PolicyRepository {
    return this.#repository;
  }

  /**
   * Takes up the stored policies. Throws when one of them is refused: an agent must not enforce
   * less by forgetting what it cannot read.
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

  /** Throws ProblemError 404 if there is none. */
  find({ kind, namespace, name }: PolicyKey): StoredPolicy {
    // Kinds come from people; one that there is not finds nothing.
    const key = { kind, namespace, name } as Pick<PolicyDocument, "kind" | "namespace" | "name">;
    const stored = this.#repository.get(key);
    if (stored === undefined) {
      throw new ProblemError(404, `Cannot find ${kind} ${namespace}/${name}`);
    }
    return stored;
  }

  /** Throws ProblemError 409 while a change waits. */
  demandNothingPending(): void {
    this.#pending.demandNone();
  }

  /**
   * The copy with its changes is what is wanted from now on, and durable. With `confirmation`
   * returns until when it has to be confirmed, as RFC 3339.
   */
  replace(candidate: PolicyRepository, confirmation?: Confirmation): string | undefined {
    const pending = confirmation && {
      deadlineMs: this.#nowMs() + confirmation.timeoutMs,
      timeoutMs: confirmation.timeoutMs,
      policies: this.#store.changesOf(confirmation.documents, candidate.revision),
    };
    this.#store.write(candidate, pending);
    this.#repository = candidate;
    if (pending === undefined) return undefined;
    this.#pending.begin(pending);
    return this.#pending.deadline();
  }

  /** Groups or services that policies refer to have changed; whether that makes a difference. */
  sourcesChanged(): boolean {
    return this.#repository.sourcesChanged();
  }

  /** Keeps what was applied with a confirm timeout. Throws ProblemError 409 if nothing waits. */
  confirm(): AppliedPolicy[] {
    const pending = this.#pending.current;
    if (pending === undefined) {
      throw new ProblemError(
        409,
        "Cannot confirm: no change waits for it; if one did, it was undone in time",
      );
    }
    this.#pending.end();
    return pending.policies.map((one) => ({ ...named(one), revision: one.revision }));
  }

  undoUnlessEnded(pending: Pending): void {
    if (this.#pending.current === pending) this.#undo();
  }

  /** Of the change that waits to be confirmed. */
  conditions(): PolicyCondition[] {
    const policies = this.#pending.current?.policies ?? [];
    const end = `is undone at ${this.#pending.deadline()} unless it is confirmed`;
    return policies.map(({ kind, namespace, name }) => {
      const policy = { kind, namespace, name };
      return { policy, type: "ConfirmationPending", message: `${policyKeyText(policy)}: ${end}` };
    });
  }

  /** What was in force before was accepted then: nothing may keep it from coming back. */
  #undo(): void {
    const candidate = this.#repository.clone();
    const undone = this.#store.undo(this.#pending.current?.policies ?? [], candidate);
    this.replace(candidate);
    this.#pending.end();
    for (const one of undone) {
      this.#log.warn(named(one), "nobody confirmed this policy in time; it is as it was before");
    }
  }
}

export function named(document: PolicyKey): PolicyKey {
  return { kind: document.kind, namespace: document.namespace, name: document.name };
}
