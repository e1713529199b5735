/**
 * The plugins this agent can put in force: packages on disk, verified by digest, and the
 * compiling of policy rules to a plugin's own form. Plugins run sandboxed here as they do in the
 * proxy: `compile` is plugin code.
 */
import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import type { PluginVersion, RuleForm } from "../../runtime/contract/control.ts";
import type { Manifest } from "../../runtime/contract/manifest.ts";
import { readPackage } from "../../runtime/contract/package.ts";
import { instantiate, prepareImage } from "../../runtime/isolate/index.ts";
import type { PluginImage, PluginRule } from "../../runtime/isolate/types.ts";
import { compilePattern, createMatcher } from "../../runtime/regex/index.ts";
import type { L7Rules } from "../policy/types.ts";

export class PluginError extends Error {
  override readonly name = "PluginError";
}

/** Gives a pattern its number, unique and stable over the agent's life (and its restarts). */
export type PatternNumbering = (source: string) => number;

interface CatalogEntry {
  version: PluginVersion;
  image: PluginImage;
}

export class PluginCatalog {
  readonly #entries = new Map<string, CatalogEntry>();

  /** Loads every `<folder>/<name>/plugin.wasm`. Throws PluginError naming the bad one. */
  static load(folder: string): PluginCatalog {
    const catalog = new PluginCatalog();
    for (const name of readdirSync(folder).sort()) catalog.#add(join(folder, name));
    return catalog;
  }

  #add(folder: string): void {
    const path = join(folder, "plugin.wasm");
    try {
      const { digest, manifest, body } = readPackage(readFileSync(path));
      const image = prepareImage(body, { digest, manifest });
      this.#entries.set(manifest.name, { version: { digest, manifest, path }, image });
    } catch (cause) {
      const reason = cause instanceof Error ? cause.message : String(cause);
      throw new PluginError(`Cannot load the plugin in ${folder}: ${reason}`, { cause });
    }
  }

  versions(): PluginVersion[] {
    return [...this.#entries.values()].map((entry) => entry.version);
  }

  manifestOf(digest: string): Manifest | undefined {
    return this.versions().find((version) => version.digest === digest)?.manifest;
  }

  /** @throws PluginError when it is not installed. */
  digestOf(name: string): string {
    return this.#entry(name).version.digest;
  }

  /**
   * @throws PluginError when there is no such plugin (or version), PluginRuleError
   * (runtime/isolate)
   *   when the plugin refuses a rule, PatternError (runtime/regex) for a bad expression.
   */
  compile(l7: L7Rules, handleOf: PatternNumbering): RuleForm {
    const entry = this.#entry(l7.plugin);
    const { manifest, digest } = entry.version;
    if (l7.version !== undefined && l7.version !== manifest.version) {
      throw new PluginError(
        `Cannot use plugin "${l7.plugin}@${l7.version}": version ${manifest.version} is installed`,
      );
    }
    const patterns = new Map<number, string>();
    const note = (source: string): number => {
      const handle = handleOf(source);
      patterns.set(handle, source);
      return handle;
    };
    const rules = l7.rules.map((rule) => rule.map((field) => prepareField(manifest, field, note)));
    const instance = instantiate(entry.image, {
      emit: () => {},
      log: () => {},
      match: (handle, bytes) => {
        const source = patterns.get(handle);
        return source !== undefined && createMatcher(source)(bytes);
      },
    });
    const compiled = instance.compile(rules);
    return {
      digest,
      compiled: Buffer.from(compiled).toString("base64"),
      patterns: [...patterns].map(([handle, source]) => ({ handle, source })),
    };
  }

  #entry(name: string): CatalogEntry {
    const entry = this.#entries.get(name);
    if (entry !== undefined) return entry;
    const known = [...this.#entries.keys()].join(", ") || "none";
    throw new PluginError(`Cannot use plugin "${name}": not installed (installed: ${known})`);
  }
}

/** `headerMatches.0.name` is described by the manifest under `headerMatches.N.name`. */
function manifestKey(key: string): string {
  return key.replaceAll(/\.\d+(?=\.|$)/g, ".N");
}

function prepareField(
  manifest: Manifest,
  field: { key: string; value: string },
  handleOf: PatternNumbering,
): PluginRule[number] {
  const described = manifest.rules.fields[manifestKey(field.key)];
  if (described === undefined) {
    const known = Object.keys(manifest.rules.fields).join(", ");
    throw new PluginError(
      `Cannot use rule field "${field.key}": plugin ${manifest.name} has ${known}`,
    );
  }
  if (described.match === "literal") return { ...field, pattern: { kind: "literal" } };
  const compiled = compilePattern(field.value);
  if (compiled.kind === "automaton") {
    return { ...field, pattern: { kind: "automaton", table: compiled.table } };
  }
  return { ...field, pattern: { kind: "handle", handle: handleOf(field.value) } };
}
