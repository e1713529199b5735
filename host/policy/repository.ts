/**
 * The policies in force: documents by kind, namespace and name, their rules, and a revision that
 * rises with every change. Pure data; nothing here reaches an endpoint.
 */
import { formatPrefix, type Prefix, parseCidrLabelKey } from "../identity/cidr.ts";
import { DEFAULT_CLUSTER, SOURCE_CIDR } from "../identity/label.ts";
import { type ApplyFeatures, validateForApply } from "./apply.ts";
import { documentKey, type PolicyDocument } from "./document.ts";
import type { PolicyProblem } from "./problem.ts";
import type { Rule } from "./rule.ts";
import type { Selector } from "./selector.ts";
import { translate } from "./translate/index.ts";

export interface PolicyRepositoryOptions {
  /** Name of the local cluster; `default` if absent. */
  cluster?: string;
  features?: ApplyFeatures;
}

export interface StoredPolicy {
  document: PolicyDocument;
  /** Of the repository, when this document came in. */
  revision: number;
  rules: readonly Rule[];
}

/** A document holds fields that would not be enforced. */
export class PolicyRefusedError extends Error {
  override name = "PolicyRefusedError";
  readonly problems: readonly PolicyProblem[];

  constructor(document: PolicyDocument, problems: readonly PolicyProblem[]) {
    const first = problems[0];
    super(`Cannot apply ${document.kind} ${document.name}: ${first?.path}: ${first?.message}`);
    this.problems = problems;
  }
}

export class PolicyRepository {
  readonly #cluster: string;
  readonly #features: ApplyFeatures;
  readonly #policies = new Map<string, StoredPolicy>();
  #revision = 1;

  constructor(options: PolicyRepositoryOptions = {}) {
    this.#cluster = options.cluster ?? DEFAULT_CLUSTER;
    this.#features = options.features ?? {};
  }

  get revision(): number {
    return this.#revision;
  }

  /**
   * Adds or replaces one document; returns the new revision.
   * @throws PolicyRefusedError and changes nothing if a field of it would not be enforced.
   */
  upsert(document: PolicyDocument): number {
    return this.upsertAll([document]);
  }

  /** All of them under one revision, or none. @throws PolicyRefusedError */
  upsertAll(documents: readonly PolicyDocument[]): number {
    const revision = this.#revision + 1;
    const stored = documents.map((document): StoredPolicy => {
      const problems = validateForApply(document, this.#features);
      if (problems.length > 0) throw new PolicyRefusedError(document, problems);
      const rules = translate(document, { cluster: this.#cluster, revision });
      return { document, revision, rules };
    });
    for (const policy of stored) this.#policies.set(documentKey(policy.document), policy);
    this.#revision = revision;
    return revision;
  }

  /**
   * Takes up a document that was accepted before, under the revision it had then; the repository's
   * own becomes at least that. @throws PolicyRefusedError
   */
  restore(document: PolicyDocument, revision: number): void {
    const problems = validateForApply(document, this.#features);
    if (problems.length > 0) throw new PolicyRefusedError(document, problems);
    const rules = translate(document, { cluster: this.#cluster, revision });
    this.#policies.set(documentKey(document), { document, revision, rules });
    this.startAt(revision);
  }

  /** The revision goes on from here, if it is not beyond it yet. */
  startAt(revision: number): void {
    this.#revision = Math.max(this.#revision, revision);
  }

  /** False if there is none; the revision rises only if there was one. */
  delete(key: Pick<PolicyDocument, "kind" | "namespace" | "name">): boolean {
    const deleted = this.#policies.delete(documentKey(key));
    if (deleted) this.#revision++;
    return deleted;
  }

  get(key: Pick<PolicyDocument, "kind" | "namespace" | "name">): StoredPolicy | undefined {
    return this.#policies.get(documentKey(key));
  }

  /** In the order of their keys. */
  list(): StoredPolicy[] {
    return [...this.#policies.entries()].sort(([a], [b]) => (a < b ? -1 : 1)).map(([, p]) => p);
  }

  /** Rules of all policies. */
  *rules(): Generator<Rule> {
    for (const policy of this.#policies.values()) yield* policy.rules;
  }

  /**
   * The same documents under the same revision, to try a change on: apply to the copy, resolve,
   * and only then apply here.
   */
  clone(): PolicyRepository {
    const copy = new PolicyRepository({ cluster: this.#cluster, features: this.#features });
    for (const [key, policy] of this.#policies) copy.#policies.set(key, policy);
    copy.#revision = this.#revision;
    return copy;
  }
}

/**
 * Prefixes that need an ipcache entry with an identity of their own for these policies to mean
 * what they say: every prefix and every exception. `0.0.0.0/0` and `::/0` are left out: they are
 * the world identity of their family, which every unlisted address has.
 */
export function cidrPrefixesOf(source: PolicyRepository | Iterable<Rule>): string[] {
  const rules = source instanceof PolicyRepository ? source.rules() : source;
  const prefixes = new Set<string>();
  const add = (prefix: Prefix) => {
    if (prefix.length > 0) prefixes.add(formatPrefix(prefix));
  };
  for (const rule of rules) {
    for (const { peers } of rule.items) {
      for (const peer of peers) {
        for (const prefix of prefixesOf(peer)) add(prefix);
      }
    }
  }
  return [...prefixes].sort();
}

/** `cidr:` labels may also be written into a selector by hand. */
function prefixesOf(selector: Selector): Prefix[] {
  switch (selector.kind) {
    case "any":
      return [];
    case "cidr":
      return [selector.prefix, ...selector.except];
    case "labels":
      return selector.requirements
        .filter(({ source }) => source === SOURCE_CIDR)
        .map(({ key }) => parseCidrLabelKey(key))
        .filter((prefix) => prefix !== undefined);
    default:
      return selector satisfies never;
  }
}
