/**
 * The policy of one subject in both directions, kept up to date. Endpoints that no rule tells apart
 * share one. When policies contradict each other it stays as it was, and starts anew with the next
 * change.
 */
import { IDENTITY } from "../identity/reserved.ts";
import { countingRules } from "./isolation.ts";
import type { PortNames } from "./resolve/contribution.ts";
import { DirectionPolicy, type SelectionChanges } from "./resolve/direction-policy.ts";
import type { EntrySet } from "./resolve/entries.ts";
import { portKeyParts } from "./resolve/port-key.ts";
import type { Steps } from "./resolve/steps.ts";
import { DIRECTIONS, type Direction, type Rule } from "./rule.ts";
import type { SelectorCache } from "./selector-cache.ts";
import type { Identity, PolicySubject, ResolvedEntry, ResolvedPolicy } from "./types.ts";

/**
 * `default`: what no policy selects is open. `always`: both directions are enforced.
 * `never`: everything is allowed (Cilium's enable-policy).
 */
export type EnforcementMode = "default" | "always" | "never";

/** What the policies of a node share. */
export interface SubjectPolicyParts {
  cache: SelectorCache;
  steps: Steps;
  mode: EnforcementMode;
}

export class SubjectPolicy implements ResolvedPolicy {
  readonly #subject: PolicySubject;
  readonly #mode: EnforcementMode;
  readonly #directions: Readonly<Record<Direction, DirectionPolicy>>;
  #rules: readonly Rule[] | undefined;
  /** Those of them that count. */
  #counting: Readonly<Record<Direction, readonly Rule[]>> = { ingress: [], egress: [] };
  #version = 0;

  constructor(subject: PolicySubject, { cache, steps, mode }: SubjectPolicyParts) {
    this.#subject = subject;
    this.#mode = mode;
    this.#directions = {
      ingress: new DirectionPolicy("ingress", cache, steps),
      egress: new DirectionPolicy("egress", cache, steps),
    };
  }

  /** Rises with every update that changed entries. */
  get version(): number {
    return this.#version;
  }

  /** Whether any rule is for the subject. */
  get hasRules(): boolean {
    return this.#mode !== "never" && (this.#rules?.length ?? 0) > 0;
  }

  get ingressEnforced(): boolean {
    return this.#directions.ingress.enforced;
  }

  get egressEnforced(): boolean {
    return this.#directions.egress.enforced;
  }

  /** The number of entries. */
  get rows(): number {
    return this.#directions.ingress.rows + this.#directions.egress.rows;
  }

  /** All of them, made when asked for. */
  get entries(): readonly ResolvedEntry[] {
    const entries: ResolvedEntry[] = [];
    for (const direction of DIRECTIONS) {
      for (const [identity, set] of this.entrySets(direction)) {
        for (const entry of toEntries(set, identity, direction)) entries.push(entry);
      }
    }
    return entries;
  }

  /** Every identity with entries of its own, and 0, any peer. Equal entries are one object. */
  entrySets(direction: Direction): Iterable<[identity: number, EntrySet]> {
    return this.#directions[direction].entries();
  }

  /** Those of `entrySets`. */
  identities(direction: Direction): Iterable<number> {
    return this.#directions[direction].identities();
  }

  /** Of one identity; empty if it has none of its own. */
  entrySet(direction: Direction, identity: number): EntrySet {
    return this.#directions[direction].entriesOf(identity);
  }

  /** The same without saying whose, each once. */
  distinctEntrySets(direction: Direction): Iterable<EntrySet> {
    return this.#directions[direction].distinctEntries();
  }

  /** Identities whose entries may have changed since `settle`, with those they had then. Live. */
  before(direction: Direction): ReadonlyMap<number, EntrySet> {
    return this.#directions[direction].before;
  }

  settle(): void {
    for (const direction of DIRECTIONS) this.#directions[direction].settle();
  }

  /** Keys of the selectors it depends on. */
  *selectors(): Generator<string> {
    for (const direction of DIRECTIONS) yield* this.#directions[direction].selectors();
  }

  /**
   * `rules`: those that select the subject; the array of the last time if they are the same.
   * @throws PolicyConflictError and nothing has changed; it must not be updated again then.
   */
  update(rules: readonly Rule[], changes: SelectionChanges, names: PortNames): void {
    const rulesChanged = rules !== this.#rules;
    const counting = rulesChanged ? this.#countingOf(rules) : this.#counting;
    const commits = DIRECTIONS.map((direction) => {
      const enforced = this.#isEnforced(rules, direction);
      const input = { rules: counting[direction], enforced, subject: this.#subject, names };
      return this.#directions[direction].prepare(input, rulesChanged, changes);
    });
    const changed = commits.map((commit) => commit());
    this.#rules = rules;
    this.#counting = counting;
    if (changed.includes(true)) this.#version++;
  }

  #countingOf(rules: readonly Rule[]): Record<Direction, readonly Rule[]> {
    const applied = this.#mode === "never" ? rules.filter(onlyWatches) : rules;
    return {
      ingress: countingRules(applied, "ingress"),
      egress: countingRules(applied, "egress"),
    };
  }

  /** A node is never closed by a switch: it would lock its operator out. */
  #isEnforced(rules: readonly Rule[], direction: Direction): boolean {
    if (this.#mode === "never") return false;
    const { scope = "endpoint", identity } = this.#subject;
    if (scope === "endpoint" && (this.#mode === "always" || isInit(identity))) return true;
    return rules.some((rule) => rule.defaultDeny[direction]);
  }
}

function onlyWatches(rule: Rule): boolean {
  return rule.items.every(({ verdict }) => verdict === "watch");
}

/** Endpoints without labels yet are denied by default in both directions. */
function isInit(identity: Identity): boolean {
  return (
    identity.id === IDENTITY.init ||
    identity.labels.some(({ source, key }) => source === "reserved" && key === "init")
  );
}

/** Its entries as rows of the policy map of `identity`. */
export function toEntries(set: EntrySet, identity: number, direction: Direction): ResolvedEntry[] {
  const entries: ResolvedEntry[] = [];
  for (const [key, { precedence, verdict, l7, origins }] of set) {
    const { protocol, port, prefix: portPrefix } = portKeyParts(key);
    const deny = verdict === "deny";
    const place = { identity, direction, protocol, port, portPrefix };
    entries.push({ ...place, precedence, deny, ...(l7 ? { l7 } : {}), origins });
  }
  return entries;
}
