/**
 * What this worker can enforce: plugin images and rule sets by id, as the main thread last gave
 * them. Ids are content-addressed, so an entry never changes; one that is no longer wanted goes
 * when the last connection that uses it is gone (instances ask `has` when they look after theirs).
 */
import type { RuleSet } from "../contract/control.ts";
import type { PluginImage } from "../isolate/types.ts";

/** A rule set as posted to workers: decoded. */
export interface LoadedRuleSet {
  id: number;
  plugin: string;
  compiled: Uint8Array;
  patterns: RuleSet["patterns"];
}

/** A full match of one regular expression in linear time (RE2 semantics). */
export type Matcher = (bytes: Uint8Array) => boolean;

export interface StateChange {
  revision: number;
  /** New here; what a worker already has is not posted again. */
  images: PluginImage[];
  ruleSets: LoadedRuleSet[];
  /** Everything else is no longer wanted. */
  keepPlugins: string[];
  keepRuleSets: number[];
}

export class RuleStore {
  readonly #compilePattern: (source: string) => Matcher;
  readonly #images = new Map<string, PluginImage>();
  readonly #ruleSets = new Map<number, LoadedRuleSet>();
  readonly #matchers = new Map<number, Matcher>();
  revision = 0;

  constructor(compilePattern: (source: string) => Matcher) {
    this.#compilePattern = compilePattern;
  }

  /** All or nothing. Throws when a rule set names a plugin or a pattern that cannot be used. */
  apply(change: StateChange): void {
    const images = new Map(this.#images);
    for (const image of change.images) images.set(image.digest, image);
    const matchers = new Map<number, Matcher>();
    for (const ruleSet of change.ruleSets) {
      if (!images.has(ruleSet.plugin)) {
        throw new Error(`Cannot use rule set ${ruleSet.id}: plugin ${ruleSet.plugin} is not there`);
      }
      for (const { handle, source } of ruleSet.patterns) {
        if (!this.#matchers.has(handle)) matchers.set(handle, this.#compilePattern(source));
      }
    }
    const keepPlugins = new Set(change.keepPlugins);
    const keepRuleSets = new Set(change.keepRuleSets);
    for (const image of change.images) this.#images.set(image.digest, image);
    for (const ruleSet of change.ruleSets) this.#ruleSets.set(ruleSet.id, ruleSet);
    for (const [handle, matcher] of matchers) this.#matchers.set(handle, matcher);
    for (const digest of this.#images.keys()) {
      if (!keepPlugins.has(digest)) this.#images.delete(digest);
    }
    for (const id of this.#ruleSets.keys()) {
      if (!keepRuleSets.has(id)) this.#ruleSets.delete(id);
    }
    this.revision = change.revision;
  }

  image(digest: string): PluginImage | undefined {
    return this.#images.get(digest);
  }

  ruleSet(id: number): LoadedRuleSet | undefined {
    return this.#ruleSets.get(id);
  }

  /** A handle nobody knows matches nothing, which denies. */
  match(handle: number, bytes: Uint8Array): boolean {
    return this.#matchers.get(handle)?.(bytes) ?? false;
  }
}
