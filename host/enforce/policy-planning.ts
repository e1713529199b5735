/**
 * Computes what a set of policies comes to on this node: identities for the prefixes it names, the
 * policy of every endpoint, the plan. What is computed is kept, so the next change costs what it
 * touches. A plan that is not put in force leaves nothing behind but work that is done already.
 */
import type { PrefixLabels, PrefixSaying } from "../identity/prefix-labels.ts";
import {
  createLookup,
  type PolicyConflictError,
  type PolicyDecision,
  type PolicyPacket,
  type PolicyRepository,
  PolicySayings,
  SelectorCache,
} from "../policy/index.ts";
import type { Rule } from "../policy/rule.ts";
import { SubjectPolicies, type SubjectResult } from "../policy/subject-policies.ts";
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
  /** What is known of prefixes besides what policies and their groups say. */
  prefixSayings?: () => readonly PrefixSaying[];
  /** Default `default`. */
  enforcement?: EnforcementMode;
}

/** An endpoint on which policies contradict each other; it keeps what it had. */
export interface Conflict {
  subject: PolicySubject;
  error: PolicyConflictError;
}

/** Puts a plan in force under a revision, or throws. */
export type UsePlan = (plan: Plan, revision: number) => Promise<void>;

interface InForce {
  rules: readonly Rule[];
  sayings: readonly PrefixSaying[];
  revision: number;
}

/** How the node's own policy would decide. */
export interface NodeJudge {
  decide(packet: PolicyPacket): PolicyDecision;
  /** Prefixes of which something is said, with their identities. */
  prefixes: ReadonlyMap<string, number>;
}

export class PolicyPlanning {
  readonly #deps: PolicyPlanningDeps;
  readonly #feed: IdentityFeed;
  readonly #prefixes: PrefixIdentities;
  readonly #sayings = new PolicySayings();
  readonly #policies: SubjectPolicies;
  #inForce: InForce | undefined;

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
    await this.#prefixes.during(this.#sayingsOf(repository), async (prefixes) => {
      this.#deps.planner.check(this.#resolve(repository.rules(), prefixes, conflicts));
      return false;
    });
    return conflicts;
  }

  /**
   * The plan for these policies goes to `use`; before it the one for the policies in force, if
   * there are prefixes that only the new ones name.
   */
  async run(repository: PolicyRepository, use: UsePlan): Promise<Conflict[]> {
    const conflicts: Conflict[] = [];
    const { revision } = repository;
    const rules = repository.rules();
    const sayings = this.#sayingsOf(repository);
    await this.#nameFirst(sayings, use);
    await this.#prefixes.during(sayings, async (prefixes) => {
      await use(this.#deps.planner.plan(this.#resolve(rules, prefixes, conflicts)), revision);
      return true;
    });
    this.#inForce = { rules, sayings, revision };
    return conflicts;
  }

  /**
   * An exception is none before its prefix is in the ipcache: until then a map that allows the
   * prefix around it would let through what no revision allows. To the policies in force a name
   * makes no difference.
   */
  async #nameFirst([wanted]: readonly PrefixSaying[], use: UsePlan): Promise<void> {
    if (this.#inForce === undefined || wanted === undefined) return;
    const { rules, revision, sayings } = this.#inForce;
    const [named, ...others] = sayings;
    if (named === undefined || named.prefixes === wanted.prefixes) return;
    if ([...wanted.prefixes.keys()].every((text) => named.prefixes.has(text))) return;
    const early = [
      { ...named, prefixes: new Map([...named.prefixes, ...wanted.prefixes]) },
      ...others,
    ];
    await this.#prefixes.during(early, async (prefixes) => {
      await use(this.#deps.planner.plan(this.#resolve(rules, prefixes, [])), revision);
      return true;
    });
    this.#inForce = { rules, revision, sayings: early };
  }

  /** Undefined: the node would have no policy, or contradicting ones, which change nothing. */
  async judgeNode(repository: PolicyRepository): Promise<NodeJudge | undefined> {
    let judge: NodeJudge | undefined;
    await this.#prefixes.during(this.#sayingsOf(repository), async (prefixes) => {
      const policy = this.#resolveAll(repository.rules())
        .filter(({ subject }) => subject.scope === "node")
        .map(({ outcome }) => outcome)
        .find((outcome) => outcome instanceof SubjectPolicy);
      if (policy?.hasRules) judge = { decide: createLookup(policy.entries), prefixes };
      return false;
    });
    return judge;
  }

  /** The labels that prefixes have, or would have, under these policies. */
  labelsOf(repository: PolicyRepository): PrefixLabels {
    return this.#prefixes.labelsOf(this.#sayingsOf(repository));
  }

  #sayingsOf(repository: PolicyRepository): PrefixSaying[] {
    const own = this.#sayings.of(repository.rules(), repository.sources.cidrGroups());
    return [...own, ...(this.#deps.prefixSayings?.() ?? [])];
  }

  #resolve(
    rules: readonly Rule[],
    prefixes: ReadonlyMap<string, number>,
    conflicts: Conflict[],
  ): PlanInput {
    const endpoints: { endpoint: number; policy: SubjectPolicy }[] = [];
    const unpoliced: number[] = [];
    for (const { subject, outcome } of this.#resolveAll(rules)) {
      const { endpoint, scope } = subject;
      if (!(outcome instanceof SubjectPolicy)) conflicts.push({ subject, error: outcome });
      // The node is judged, and its connections are tracked, only if somebody asked for it.
      else if (scope === "node" && !outcome.hasRules) unpoliced.push(endpoint);
      else endpoints.push({ endpoint, policy: outcome });
    }
    return { endpoints, unpoliced, prefixes };
  }

  #resolveAll(rules: readonly Rule[]): SubjectResult[] {
    this.#feed.sync();
    const subjects = this.#deps.subjects();
    const namedPortsOf = namedPortsByIdentity(subjects);
    return this.#policies.resolve({ rules, subjects, namedPortsOf });
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
