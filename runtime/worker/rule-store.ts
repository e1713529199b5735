/**
 * What this worker can enforce: plugin images, rule sets by id with their compiled forms, and which
 * version serves a plugin reference (docs/decisions/0009), as the main thread last gave them. Rule
 * sets and forms never change under their key; one that is no longer wanted goes when the last
 * connection that uses it is gone (instances look after theirs).
 */
import type {
  FailurePolicy,
  Recording,
  RuleForm,
  RuleMode,
  RuleSet,
  Service,
  Trial,
} from "../contract/control.ts";
import type { PluginImage } from "../isolate/types.ts";

/** A rule set as posted to workers: without its forms. */
export type RuleSetTerms = Omit<RuleSet, "forms">;

/** A form as posted to workers: decoded. */
export interface LoadedForm {
  ruleSet: number;
  digest: string;
  /** Not a view of one: Deno takes those apart byte by byte, a second for 2 MiB. */
  compiled: ArrayBuffer;
  patterns: RuleForm["patterns"];
}

/** A full match of one regular expression in linear time (RE2 semantics). */
export type Matcher = (bytes: Uint8Array) => boolean;

export interface StateChange {
  revision: number;
  /** New here; what a worker already has is not posted again. */
  images: PluginImage[];
  ruleSets: RuleSetTerms[];
  forms: LoadedForm[];
  /** Everything else is no longer wanted. */
  keepPlugins: string[];
  keepRuleSets: number[];
  /** All of them. Only versions whose image the workers have can be active or on trial. */
  services: Service[];
  /** Versions that serve no new connections, and when those they have are closed. */
  draining: { digest: string; untilMs: number }[];
  /** Absent: nothing is recorded. */
  recordings?: Recording[];
}

/** What serves a connection with given rule sets. */
export interface Choice {
  mode: RuleMode;
  failure: FailurePolicy;
  /** Reference that the rule sets name. */
  plugin: string;
  /** Undefined: there is none, or it has no form of the rules. */
  image: PluginImage | undefined;
  trial: Trial | undefined;
}

export type ChoiceRefusal = "unknown_rules" | "two_plugins";

const MODES: readonly RuleMode[] = ["observe", "audit", "enforce"];

export class RuleStore {
  readonly #compilePattern: (source: string) => Matcher;
  readonly #images = new Map<string, PluginImage>();
  readonly #ruleSets = new Map<number, RuleSetTerms>();
  /** Rule set id → digest → form. */
  readonly #forms = new Map<number, Map<string, LoadedForm>>();
  readonly #matchers = new Map<number, Matcher>();
  #services = new Map<string, Service>();
  #draining: StateChange["draining"] = [];
  #recordings: readonly Recording[] = [];
  revision = 0;

  constructor(compilePattern: (source: string) => Matcher) {
    this.#compilePattern = compilePattern;
  }

