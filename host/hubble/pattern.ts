/**
 * Patterns of filters, all matched in linear time: the pattern comes from a client and the text
 * (URL, DNS name) from whoever sent the traffic, so a backtracking matcher would be a weapon.
 */
import { RE2JS } from "re2js";
import { HubbleError } from "./hubble-error.ts";

export type TextMatcher = (text: string) => boolean;

/** Longest pattern taken from a client, in characters. */
const PATTERN_LENGTH_MAX = 4_096;
/** A DNS name without its case, as node and cluster names are too. */
const NAME = "(?:[-0-9_a-z]+(?:\\.[-0-9_a-z]+)*)";

/** RE2 anywhere in the text. `field` names the filter in errors. */
export function compileRegex(field: string, source: string): TextMatcher {
  if (source.length > PATTERN_LENGTH_MAX) {
    throw invalid(field, `a pattern is longer than ${PATTERN_LENGTH_MAX} characters`);
  }
  try {
    const compiled = RE2JS.compile(source);
    return (text) => compiled.matcher(text).find();
  } catch (cause) {
    const reason = cause instanceof Error ? cause.message : String(cause);
    throw new HubbleError("invalid-argument", `Cannot use filter ${field}: ${reason}`, { cause });
  }
}

/** `*` is any run of name characters and dots; case and a trailing dot do not count. */
export function compileNameGlobs(field: string, globs: readonly string[]): TextMatcher {
  const expressions = globs.map((glob) => nameExpression(field, glob));
  const match = compileRegex(field, `^(?:${expressions.join("|")})$`);
  return (name) => match(canonicalName(name));
}

/** `node`, `cluster/node`, `cluster/`, `/node`, each part a glob. */
export function compileNodeGlobs(field: string, globs: readonly string[]): TextMatcher {
  const expressions = globs.map((glob) => {
    const parts = glob.split("/");
    if (glob === "" || parts.length > 2) throw invalid(field, `${JSON.stringify(glob)} is no node`);
    const [cluster, node] = parts.length === 2 ? parts : ["", glob];
    return `${partExpression(field, cluster)}/${partExpression(field, node)}`;
  });
  const match = compileRegex(field, `^(?:${expressions.join("|")})$`);
  return (name) => match(name.includes("/") ? name : `default/${name}`);
}

function partExpression(field: string, part: string | undefined): string {
  return part === undefined || part === "" ? NAME : nameExpression(field, part);
}

function nameExpression(field: string, glob: string): string {
  const name = canonicalName(glob.trim());
  if (!/^[-_.*0-9a-z]+$/.test(name) || name.endsWith(".")) {
    throw invalid(field, `${JSON.stringify(glob)} is no name pattern`);
  }
  return name.replaceAll(".", "\\.").replaceAll("*", "[-.0-9a-z]*");
}

function canonicalName(name: string): string {
  return (name.endsWith(".") ? name.slice(0, -1) : name).toLowerCase();
}

export function invalid(field: string, reason: string): HubbleError {
  return new HubbleError("invalid-argument", `Cannot use filter ${field}: ${reason}`);
}
