/**
 * From the rules of a policy to what one version of a plugin makes of them. `compile` is plugin
 * code: it runs here as it would in the proxy, sandboxed and metered.
 */
import type { RuleForm } from "../../runtime/contract/control.ts";
import type { Manifest } from "../../runtime/contract/manifest.ts";
import { instantiate } from "../../runtime/isolate/index.ts";
import type { PluginImage, PluginRule } from "../../runtime/isolate/types.ts";
import { compilePattern, createMatcher } from "../../runtime/regex/index.ts";
import type { L7Rules } from "../policy/types.ts";
import { PluginRequestError } from "./errors.ts";

/** Gives a pattern its number, unique and stable over the agent's life (and its restarts). */
export type PatternNumbering = (source: string) => number;

/**
 * Throws PluginRequestError when the manifest has no such rule field, PluginRuleError and
 * PluginFault (runtime/isolate) when the plugin refuses a rule or fails, PatternError
 * (runtime/regex) for a bad expression.
 */
export function compileRules(
  image: PluginImage,
  rules: L7Rules["rules"],
  handleOf: PatternNumbering,
): RuleForm {
  const patterns = new Map<number, string>();
  const note = (source: string): number => {
    const handle = handleOf(source);
    patterns.set(handle, source);
    return handle;
  };
  const prepared = rules.map((rule) =>
    rule.map((field) => prepareField(image.manifest, field, note)),
  );
  // Made once: a plugin may ask as often as its budget allows.
  const matchers = new Map(
    [...patterns].map(([handle, source]) => [handle, createMatcher(source)]),
  );
  const instance = instantiate(image, {
    emit: () => {},
    log: () => {},
    match: (handle, bytes) => matchers.get(handle)?.(bytes) ?? false,
  });
  return {
    digest: image.digest,
    compiled: Buffer.from(instance.compile(prepared)).toString("base64"),
    patterns: [...patterns].map(([handle, source]) => ({ handle, source })),
  };
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
  const { fields } = manifest.rules;
  const key = manifestKey(field.key);
  // The key comes from a policy: "constructor" must not be found on the prototype.
  const described = Object.hasOwn(fields, key) ? fields[key] : undefined;
  if (described === undefined) {
    throw new PluginRequestError(
      422,
      `Cannot use rule field "${field.key}": plugin ${manifest.name} ${manifest.version} has ` +
        (Object.keys(fields).join(", ") || "none"),
    );
  }
  if (described.match === "literal") return { ...field, pattern: { kind: "literal" } };
  const compiled = compilePattern(field.value);
  if (compiled.kind === "automaton") {
    return { ...field, pattern: { kind: "automaton", table: compiled.table } };
  }
  return { ...field, pattern: { kind: "handle", handle: handleOf(field.value) } };
}
