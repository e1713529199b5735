/**
 * Judges a change of policies before it is accepted, without touching anything: whether it can be
 * computed as a whole, whether it contradicts other policies, and which connections into the node
 * it would cut.
 */
import {
  documentKey,
  type PolicyConflictError,
  type PolicyDocument,
  type PolicyProblem,
  type PolicyRepository,
} from "../policy/index.ts";
import { type CutConnection, LockoutGuard, type NodeConnections } from "./lockout-guard.ts";
import type { OpenConnection } from "./open-connection.ts";
import type { Conflict, PolicyPlanning } from "./policy-planning.ts";
import { problemOf } from "./policy-reader.ts";

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

export interface ChangeToJudge {
  before: PolicyRepository;
  after: PolicyRepository;
  /** Those that come with it. */
  documents: readonly PolicyDocument[];
}

export interface Judgement {
  errors: PolicyProblem[];
  cuts: CutConnection[];
  /** There is no error, and nothing is cut that must not be. */
  isAcceptable: boolean;
}

export class ChangeJudge {
  readonly #planning: PolicyPlanning;
  readonly #guard: LockoutGuard | undefined;

  /** @param connections Absent: nobody looks at what is cut. */
  constructor(planning: PolicyPlanning, connections: NodeConnections | undefined) {
    this.#planning = planning;
    this.#guard =
      connections &&
      new LockoutGuard({
        ...connections,
        judge: (repository) => planning.judgeNode(repository),
      });
  }

  /** Throws what cannot be computed when no document came with the change to blame it on. */
  async judge(change: ChangeToJudge, options: ApplyOptions): Promise<Judgement> {
    const errors = await this.#errorsOf(change);
    if (errors.length > 0) return { errors, cuts: [], isAcceptable: false };
    const cuts = await this.#cutBy(change, options);
    return { errors, cuts, isAcceptable: cuts.length === 0 || isCarefree(options) };
  }

  async #errorsOf({ after, documents }: ChangeToJudge): Promise<PolicyProblem[]> {
    let conflicts: Conflict[];
    try {
      conflicts = await this.#planning.check(after);
    } catch (error) {
      if (documents.length === 0) throw error;
      return documents.map((document) => problemOf(document, error));
    }
    // Those that are there already, between other policies, are not this change's.
    const errors = conflicts.flatMap(({ error }) =>
      documents
        .filter((document) => isParty(document, error))
        .map((document) => problemOf(document, error)),
    );
    return distinct(errors);
  }

  async #cutBy(
    { before, after, documents }: ChangeToJudge,
    { callers, force }: ApplyOptions,
  ): Promise<CutConnection[]> {
    // Nobody would be told of it.
    if (this.#guard === undefined || (force && documents.length === 0)) return [];
    return this.#guard.cutBy(after, before, callers);
  }
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
