/**
 * The policies in force: documents by kind, namespace and name, their rules, and a revision that
 * rises with every change. Pure data; nothing here reaches an endpoint.
 */
import { formatPrefix, type Prefix, parseCidrLabelKey } from "../identity/cidr.ts";
import { DEFAULT_CLUSTER, SOURCE_CIDR } from "../identity/label.ts";
import { validateForApply } from "./apply.ts";
import {
  type CidrGroupDocument,
  documentKey,
  type PolicyDocument,
  withoutText,
} from "./document.ts";
import type { PolicyProblem } from "./problem.ts";
import type { ApplyFeatures } from "./refusal.ts";
import type { Rule } from "./rule.ts";
import type { Selector } from "./selector.ts";
import { type CidrGroup, NO_SOURCES, type PolicySources } from "./sources.ts";
import { translate } from "./translate/index.ts";
import { refersToOthers } from "./translate/reference.ts";

export interface PolicyRepositoryOptions {
  /** Name of the local cluster; `default` if absent. */
  cluster?: string;
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
  readonly #cluster: string;
  readonly #features: ApplyFeatures;
  readonly #others: PolicySources;
  readonly #policies = new Map<string, StoredPolicy>();
  /** Applied groups by name. */
  readonly #groups = new Map<string, CidrGroup>();
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
    this.#cluster = options.cluster ?? DEFAULT_CLUSTER;
    this.#features = options.features ?? {};
    this.#others = options.sources ?? NO_SOURCES;
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
    // Policies may refer to groups that come with them.
    for (const document of documents) this.#put(document, this.#revision);
    for (const document of documents) this.#translate(document, this.#revision);
    if (documents.some(isGroup)) this.#translateReferring(this.#revision);
    return this.#revision;
  }

  /**
   * Takes up a document that was accepted before, under the revision it had then; the repository's
   * own becomes at least that. @throws PolicyRefusedError
   */
  restore(document: PolicyDocument, revision: number): void {
    this.#refuse(document);
    this.#put(document, revision);
    this.#translate(document, revision);
    if (isGroup(document)) this.#translateReferring();
    this.startAt(revision);
  }

  /** The revision goes on from here, if it is not beyond it yet. */
  startAt(revision: number): void {
    this.#revision = Math.max(this.#revision, revision);
  }

  /**
   * Groups or services have changed: translates again what refers to them. The revision rises, and
   * the answer is true, if that makes a difference.
   */
  sourcesChanged(): boolean {
    const changed = this.#translateReferring(this.#revision + 1);
    if (changed) this.#revision++;
    return changed;
  }

  #refuse(document: PolicyDocument): void {
    const problems = validateForApply(document, this.#features);
    if (problems.length > 0) throw new PolicyRefusedError(document, problems);
  }

  #put(document: PolicyDocument, revision: number): void {
    this.#set({ document: withoutText(document), revision, rules: [] });
    if (isGroup(document)) this.#groups.set(document.name, document.group);
  }

  #translate(document: PolicyDocument, revision: number): void {
    const options = { cluster: this.#cluster, revision, sources: this.sources };
    const rules = translate(document, options);
    this.#set({ document: withoutText(document), revision, rules });
  }

  #set(policy: StoredPolicy): void {
    const key = documentKey(policy.document);
    this.#policies.set(key, policy);
    this.#touched.add(key);
    this.#rules = undefined;
  }

  /** Of those that come to something else, with this revision or the one they had. */
  #translateReferring(revision?: number): boolean {
    let changed = false;
    for (const { document, rules, revision: before } of [...this.#policies.values()]) {
      if (!refersToOthers(document)) continue;
      const options = { cluster: this.#cluster, revision: before, sources: this.sources };
      if (peersText(translate(document, options)) === peersText(rules)) continue;
      this.#translate(document, revision ?? before);
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
    if (key.kind === "CiliumCIDRGroup") {
      this.#groups.delete(key.name);
      this.#translateReferring(this.#revision);
    }
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
      cluster: this.#cluster,
      features: this.#features,
      sources: this.#others,
    });
    for (const [key, policy] of this.#policies) copy.#policies.set(key, policy);
    for (const [name, group] of this.#groups) copy.#groups.set(name, group);
    copy.#revision = this.#revision;
    copy.#rules = this.#rules;
    return copy;
  }
}

function isGroup(document: PolicyDocument): document is CidrGroupDocument {
  return document.kind === "CiliumCIDRGroup";
}

/** Equal for rules that differ in nothing but their revision: references are about peers only. */
function peersText(rules: readonly Rule[]): string {
  return JSON.stringify(
    rules.map(({ items }) => items.map(({ peers }) => peers.map(({ key }) => key))),
  );
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
