/**
 * The plugins as the enforcer sees them: which digest serves a reference, which versions the proxy
 * must have, which need a form of a rule set, and the forms. Only looks; what it says changes with
 * the lifecycle (`onChange`).
 */
import type { PluginVersion, RuleForm, Service, Trial } from "../../runtime/contract/control.ts";
import type { Manifest } from "../../runtime/contract/manifest.ts";
import type { L7Rules } from "../policy/types.ts";
import { PluginRequestError } from "./errors.ts";
import type { InstalledVersion, InstalledVersions } from "./installed-versions.ts";
import type { PluginLifecycle } from "./lifecycle.ts";
import { compileRules, type PatternNumbering } from "./rule-compiler.ts";

/** What host/enforce asks. A reference is `NAME`, or `NAME@VERSION` (pinned). */
export interface PluginCatalogView {
  services(references: Iterable<string>): Service[];
  /** What the proxy must have for these references, and what still drains. */
  versions(references: Iterable<string>): PluginVersion[];
  /** Of the versions that need a form of a rule set that asks for `reference`. */
  digestsFor(reference: string): string[];
  /**
   * What that version makes of the rules. Throws PluginRequestError, and what `compileRules`
   * throws.
   */
  compile(digest: string, rules: L7Rules["rules"], handleOf: PatternNumbering): RuleForm;
  /** Of the version that serves the reference; undefined when none does. */
  manifestFor(reference: string): Manifest | undefined;
  manifestOf(digest: string): Manifest | undefined;
  /** The listener settles when what the view says now is in force. */
  onChange(listener: () => Promise<void>): void;
}

export interface CatalogDeps {
  installed: InstalledVersions;
  lifecycle: PluginLifecycle;
  /** Ids of the rule sets in force that these policies have with plugin `name`. */
  ruleSetsOf: (name: string, policies: readonly string[]) => number[];
}

export class CatalogView implements PluginCatalogView {
  readonly #deps: CatalogDeps;

  constructor(deps: CatalogDeps) {
    this.#deps = deps;
  }

  services(references: Iterable<string>): Service[] {
    return [...new Set(references)].map((plugin) => {
      const trial = this.#trialOf(plugin);
      const active = this.#serving(plugin)?.digest ?? null;
      return { plugin, active, ...(trial === undefined ? {} : { trial }) };
    });
  }

  versions(references: Iterable<string>): PluginVersion[] {
    const { installed, lifecycle } = this.#deps;
    /** Digest → when it ends; undefined: it does not. */
    const wanted = new Map<string, number | undefined>();
    for (const { draining } of lifecycle.activations()) {
      for (const { digest, until } of draining) wanted.set(digest, until);
    }
    for (const reference of references) {
      for (const digest of this.#inService(reference)) wanted.set(digest, undefined);
    }
    return [...wanted].flatMap(([digest, drainUntil]): PluginVersion[] => {
      const row = installed.byDigest(digest);
      if (row === undefined) return [];
      const version = { digest, manifest: row.manifest, path: installed.pathOf(digest) };
      return [drainUntil === undefined ? version : { ...version, drainUntil }];
    });
  }

  digestsFor(reference: string): string[] {
    const { name, version } = parseReference(reference);
    const { draining } = this.#deps.lifecycle.activationOf(name);
    const old = version === undefined ? draining.map(({ digest }) => digest) : [];
    return [...new Set([...this.#inService(reference), ...old])];
  }

  compile(digest: string, rules: L7Rules["rules"], handleOf: PatternNumbering): RuleForm {
    const { installed } = this.#deps;
    if (installed.byDigest(digest) === undefined) {
      throw new PluginRequestError(404, `Cannot compile rules: plugin ${digest} is not installed`);
    }
    return compileRules(installed.image(digest), rules, handleOf);
  }

  manifestFor(reference: string): Manifest | undefined {
    return this.#serving(reference)?.manifest;
  }

  manifestOf(digest: string): Manifest | undefined {
    return this.#deps.installed.byDigest(digest)?.manifest;
  }

  onChange(listener: () => Promise<void>): void {
    this.#deps.lifecycle.onChange(listener);
  }

  #serving(reference: string): InstalledVersion | undefined {
    const { installed, lifecycle } = this.#deps;
    const { name, version } = parseReference(reference);
    if (version !== undefined) return installed.find(name, version);
    const { active } = lifecycle.activationOf(name);
    return active === undefined ? undefined : installed.byDigest(active);
  }

  /** Digests of the versions that may serve new connections or look at them. */
  #inService(reference: string): string[] {
    const { name, version } = parseReference(reference);
    const tried = version === undefined ? this.#deps.lifecycle.runningTrial(name) : undefined;
    return [this.#serving(reference)?.digest, tried?.digest].filter((one) => one !== undefined);
  }

  #trialOf(reference: string): Trial | undefined {
    const { lifecycle, ruleSetsOf } = this.#deps;
    const { name, version } = parseReference(reference);
    const trial = version === undefined ? lifecycle.runningTrial(name) : undefined;
    if (trial === undefined) return undefined;
    const { id, kind, digest, share, policies, stopOn } = trial;
    const ruleSets = policies.length === 0 ? [] : ruleSetsOf(name, policies);
    // An empty list means all of them; a trial whose policies are gone applies to none.
    if (policies.length > 0 && ruleSets.length === 0) return undefined;
    return { id, kind, digest, share, ruleSets, stopOn };
  }
}

/** `NAME` or `NAME@VERSION`. */
export function parseReference(reference: string): { name: string; version: string | undefined } {
  const at = reference.indexOf("@");
  if (at < 0) return { name: reference, version: undefined };
  return { name: reference.slice(0, at), version: reference.slice(at + 1) };
}
