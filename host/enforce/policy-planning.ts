/**
 * Computes what a set of policies comes to on this node: identities for the prefixes it names, the
 * policy of every endpoint, the plan. What is computed is kept, so the next change costs what it
 * touches. A plan that is not put in force leaves nothing behind but work that is done already.
 */
import type { PolicyConflictError, PolicyRepository } from "../policy/index.ts";
import { SelectorCache } from "../policy/index.ts";
import { SubjectPolicies } from "../policy/subject-policies.ts";
import { type EnforcementMode, SubjectPolicy } from "../policy/subject-policy.ts";
import type { PolicySubject } from "../policy/types.ts";
import { IdentityFeed, type IdentitySource } from "./identity-feed.ts";
import type { PlanInput, Planner } from "./planner.ts";
import { PrefixIdentities, type PrefixIdentitySource } from "./prefix-identities.ts";
import type { Plan } from "./types.ts";

export interface PolicyPlanningDeps {
  identities: IdentitySource & PrefixIdentitySource;
  planner: Planner;
  subjects: () => PolicySubject[];
  /** Default `default`. */
  enforcement?: EnforcementMode;
}

/** An endpoint on which policies contradict each other; it keeps what it had. */
export interface Conflict {
  subject: PolicySubject;
  error: PolicyConflictError;
}

export class PolicyPlanning {
  readonly #deps: PolicyPlanningDeps;
  readonly #feed: IdentityFeed;
  readonly #prefixes: PrefixIdentities;
  readonly #policies: SubjectPolicies;

  constructor(deps: PolicyPlanningDeps) {
    const cache = new SelectorCache();
    this.#deps = deps;
    this.#feed = new IdentityFeed(cache, deps.identities);
    this.#prefixes = new PrefixIdentities(deps.identities);
    this.#policies = new SubjectPolicies(cache, deps.enforcement);
  }

  /** What would be wrong with these policies. Throws what plugins throw about rules. */
  async check(repository: PolicyRepository): Promise<Conflict[]> {
    const conflicts: Conflict[] = [];
    await this.#prefixes.during(repository.rules(), async (prefixes) => {
      this.#deps.planner.check(this.#resolve(repository, prefixes, conflicts));
      return false;
    });
    return conflicts;
  }

  /** The plan for these policies goes to `use`, which puts it in force or throws. */
  async run(repository: PolicyRepository, use: (plan: Plan) => Promise<void>): Promise<Conflict[]> {
    const conflicts: Conflict[] = [];
    await this.#prefixes.during(repository.rules(), async (prefixes) => {
      await use(this.#deps.planner.plan(this.#resolve(repository, prefixes, conflicts)));
      return true;
    });
    return conflicts;
  }

  #resolve(
    repository: PolicyRepository,
    prefixes: ReadonlyMap<string, number>,
    conflicts: Conflict[],
  ): PlanInput {
    this.#feed.sync();
    const subjects = this.#deps.subjects();
    const namedPortsOf = namedPortsByIdentity(subjects);
    const results = this.#policies.resolve({ rules: repository.rules(), subjects, namedPortsOf });
    const endpoints = results.flatMap(({ subject, outcome }) => {
      if (outcome instanceof SubjectPolicy) {
        return [{ endpoint: subject.endpoint, policy: outcome }];
      }
      conflicts.push({ subject, error: outcome });
      return [];
    });
    return { endpoints, prefixes };
  }
}

/** Of the pods of this node; pods of one identity may name different ports alike. */
function namedPortsByIdentity(
  subjects: readonly PolicySubject[],
): (identity: number) => PolicySubject["namedPorts"] {
  const ports = new Map<number, PolicySubject["namedPorts"][number][]>();
  for (const { identity, namedPorts } of subjects) {
    ports.set(identity.id, [...(ports.get(identity.id) ?? []), ...namedPorts]);
  }
  return (identity) => ports.get(identity) ?? [];
}
