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
  /** Ids of the rule sets that these policies have with plugin `name`; those in force, by name. */
  ruleSetsOf: (name: string, policies: readonly string[]) => number[];
}

export function createCatalogView({
  installed,
  lifecycle,
  ruleSetsOf,
}: CatalogDeps): PluginCatalogView {
  const pinned = (name: string, version: string): InstalledVersion | undefined =>
    installed.find(name, version);
  const servingDigest = (reference: string): string | undefined => {
    const { name, version } = parseReference(reference);
    if (version !== undefined) return pinned(name, version)?.digest;
    return lifecycle.activationOf(name).active;
  };
  const trialOf = (name: string): Trial | undefined => {
    const trial = lifecycle.runningTrial(name);
    if (trial === undefined) return undefined;
    const { id, kind, digest, share, policies, stopOn } = trial;
    const ruleSets = policies.length === 0 ? [] : ruleSetsOf(name, policies);
    // An empty list means all of them; a trial whose policies are gone applies to none.
    if (policies.length > 0 && ruleSets.length === 0) return undefined;
    return { id, kind, digest, share, ruleSets, stopOn };
  };
  const digestsFor = (reference: string): string[] => {
    const { name, version } = parseReference(reference);
    const serving = servingDigest(reference);
    const found = serving === undefined ? [] : [serving];
    if (version === undefined) {
      const tried = lifecycle.runningTrial(name)?.digest;
      if (tried !== undefined) found.push(tried);
      found.push(...lifecycle.activationOf(name).draining.map(({ digest }) => digest));
    }
    return [...new Set(found)];
  };
  return {
    services: (references) =>
      [...new Set(references)].map((plugin): Service => {
        const { name, version } = parseReference(plugin);
        const trial = version === undefined ? trialOf(name) : undefined;
        const active = servingDigest(plugin) ?? null;
        return { plugin, active, ...(trial === undefined ? {} : { trial }) };
      }),
    versions: (references) => versionsFor({ installed, lifecycle }, references, servingDigest),
    digestsFor,
    compile: (digest, rules, handleOf) => {
      if (installed.byDigest(digest) === undefined) {
        throw new PluginRequestError(
          404,
          `Cannot compile rules: plugin ${digest} is not installed`,
        );
      }
      return compileRules(installed.image(digest), rules, handleOf);
    },
    manifestFor: (reference) => {
      const digest = servingDigest(reference);
      return digest === undefined ? undefined : installed.byDigest(digest)?.manifest;
    },
    manifestOf: (digest) => installed.byDigest(digest)?.manifest,
    onChange: (listener) => lifecycle.onChange(listener),
  };
}

function versionsFor(
  { installed, lifecycle }: Pick<CatalogDeps, "installed" | "lifecycle">,
  references: Iterable<string>,
  servingDigest: (reference: string) => string | undefined,
): PluginVersion[] {
  /** Digest → when it ends; undefined: it does not. */
  const wanted = new Map<string, number | undefined>();
  for (const { draining } of lifecycle.activations()) {
    for (const { digest, until } of draining) wanted.set(digest, until);
  }
  for (const reference of references) {
    const serving = servingDigest(reference);
    if (serving !== undefined) wanted.set(serving, undefined);
    const tried = reference.includes("@") ? undefined : lifecycle.runningTrial(reference)?.digest;
    if (tried !== undefined) wanted.set(tried, undefined);
  }
  return [...wanted].flatMap(([digest, drainUntil]): PluginVersion[] => {
    const row = installed.byDigest(digest);
    if (row === undefined) return [];
    const version = { digest, manifest: row.manifest, path: installed.pathOf(digest) };
    return [drainUntil === undefined ? version : { ...version, drainUntil }];
  });
}

/** `NAME` or `NAME@VERSION`. */
export function parseReference(reference: string): { name: string; version: string | undefined } {
  const at = reference.indexOf("@");
  if (at < 0) return { name: reference, version: undefined };
  return { name: reference.slice(0, at), version: reference.slice(at + 1) };
}
