/**
 * One policy in both directions, kept up to date: of all subjects that no rule tells apart. When
 * policies contradict each other it stays as it was, and starts anew with the next change.
 */
import { IDENTITY } from "../identity/reserved.ts";
import { countingRules } from "./isolation.ts";
import type { Combinations } from "./resolve/combinations.ts";
import { DirectionPolicy, type SelectionChanges } from "./resolve/direction-policy.ts";
import type { EntrySet } from "./resolve/entries.ts";
import { portKeyParts } from "./resolve/port-key.ts";
import { PartReader, type PortNames } from "./resolve/rule-parts.ts";
import { Steps } from "./resolve/steps.ts";
import { DIRECTIONS, type Direction, type Rule } from "./rule.ts";
import type { SelectorCache } from "./selector-cache.ts";
import type { Identity, PolicySubject, ResolvedEntry, ResolvedPolicy } from "./types.ts";

/**
 * `default`: what no policy selects is open. `always`: both directions are enforced.
 * `never`: everything is allowed (Cilium's enable-policy).
 */
export type EnforcementMode = "default" | "always" | "never";

/** What the policies of a node share. */
export class PolicyParts {
  readonly cache: SelectorCache;
  readonly mode: EnforcementMode;
  readonly reader: PartReader;
  readonly steps = new Steps();
  #lastVersion = 0;

  constructor(cache: SelectorCache, mode: EnforcementMode) {
    this.cache = cache;
    this.mode = mode;
    this.reader = new PartReader(cache);
  }

  /** No other policy has it. */
  nextVersion(): number {
    return ++this.#lastVersion;
  }
}

/** Of one whom the policy is for; what counts of it is the same for all of them. */
export interface PolicyInput {
  subject: PolicySubject;
  /** Those that select the subject. */
  rules: readonly Rule[];
  names: PortNames;
}

export class SubjectPolicy implements ResolvedPolicy {
  readonly #parts: PolicyParts;
  #directions: Readonly<Record<Direction, DirectionPolicy>>;
  #rules: readonly Rule[] = [];
  /** 0: it was never computed. */
  #version = 0;
  #settled = -1;

  constructor(parts: PolicyParts) {
    this.#parts = parts;
    this.#directions = {
      ingress: new DirectionPolicy("ingress", parts),
      egress: new DirectionPolicy("egress", parts),
    };
  }

  /** Policies of one lineage have versions that can be compared. */
  get lineage(): object {
    return this.#parts;
  }

  /** Another one with every update that changed entries; equal versions, equal entries. */
  get version(): number {
    return this.#version;
  }

  /** That of the last `settle`, where changes start. */
  get settled(): number {
    return this.#settled;
  }

  /** Whether any rule is for the subject. */
  get hasRules(): boolean {
    return this.#parts.mode !== "never" && this.#rules.length > 0;
  }

  get ingressEnforced(): boolean {
    return this.#directions.ingress.enforced;
  }

  get egressEnforced(): boolean {
    return this.#directions.egress.enforced;
  }

  /** The number of entries. */
  get rows(): number {
    const { ingress, egress } = this.#directions;
    return ingress.combinations.rows + egress.combinations.rows;
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
    return this.#of(direction).entries();
  }

  /** Those of `entrySets`. */
  identities(direction: Direction): Iterable<number> {
    return this.#of(direction).identities();
  }

  /** Of one identity; empty if it has none of its own. */
  entrySet(direction: Direction, identity: number): EntrySet {
    return this.#of(direction).entriesOf(identity);
  }

  /** The same without saying whose, each once. */
  distinctEntrySets(direction: Direction): Iterable<EntrySet> {
    return this.#of(direction).distinctEntries();
  }

  /** As `entrySets`, for many. */
  eachEntrySet(direction: Direction, visit: (entries: EntrySet, identity: number) => void): void {
    this.#of(direction).each(visit);
  }

  /** How many identities have entries of their own, with 0 (any peer). */
  peers(direction: Direction): number {
    return this.#of(direction).peers;
  }

  /** How many identities may have other entries than at `settle`. */
  changed(direction: Direction): number {
    return this.#of(direction).changed;
  }

  /** Those, with the entries that they had then and have now. */
  eachChanged(
    direction: Direction,
    visit: (before: EntrySet, now: EntrySet, identity: number) => void,
  ): void {
    this.#of(direction).eachChanged(visit);
  }

  settle(): void {
    for (const direction of DIRECTIONS) this.#of(direction).settle();
    this.#settled = this.#version;
  }

  /** The same, to be changed apart from this: what was written for this was written for both. */
  fork(): SubjectPolicy {
    const copy = new SubjectPolicy(this.#parts);
    const { ingress, egress } = this.#directions;
    copy.#directions = { ingress: ingress.fork(), egress: egress.fork() };
    copy.#rules = this.#rules;
    copy.#version = this.#version;
    copy.#settled = this.#settled;
    return copy;
  }

  /** It is not to be used any more. */
  close(): void {
    for (const direction of DIRECTIONS) this.#directions[direction].close();
  }

  /** @throws PolicyConflictError and nothing has changed; it must not be updated again then. */
  update({ subject, rules, names }: PolicyInput, changes: SelectionChanges): void {
    const applied = this.#parts.mode === "never" ? rules.filter(onlyWatches) : rules;
    const commits = DIRECTIONS.map((direction) => {
      const enforced = this.#isEnforced(subject, rules, direction);
      const counting = countingRules(applied, direction);
      const input = { rules: counting, enforced, subject, names };
      return this.#directions[direction].prepare(input, changes);
    });
    const changed = commits.map((commit) => commit());
    this.#rules = rules;
    if (changed.includes(true) || this.#version === 0) this.#version = this.#parts.nextVersion();
  }

  #of(direction: Direction): Combinations {
    return this.#directions[direction].combinations;
  }

  /** A node is never closed by a switch: it would lock its operator out. */
  #isEnforced(
    { scope = "endpoint", identity }: PolicySubject,
    rules: readonly Rule[],
    direction: Direction,
  ): boolean {
    const { mode } = this.#parts;
    if (mode === "never") return false;
    if (scope === "endpoint" && (mode === "always" || isInit(identity))) return true;
    return rules.some((rule) => rule.defaultDeny[direction]);
  }
}

/** What of a subject counts for its policy beside the rules that select it, as text. */
export function subjectKind({ scope = "endpoint", identity, namedPorts }: PolicySubject): string {
  const ports = namedPorts.map((one) => `${one.name}/${one.port}/${one.protocol}`);
  return JSON.stringify([scope, isInit(identity), ports]);
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