  /** All or nothing. Throws when a pattern or a version that is to serve cannot be used. */
  apply(change: StateChange): void {
    const known = new Set([...this.#images.keys(), ...change.images.map(({ digest }) => digest)]);
    for (const { plugin, active } of change.services) {
      if (active !== null && !known.has(active)) {
        throw new Error(`Cannot serve plugin ${plugin}: version ${active} is not there`);
      }
    }
    const matchers = new Map<number, Matcher>();
    for (const { handle, source } of change.forms.flatMap((form) => form.patterns)) {
      if (!this.#matchers.has(handle)) matchers.set(handle, this.#compilePattern(source));
    }
    for (const image of change.images) this.#images.set(image.digest, image);
    for (const ruleSet of change.ruleSets) this.#ruleSets.set(ruleSet.id, ruleSet);
    for (const [handle, matcher] of matchers) this.#matchers.set(handle, matcher);
    for (const form of change.forms) this.#addForm(form);
    this.#services = new Map(change.services.map((service) => [service.plugin, service]));
    this.#draining = change.draining;
    this.#recordings = change.recordings ?? [];
    this.#forget(new Set(change.keepPlugins), new Set(change.keepRuleSets));
    this.revision = change.revision;
  }

  #addForm(form: LoadedForm): void {
    let forms = this.#forms.get(form.ruleSet);
    if (forms === undefined) {
      forms = new Map();
      this.#forms.set(form.ruleSet, forms);
    }
    forms.set(form.digest, form);
  }

  #forget(keepPlugins: ReadonlySet<string>, keepRuleSets: ReadonlySet<number>): void {
    for (const digest of this.#images.keys()) {
      if (!keepPlugins.has(digest)) this.#images.delete(digest);
    }
    for (const id of this.#ruleSets.keys()) {
      if (!keepRuleSets.has(id)) this.#ruleSets.delete(id);
    }
    for (const [id, forms] of this.#forms) {
      if (!keepRuleSets.has(id)) {
        this.#forms.delete(id);
        continue;
      }
      for (const digest of forms.keys()) if (!keepPlugins.has(digest)) forms.delete(digest);
    }
  }

  get draining(): StateChange["draining"] {
    return this.#draining;
  }

  get recordings(): readonly Recording[] {
    return this.#recordings;
  }

  image(digest: string): PluginImage | undefined {
    return this.#images.get(digest);
  }

  ruleSet(id: number): RuleSetTerms | undefined {
    return this.#ruleSets.get(id);
  }

  /** The rule set as a version compiled it. */
  form(id: number, digest: string): LoadedForm | undefined {
    return this.#forms.get(id)?.get(digest);
  }

  /** Whether new connections may get this version. */
  mayServe(digest: string): boolean {
    for (const { active, trial } of this.#services.values()) {
      if (active === digest || trial?.digest === digest) return true;
    }
    return false;
  }

  /** Trials of all services. */
  trials(): Trial[] {
    return [...this.#services.values()].flatMap(({ trial }) => (trial === undefined ? [] : trial));
  }

  /** The strictest terms of rule sets; undefined: one is not there, or there is none. */
  terms(ids: readonly number[]): Pick<Choice, "mode" | "failure"> | undefined {
    let terms: Choice | undefined;
    for (const id of ids) {
      const ruleSet = this.#ruleSets.get(id);
      if (ruleSet === undefined) return undefined;
      const one = this.#choice(ruleSet);
      terms = terms === undefined ? one : strictest(terms, one);
    }
    return terms;
  }

  /** For a connection with these rule sets (at least one, at most one of each end's policy). */
  choose(ids: readonly number[]): Choice | ChoiceRefusal {
    let choice: Choice | undefined;
    for (const id of ids) {
      const terms = this.#ruleSets.get(id);
      if (terms === undefined) return "unknown_rules";
      const one = this.#choice(terms);
      if (choice === undefined) choice = one;
      else if (nameOf(choice.plugin) !== nameOf(one.plugin)) return "two_plugins";
      else if (
        choice.image !== undefined &&
        one.image !== undefined &&
        choice.image.digest !== one.image.digest
      ) {
        return "two_plugins";
      } else choice = strictest(choice, one);
    }
    return choice ?? "unknown_rules";
  }

  #choice({ id, plugin, mode, failure }: RuleSetTerms): Choice {
    const service = this.#services.get(plugin);
    const active = service?.active ?? undefined;
    const served = active !== undefined && this.form(id, active) !== undefined;
    const image = served ? this.#images.get(active) : undefined;
    const { trial } = service ?? {};
    const tried =
      trial !== undefined &&
      (trial.ruleSets.length === 0 || trial.ruleSets.includes(id)) &&
      this.form(id, trial.digest) !== undefined;
    return { mode, failure, plugin, image, trial: tried ? trial : undefined };
  }

  /** A handle nobody knows matches nothing, which denies. */
  match(handle: number, bytes: Uint8Array): boolean {
    return this.#matchers.get(handle)?.(bytes) ?? false;
  }
}

/** Of `NAME` or `NAME@VERSION`. */
function nameOf(reference: string): string {
  return reference.split("@", 1)[0] ?? "";
}

/** Both ends' terms at once. A trial needs both ends' consent. */
function strictest(a: Choice, b: Choice): Choice {
  return {
    mode: MODES.indexOf(a.mode) > MODES.indexOf(b.mode) ? a.mode : b.mode,
    failure: a.failure === "closed" ? "closed" : b.failure,
    plugin: a.plugin,
    image: a.image === undefined || b.image === undefined ? undefined : a.image,
    trial: a.trial !== undefined && a.trial.id === b.trial?.id ? a.trial : undefined,
  };
}
