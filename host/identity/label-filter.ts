/**
 * Which labels make an identity. Labels that differ between pods of one workload (template hash,
 * pod index, …) would give each pod an identity of its own; the filter keeps them out. Rules and
 * their precedence are Cilium's (policy-semantics.md, section 3).
 */
import { RE2JS } from "re2js";
import type { Label } from "../policy/types.ts";
import {
  SOURCE_CIDR,
  SOURCE_CIDR_GROUP,
  SOURCE_FQDN,
  SOURCE_NODE,
  SOURCE_RESERVED,
} from "./label.ts";

export interface LabelFilterRule {
  exclude: boolean;
  /** "" is every source. */
  source: string;
  /** Characters matched at the start of the key, -1 for none; the length decides between rules. */
  matchedLength: (key: string) => number;
}

export interface LabelFilter {
  rules: readonly LabelFilterRule[];
  /** Set by one include of the operator's: then a label needs an include to stay. */
  allowList: boolean;
}

export class LabelFilterError extends Error {
  override name = "LabelFilterError";
}

const DEFAULT_RULES = [
  `${SOURCE_RESERVED}:.*`,
  String.raw`io\.kubernetes\.pod\.namespace`,
  String.raw`io\.cilium\.k8s\.namespace\.labels`,
  String.raw`app\.kubernetes\.io`,
  String.raw`io\.cilium\.k8s\.policy\.cluster`,
  String.raw`io\.cilium\.k8s\.policy\.serviceaccount`,
  String.raw`!io\.kubernetes`,
  String.raw`!kubernetes\.io`,
  String.raw`!statefulset\.kubernetes\.io/pod-name`,
  String.raw`!apps\.kubernetes\.io/pod-index`,
  String.raw`!batch\.kubernetes\.io/job-completion-index`,
  String.raw`!batch\.kubernetes\.io/controller-uid`,
  String.raw`!.*beta\.kubernetes\.io`,
  String.raw`!k8s\.io`,
  "!pod-template-generation",
  "!pod-template-hash",
  "!controller-revision-hash",
  "!annotation.*",
  "!controller-uid",
  "!etcd_node",
  String.raw`!topology\.kubernetes\.io`,
] as const;

/**
 * The default rules followed by the operator's. A rule is `[source:][!]pattern`; the pattern is
 * anchored at the start of the key.
 */
export function createLabelFilter(operatorRules: readonly string[] = []): LabelFilter {
  const added = operatorRules.filter((text) => text !== "").map(parseRule);
  return {
    rules: [...DEFAULT_RULES.map((text) => parseRule(text)), ...added],
    allowList: added.some((rule) => !rule.exclude),
  };
}

function parseRule(text: string): LabelFilterRule {
  const colon = text.indexOf(":");
  const source = colon < 0 ? "" : text.slice(0, colon);
  const rest = text.slice(colon + 1);
  const exclude = rest.startsWith("!");
  const pattern = exclude ? rest.slice(1) : rest;
  if (pattern === "") {
    throw new LabelFilterError(
      `Cannot read label filter ${JSON.stringify(text)}: it has no pattern`,
    );
  }
  try {
    // Pods choose the keys, so the pattern must run in linear time.
    const compiled = RE2JS.compile(pattern);
    const matchedLength = (key: string): number => {
      const matcher = compiled.matcher(key);
      return matcher.lookingAt() ? matcher.end() : -1;
    };
    return { exclude, source, matchedLength };
  } catch (cause) {
    throw new LabelFilterError(
      `Cannot read label filter ${JSON.stringify(text)}: its pattern does not compile`,
      { cause },
    );
  }
}

/** Sources of labels that are never a pod's. */
const UNFILTERED = new Set([SOURCE_NODE, SOURCE_CIDR, SOURCE_CIDR_GROUP, SOURCE_FQDN]);

/**
 * The labels that count for the identity, in their order. Those of a node all do: policies choose
 * nodes by `kubernetes.io/hostname` and the like, which mean nothing on a pod. So do those of
 * prefixes: without one of them an address would be somebody else.
 */
export function filterLabels(labels: readonly Label[], filter: LabelFilter): Label[] {
  return labels.filter((label) => UNFILTERED.has(label.source) || isKept(label, filter));
}

/** The longest include against the *shortest* exclude. */
function isKept(label: Label, filter: LabelFilter): boolean {
  let included = 0;
  let excluded = 0;
  for (const rule of filter.rules) {
    const length = matchedLength(rule, label);
    if (length < 0) continue;
    if (!rule.exclude) included = Math.max(included, length);
    else if (excluded === 0 || length < excluded) excluded = length;
  }
  return (!filter.allowList && excluded === 0) || included > excluded;
}

function matchedLength(rule: LabelFilterRule, label: Label): number {
  if (rule.source !== "" && rule.source !== label.source) return -1;
  return rule.matchedLength(label.key);
}
