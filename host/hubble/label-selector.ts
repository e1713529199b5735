/**
 * Kubernetes label selectors over labels with sources, as filters take them: `app=web`,
 * `k8s:app in (a, b), !reserved:host`. A key without source means any source.
 */
import { parseLabel, SOURCE_ANY } from "../identity/label.ts";
import type { Label } from "../policy/types.ts";
import { invalid } from "./pattern.ts";

export type LabelMatcher = (labels: readonly string[]) => boolean;

interface Key {
  readonly source: string;
  readonly key: string;
}

type Requirement = (labels: readonly Label[]) => boolean;

/** Longest selector taken from a client, in characters. */
const SELECTOR_LENGTH_MAX = 4_096;
/** A requirement ends at a comma that is not within parentheses. */
const REQUIREMENT = /(?:[^,()]|\([^()]*\))+/g;
const SET = /^(\S+)\s+(in|notin)\s*\(([^()]*)\)$/;
const COMPARISON = /^([^\s=!<>]+)\s*(==|=|!=|<|>)\s*([^\s=!<>]*)$/;
const EXISTENCE = /^(!?)\s*([^\s=!<>()]+)$/;
const INTEGER = /^[+-]?\d{1,15}$/;

/** Any of the selectors matches. Results are kept for each label array, which endpoints share. */
export function compileSelectors(field: string, selectors: readonly string[]): LabelMatcher {
  const compiled = selectors.map((selector) => compileSelector(field, selector));
  const results = new WeakMap<readonly string[], boolean>();
  return (texts) => {
    const known = results.get(texts);
    if (known !== undefined) return known;
    const labels = texts.map((text) => parseLabel(text));
    const result = compiled.some((requirements) => requirements.every((match) => match(labels)));
    results.set(texts, result);
    return result;
  };
}

function compileSelector(field: string, selector: string): Requirement[] {
  if (selector.length > SELECTOR_LENGTH_MAX) {
    throw invalid(field, `a selector is longer than ${SELECTOR_LENGTH_MAX} characters`);
  }
  if (selector.trim() === "") return [];
  const parts = selector.match(REQUIREMENT) ?? [];
  // What the parts and the commas between them do not cover is a stray parenthesis or comma.
  if (parts.join(",") !== selector)
    throw invalid(field, `${JSON.stringify(selector)} is no selector`);
  return parts.map((part) => compileRequirement(field, part.trim()));
}

function compileRequirement(field: string, text: string): Requirement {
  const set = SET.exec(text);
  if (set !== null) {
    const [, name = "", operator, list = ""] = set;
    const values = new Set(list.split(",").map((value) => value.trim()));
    return membership(keyOf(name), values, operator === "in");
  }
  const comparison = COMPARISON.exec(text);
  if (comparison !== null) {
    const [, name = "", operator = "", value = ""] = comparison;
    if (operator === "<" || operator === ">") return order(field, keyOf(name), operator, value);
    return membership(keyOf(name), new Set([value]), operator !== "!=");
  }
  const existence = EXISTENCE.exec(text);
  if (existence === null) throw invalid(field, `${JSON.stringify(text)} is no requirement`);
  const [, not, name = ""] = existence;
  const key = keyOf(name);
  return (labels) => (find(labels, key) !== undefined) === (not === "");
}

/** Also true for absent keys when `wanted` is false, as Kubernetes has it. */
function membership(key: Key, values: ReadonlySet<string>, wanted: boolean): Requirement {
  return (labels) => {
    const label = find(labels, key);
    return (label !== undefined && values.has(label.value)) === wanted;
  };
}

function order(field: string, key: Key, operator: string, text: string): Requirement {
  if (!INTEGER.test(text)) throw invalid(field, `${JSON.stringify(text)} is no integer`);
  const bound = Number(text);
  return (labels) => {
    const value = find(labels, key)?.value ?? "";
    if (!INTEGER.test(value)) return false;
    return operator === "<" ? Number(value) < bound : Number(value) > bound;
  };
}

function find(labels: readonly Label[], { source, key }: Key): Label | undefined {
  return labels.find(
    (label) => label.key === key && (source === SOURCE_ANY || label.source === source),
  );
}

function keyOf(text: string): Key {
  const colon = text.indexOf(":");
  if (colon < 0) return { source: SOURCE_ANY, key: text };
  return { source: text.slice(0, colon), key: text.slice(colon + 1) };
}
