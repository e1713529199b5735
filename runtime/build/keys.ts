/**
 * The names of a manifest as constants for the plugin's source, so that a field that is renamed or
 * moved is a compile error and not a wrong record: records carry numbers, people think in names.
 */
import type { Manifest } from "../contract/manifest.ts";

/** Text of a plugin's `keys.ts`. */
export function keysSource(manifest: Manifest): string {
  const { records, rules } = manifest;
  const ruleKeys = Object.keys(rules.fields);
  return [
    "// Written by 'imker plugin build' from plugin.json; do not edit.",
    "/** The fields of records, and of rules, by the names plugin.json gives them. */",
    ...records.request.fields.map((name, key) => constant("REQUEST", name, key)),
    ...records.response.fields.map((name, key) => constant("RESPONSE", name, key)),
    `export const RULE_KEYS: string[] = [${ruleKeys.map((key) => JSON.stringify(key)).join(", ")}];`,
    ...ruleKeys.map((name, key) => constant("RULE", name, key)),
    "",
  ].join("\n");
}

/** `headerMatches.N.name` of rules is RULE_HEADER_MATCHES_N_NAME. */
function constant(prefix: string, name: string, key: number): string {
  const words = name.replaceAll(/([a-z0-9])([A-Z])/g, "$1_$2").replaceAll(/[^A-Za-z0-9]+/g, "_");
  return `export const ${prefix}_${words.toUpperCase()}: i32 = ${key};`;
}
