/**
 * The policies of all subjects of the node, kept between changes: a change costs what it selects.
 * Subjects that no rule tells apart share one policy, and so everything that is made of it. When a
 * change tells some of them apart, these go on with a copy: what was written for them stays known.
 */

import { finish, type Piecework } from "../piecework.ts";
import { PolicyConflictError } from "./resolve/conflict.ts";
import type { SelectionChanges } from "./resolve/direction-policy.ts";
import type { Rule } from "./rule.ts";
import { RuleIndex } from "./rule-index.ts";
import type { SelectorCache } from "./selector-cache.ts";
import { type EnforcementMode, PolicyParts, SubjectPolicy, subjectKind } from "./subject-policy.ts";
import type { PolicySubject } from "./types.ts";

export interface SubjectResult {
  subject: PolicySubject;
  /** The policy, or why there is none. */
  outcome: SubjectPolicy | PolicyConflictError;
}

export interface SubjectPoliciesInput {
  /** In the order of the policies, none twice. An unchanged rule is the object it was. */
  rules: readonly Rule[];
  /** Each of an endpoint of its own. */
  subjects: readonly PolicySubject[];
  namedPortsOf: (identity: number) => PolicySubject["namedPorts"];
}

/** A policy with those whom it is for. */
interface Share {
  policy: SubjectPolicy;
  /** Of the kind of its subjects and the rules that select them. */
  key: string;
  kind: string;
  rules: readonly Rule[];
  subjects: PolicySubject[];
}

/** Subjects that had the same policy and are to have the same again. */
type Part = Omit<Share, "policy">;

interface Parts {
  /** By the policy they have, if it can become theirs; then by key. */
  known: Map<Share, Map<string, Part>>;
  fresh: Map<string, Part>;
}

export class SubjectPolicies {
  #parts: PolicyParts;
  #rules = new RuleIndex();
  readonly #shares = new Set<Share>();
  readonly #byEndpoint = new Map<number, Share>();

  /** @param cache Its changes are taken here; nobody else may. */
  constructor(cache: SelectorCache, mode: EnforcementMode = "default") {
    this.#parts = new PolicyParts(cache, mode);
  }

  /** In the order of the subjects. A policy is the same object while it can be kept. */
  resolve(input: SubjectPoliciesInput): SubjectResult[] {
    return finish(this.pieces(input));
  }

  /** The same, a policy at a time; nothing else may be done with this or the cache meanwhile. */
  *pieces({ rules, subjects, namedPortsOf }: SubjectPoliciesInput): Piecework<SubjectResult[]> {
    this.#rules.replace(rules);
    const changes = this.#parts.cache.takeChanges();
    const outcomes = new Map<number, SubjectResult["outcome"]>();
    for (const share of yield* this.#share(subjects)) {
      const outcome = this.#update(share, changes, namedPortsOf);
      for (const { endpoint } of share.subjects) outcomes.set(endpoint, outcome);
      yield;
    }
    this.#rules.retain(outcomes);
    this.#parts.cache.dropIdle();
    return subjects.flatMap((subject) => {
      const outcome = outcomes.get(subject.endpoint);
      return outcome ? [{ subject, outcome }] : [];
    });
  }

  /** The same, to be changed apart from this over the same cache. Identities must stay. */
  *fork(): Piecework<SubjectPolicies> {
    const { cache, mode } = this.#parts;
    const copy = new SubjectPolicies(cache, mode);
    copy.#parts = this.#parts;
    copy.#rules = this.#rules.fork();
    for (const share of this.#shares) {
      const own = copy.#add(share.policy.fork(), share);
      for (const { endpoint } of own.subjects) copy.#byEndpoint.set(endpoint, own);
      yield;
    }
    return copy;
  }

  #update(
    share: Share,
    changes: SelectionChanges,
    namedPortsOf: SubjectPoliciesInput["namedPortsOf"],
  ): SubjectResult["outcome"] {
    const { policy, rules, subjects } = share;
    const [subject] = subjects;
    try {
      if (subject) policy.update({ subject, rules, names: { namedPortsOf } }, changes);
      return policy;
    } catch (error) {
      // What is not taken up now would never be learned of: start anew next time.
      if (!(error instanceof PolicyConflictError)) {
        for (const one of this.#shares) this.#forget(one);
        throw error;
      }
      this.#forget(share);
      return error;
    }
  }

  /** Who has which policy from now on. Those that stay one go on with the one they had. */
  *#share(subjects: readonly PolicySubject[]): Piecework<Iterable<Share>> {
    const { known, fresh } = yield* this.#part(subjects);
    for (const share of this.#shares) if (!known.has(share)) this.#forget(share);
    const byKey = new Map<string, Share>();
    for (const [share, parts] of known) {
      const keep = parts.get(share.key) ?? [...parts.values()][0];
      for (const part of parts.values()) {
        const next = part === keep ? share : this.#add(share.policy.fork(), part);
        Object.assign(next, part);
        if (!byKey.has(part.key)) byKey.set(part.key, next);
      }
    }
    for (const part of fresh.values()) {
      const share = byKey.get(part.key);
      if (share) share.subjects.push(...part.subjects);
      else this.#add(new SubjectPolicy(this.#parts), part);
    }
    this.#byEndpoint.clear();
    for (const share of this.#shares) {
      for (const { endpoint } of share.subjects) this.#byEndpoint.set(endpoint, share);
    }
    return this.#shares;
  }

  *#part(subjects: readonly PolicySubject[]): Piecework<Parts> {
    const known = new Map<Share, Map<string, Part>>();
    const fresh = new Map<string, Part>();
    for (const subject of subjects) {
      yield;
      const kind = subjectKind(subject);
      const selected = this.#rules.rulesFor(subject);
      const key = `${kind} ${selected.key}`;
      const share = this.#byEndpoint.get(subject.endpoint);
      let parts = fresh;
      if (share?.kind === kind) {
        parts = known.get(share) ?? new Map<string, Part>();
        known.set(share, parts);
      }
      const part = parts.get(key);
      if (part) part.subjects.push(subject);
      else parts.set(key, { key, kind, rules: selected.rules, subjects: [subject] });
    }
    return { known, fresh };
  }

  #add(policy: SubjectPolicy, part: Part): Share {
    const share = { ...part, policy };
    this.#shares.add(share);
    return share;
  }

  #forget(share: Share): void {
    share.policy.close();
    this.#shares.delete(share);
    for (const { endpoint } of share.subjects) this.#byEndpoint.delete(endpoint);
  }
}
