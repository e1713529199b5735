/**
 * The policies in force: documents by kind, namespace and name, their rules, and a revision that
 * rises with every change. Pure data; nothing here reaches an endpoint.
 */
import { DEFAULT_CLUSTER } from "../identity/label.ts";
import { validateForApply } from "./apply.ts";
import { documentKey, type PolicyDocument, withoutText } from "./document.ts";
import type { PolicyProblem } from "./problem.ts";
import type { ApplyFeatures } from "./refusal.ts";
import type { Rule } from "./rule.ts";
import { type CidrGroup, NO_SOURCES, type PolicySources } from "./sources.ts";
import type { PeerClusters } from "./translate/context.ts";
import { translate } from "./translate/index.ts";
import { refersToServices } from "./translate/reference.ts";

export interface PolicyRepositoryOptions {
  /** Name of the local cluster; `default` if absent. */
  cluster?: string;
  /** As of PeerClusters. */
  anyCluster?: boolean;
  features?: ApplyFeatures;
  /** What policies refer to, beside the groups that were applied themselves. */
  sources?: PolicySources;
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
  readonly #clusters: PeerClusters;
  readonly #features: ApplyFeatures;
  readonly #others: PolicySources;
  readonly #policies = new Map<string, StoredPolicy>();
  /** Applied groups by name. */
  readonly #groups = new Map<string, CidrGroup>();
  /** Those of `sources` as they were last: an unchanged one is the object it was. */
  #otherGroups: readonly CidrGroup[];
  #revision = 1;
  #rules: readonly Rule[] | undefined;
  /** Keys of what was put or deleted since this is a copy. */
  readonly #touched = new Set<string>();
  /** Groups and services as policies see them; of two groups of one name the applied one counts. */
  readonly sources: PolicySources = {
    cidrGroups: () => this.#cidrGroups(),
    services: () => this.#others.services(),
  };

  constructor(options: PolicyRepositoryOptions = {}) {
    const { cluster = DEFAULT_CLUSTER, anyCluster = false } = options;
    this.#clusters = { cluster, anyCluster };
    this.#features = options.features ?? {};
    this.#others = options.sources ?? NO_SOURCES;
    this.#otherGroups = [...this.#others.cidrGroups()];
  }

  get revision(): number {
    return this.#revision;
  }

  /** How many policies there are. */
  get size(): number {
    return this.#policies.size;
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
    for (const document of documents) this.#refuse(document);
    this.#revision++;
    for (const document of documents) this.#put(document, this.#revision);
    return this.#revision;
  }

  /**
   * Takes up a document that was accepted before, under the revision it had then; the repository's
   * own becomes at least that. @throws PolicyRefusedError
   */
  restore(document: PolicyDocument, revision: number): void {
    this.#refuse(document);
    this.#put(document, revision);
    this.startAt(revision);
  }

  /** The revision goes on from here, if it is not beyond it yet. */
  startAt(revision: number): void {
    this.#revision = Math.max(this.#revision, revision);
  }

  /**
   * Groups or services may have changed: translates again what refers to services. The revision
   * rises, and the answer is true, if anything is different.
   */
  sourcesChanged(): boolean {
    const isTranslated = this.#translateReferring(this.#revision + 1);
    const groups = [...this.#others.cidrGroups()];
    const isRegrouped = !sameObjects(groups, this.#otherGroups);
    this.#otherGroups = groups;
    if (isTranslated || isRegrouped) this.#revision++;
    return isTranslated || isRegrouped;
  }

  #refuse(document: PolicyDocument): void {
    const problems = validateForApply(document, this.#features);
    if (problems.length > 0) throw new PolicyRefusedError(document, problems);
  }

  #put(document: PolicyDocument, revision: number): void {
    const options = { ...this.#clusters, revision, sources: this.sources };
    const rules = translate(document, options);
    this.#set({ document: withoutText(document), revision, rules });
    if (document.kind === "CiliumCIDRGroup") this.#groups.set(document.name, document.group);
  }

  #set(policy: StoredPolicy): void {
    const key = documentKey(policy.document);
    this.#policies.set(key, policy);
    this.#touched.add(key);
    this.#rules = undefined;
  }

  /** Of those that come to something else, with this revision. */
  #translateReferring(revision: number): boolean {
    let changed = false;
    for (const { document, rules, revision: before } of [...this.#policies.values()]) {
      if (!refersToServices(document)) continue;
      const options = { ...this.#clusters, revision: before, sources: this.sources };
      if (peersText(translate(document, options)) === peersText(rules)) continue;
      this.#put(document, revision);
      changed = true;
    }
    return changed;
  }

  *#cidrGroups(): Generator<CidrGroup> {
    yield* this.#groups.values();
    for (const group of this.#others.cidrGroups()) {
      if (!this.#groups.has(group.name)) yield group;
    }
  }

  /** False if there is none; the revision rises only if there was one. */
  delete(key: Pick<PolicyDocument, "kind" | "namespace" | "name">): boolean {
    const text = documentKey(key);
    if (!this.#policies.delete(text)) return false;
    this.#touched.add(text);
    this.#rules = undefined;
    this.#revision++;
    if (key.kind === "CiliumCIDRGroup") this.#groups.delete(key.name);
    return true;
  }

  get(key: Pick<PolicyDocument, "kind" | "namespace" | "name">): StoredPolicy | undefined {
    return this.#policies.get(documentKey(key));
  }

  /** In the order of their keys. */
  list(): StoredPolicy[] {
    return [...this.#policies.entries()].sort(([a], [b]) => (a < b ? -1 : 1)).map(([, p]) => p);
  }

  /** Rules of all policies; the same array until one of these changes. */
  rules(): readonly Rule[] {
    this.#rules ??= [...this.#policies.values()].flatMap(({ rules }) => rules);
    return this.#rules;
  }

  /** What a copy has that it was not made with, and keys of what it no longer has. */
  changes(): { stored: StoredPolicy[]; deleted: string[] } {
    const changes: { stored: StoredPolicy[]; deleted: string[] } = { stored: [], deleted: [] };
    for (const key of this.#touched) {
      const policy = this.#policies.get(key);
      if (policy) changes.stored.push(policy);
      else changes.deleted.push(key);
    }
    return changes;
  }

  /**
   * The same documents under the same revision, to try a change on: apply to the copy, resolve,
   * and only then apply here.
   */
  clone(): PolicyRepository {
    const copy = new PolicyRepository({
      ...this.#clusters,
      features: this.#features,
      sources: this.#others,
    });
    for (const [key, policy] of this.#policies) copy.#policies.set(key, policy);
    for (const [name, group] of this.#groups) copy.#groups.set(name, group);
    copy.#otherGroups = this.#otherGroups;
    copy.#revision = this.#revision;
    copy.#rules = this.#rules;
    return copy;
  }
}

/** Equal for rules that differ in nothing but their revision: references are about peers only. */
function peersText(rules: readonly Rule[]): string {
  return JSON.stringify(
    rules.map(({ items }) => items.map(({ peers }) => peers.map(({ key }) => key))),
  );
}

function sameObjects<T>(a: readonly T[], b: readonly T[]): boolean {
  return a.length === b.length && a.every((one, index) => one === b[index]);
}
