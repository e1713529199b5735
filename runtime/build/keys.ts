/**
 * The names of a manifest as constants for the plugin's source, so that a field that is renamed or
 * moved is a compile error and not a wrong record: records carry numbers, people think in names.
 * No two fields share a constant, whatever they are called.
 */
import type { Manifest } from "../contract/manifest.ts";

/** First line of every file that is written here, and of no other. */
export const KEYS_MARK = "// Written by 'imker plugin build' from plugin.json; do not edit.";

const RULE_KEYS = "RULE_KEYS";

/** Text of a plugin's `keys.ts`. */
export function keysSource(manifest: Manifest): string {
  const { records, rules } = manifest;
  const ruleKeys = Object.keys(rules.fields);
  return [
    KEYS_MARK,
    "/** The fields of records, and of rules, by the names plugin.json gives them. */",
    ...constants("REQUEST", records.request.fields),
    ...constants("RESPONSE", records.response.fields),
    `export const ${RULE_KEYS}: string[] = [${ruleKeys.map((key) => JSON.stringify(key)).join(", ")}];`,
    ...constants("RULE", ruleKeys),
    "",
  ].join("\n");
}

function constants(prefix: string, names: readonly string[]): string[] {
  const wanted = names.map((name) => constantName(prefix, name));
  return names.map((name, key) => {
    const short = wanted[key] ?? "";
    const taken = short === RULE_KEYS || wanted.filter((one) => one === short).length > 1;
    return `export const ${taken ? exactName(prefix, name) : short}: i32 = ${key};`;
  });
}

/** `headerMatches.N.name` of rules is RULE_HEADER_MATCHES_N_NAME; others may be the same. */
function constantName(prefix: string, name: string): string {
  const words = name.replaceAll(/([a-z0-9])([A-Z])/g, "$1_$2").split(/[^A-Za-z0-9]+/);
  return [prefix, ...words.filter((word) => word !== "")].join("_").toUpperCase();
}

/**
 * Behind two underscores, which no other name has: letters and digits as they are, in capitals, and
 * everything else (capitals too) as its code in hexadecimal. `keys` of rules is RULE__KEYS, `a-b`
 * is RULE__A_2D_B.
 */
function exactName(prefix: string, name: string): string {
  const exact = name.replaceAll(
    /[^a-z0-9]/gu,
    (mark) => `_${mark.codePointAt(0)?.toString(16).toUpperCase() ?? ""}_`,
  );
  return `${prefix}__${exact.toUpperCase()}`;
}
