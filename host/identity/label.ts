/**
 * Labels: their text form, order and the keys that carry meaning. A label is `source:key=value`;
 * where it came from (pod, kernel of the system, address) is its source. Which labels make an
 * identity is label-filter.ts, which number an identity has is allocator.ts.
 */
import type { Label } from "../policy/types.ts";

export const SOURCE_K8S = "k8s";
export const SOURCE_RESERVED = "reserved";
export const SOURCE_CIDR = "cidr";
/** Of a CiliumCIDRGroup, on the identities of its prefixes: its own labels, and its name. */
export const SOURCE_CIDR_GROUP = "cidrgroup";
/** Of a DNS name, on the identities of the addresses it led to. */
export const SOURCE_FQDN = "fqdn";
/** Labels of a node, on the identity of its addresses. */
export const SOURCE_NODE = "node";
/** In a selector: every source. Never the source of an endpoint's label. */
export const SOURCE_ANY = "any";
/** What a label text without a source gets. */
export const SOURCE_UNSPEC = "unspec";

export const KEY_NAMESPACE = "io.kubernetes.pod.namespace";
/** Prefix (with its dot) of the labels of the pod's namespace. */
export const KEY_NAMESPACE_LABELS = "io.cilium.k8s.namespace.labels.";
export const KEY_CLUSTER = "io.cilium.k8s.policy.cluster";
export const KEY_SERVICE_ACCOUNT = "io.cilium.k8s.policy.serviceaccount";

export const DEFAULT_CLUSTER = "default";

/**
 * `source:key=value`. The source ends at the first colon, the key at the first `=` behind it, so
 * values may hold both. Text that starts with `$` names a reserved label.
 */
export function parseLabel(text: string, defaultSource: string = SOURCE_UNSPEC): Label {
  if (text.startsWith("$")) return { ...splitValue(text.slice(1)), source: SOURCE_RESERVED };
  const colon = text.indexOf(":");
  const equals = text.indexOf("=");
  if (colon < 0 || (equals >= 0 && equals < colon)) {
    return { ...splitValue(text), source: defaultSource };
  }
  return {
    ...splitValue(text.slice(colon + 1)),
    source: colon === 0 ? defaultSource : text.slice(0, colon),
  };
}

function splitValue(text: string): { key: string; value: string } {
  const equals = text.indexOf("=");
  if (equals < 0) return { key: text, value: "" };
  return { key: text.slice(0, equals), value: text.slice(equals + 1) };
}

/** Inverse of `parseLabel`; a label without value has no `=`, as in `reserved:host`. */
export function formatLabel(label: Label): string {
  const value = label.value === "" ? "" : `=${label.value}`;
  return `${label.source}:${label.key}${value}`;
}

/** Ascending by text; duplicates are dropped. */
export function sortLabels(labels: Iterable<Label>): Label[] {
  const byText = new Map<string, Label>();
  for (const label of labels) byText.set(formatLabel(label), label);
  return [...byText.entries()].sort(([a], [b]) => (a < b ? -1 : 1)).map(([, label]) => label);
}

/**
 * Equal for equal label sets, whatever their order; Cilium's text, which is part of keys that
 * agents share: by label key, every label with its `=` and a `;`.
 */
export function labelSetKey(labels: Iterable<Label>): string {
  return sortLabels(labels)
    .sort((a, b) => compare(a.key, b.key) || compare(a.source, b.source))
    .map(({ source, key, value }) => `${source}:${key}=${value};`)
    .join("");
}

function compare(a: string, b: string): number {
  return a < b ? -1 : Number(a > b);
}

/** Inverse of `labelSetKey`. Kubernetes forbids `;` in keys and values. */
export function parseLabelSetKey(key: string): Label[] {
  return key
    .split(";")
    .filter((text) => text !== "")
    .map((text) => parseLabel(text));
}

export function reservedLabel(name: string): Label {
  return { source: SOURCE_RESERVED, key: name, value: "" };
}

export function k8sLabel(key: string, value: string): Label {
  return { source: SOURCE_K8S, key, value };
}
