/** Selectors, ports, L7 rules and levels in the words of this explanation. */
import { formatPrefix, parseCidrLabelKey } from "../../identity/cidr.ts";
import {
  formatLabel,
  KEY_CLUSTER,
  KEY_NAMESPACE,
  KEY_NAMESPACE_LABELS,
  SOURCE_ANY,
  SOURCE_CIDR,
  SOURCE_K8S,
} from "../../identity/label.ts";
import { policyKeyText } from "../document.ts";
import { type PortMatch, PROTOCOL, type RuleL7 } from "../rule.ts";
import type { Requirement, Selector } from "../selector.ts";
import type { Identity, L7Rules, Label, PolicyOrigin } from "../types.ts";
import type { L7View } from "./types.ts";

const PROTOCOL_NAMES = new Map<number, string>([
  [0, "ANY"],
  [1, "ICMP"],
  [2, "IGMP"],
  [4, "IPIP"],
  [6, "TCP"],
  [17, "UDP"],
  [41, "IPV6"],
  [47, "GRE"],
  [50, "ESP"],
  [51, "AH"],
  [58, "ICMPv6"],
  [112, "VRRP"],
  [132, "SCTP"],
]);

export function protocolName(protocol: number): string {
  return PROTOCOL_NAMES.get(protocol) ?? `protocol ${protocol}`;
}

/** By name in capitals, ICMPv6 also as it is written; undefined if there is none. */
export function protocolNumber(name: string): number | undefined {
  const wanted = name.toUpperCase();
  for (const [number, known] of PROTOCOL_NAMES) if (known.toUpperCase() === wanted) return number;
  return undefined;
}

function isIcmp(protocol: number): boolean {
  return protocol === PROTOCOL.icmp || protocol === PROTOCOL.icmpv6;
}

/** Ports `first` to `last`, inclusive; ICMP has types instead. */
export function rangeText(protocol: number, first: number, last: number): string {
  if (protocol === PROTOCOL.any) return "every other protocol";
  const name = protocolName(protocol);
  if (first === 0 && last >= 0xffff) return `all ${name}`;
  const [from, to] = isIcmp(protocol) ? [first >>> 8, last >>> 8] : [first, last];
  return from === to ? `${from}/${name}` : `${from}-${to}/${name}`;
}

export function portText(match: PortMatch): string {
  if (match.kind === "name") return `${match.name}/${protocolName(match.protocol)}`;
  if (match.protocol === PROTOCOL.any) return "all ports";
  return rangeText(match.protocol, match.first, match.last);
}

export function selectorText(selector: Selector): string {
  switch (selector.kind) {
    case "any":
      return "anyone";
    case "cidr": {
      const except = selector.except.map(formatPrefix).join(", ");
      return `${formatPrefix(selector.prefix)}${except === "" ? "" : ` except ${except}`}`;
    }
    case "group": {
      const except = selector.except.map(formatPrefix).join(", ");
      const needs = selector.requirements.map(requirementText).join(", ");
      return `${needs || "any CIDR group"}${except === "" ? "" : ` except ${except}`}`;
    }
    case "labels":
      if (selector.requirements.length === 0) return "every identity";
      return selector.requirements.map(requirementText).join(", ");
    default:
      return selector satisfies never;
  }
}

/** The keys that scope every selector have short names. */
const SHORT_KEYS: Readonly<Record<string, string>> = {
  [KEY_NAMESPACE]: "namespace",
  [KEY_CLUSTER]: "cluster",
};

function requirementText({ source, key, operator, values }: Requirement): string {
  const short = SHORT_KEYS[key];
  const name = short ?? (source === SOURCE_ANY ? key : `${source}:${key}`);
  const [first = ""] = values;
  switch (operator) {
    case "In":
      return values.length === 1 ? `${name}=${first}` : `${name} in (${values.join(", ")})`;
    case "NotIn":
      return values.length === 1 ? `${name}!=${first}` : `${name} not in (${values.join(", ")})`;
    case "Exists":
      return short === undefined ? name : `any ${name}`;
    case "DoesNotExist":
      return `no ${name}`;
    default:
      return operator satisfies never;
  }
}

export function l7View({ plugin, version, mode, failure, rules }: L7Rules): L7View {
  const texts = rules.map((rule) => rule.map(({ key, value }) => `${key}=${value}`).join(" "));
  return {
    plugin,
    ...(version === undefined ? {} : { version }),
    mode: mode ?? "enforce",
    failure: failure ?? "closed",
    rules: texts.map((text) => (text === "" ? "*" : text)),
  };
}

export function ruleL7View(l7: RuleL7 | undefined): { l7?: L7View } {
  return l7 ? { l7: l7View(l7.rules) } : {};
}

/** Each once, in order of first appearance. */
export function policyNames(origins: Iterable<PolicyOrigin>): string[] {
  return [...new Set([...origins].map(policyKeyText))];
}

/** Labels that every pod of a namespace has. */
const PLACE_KEYS: readonly string[] = [KEY_NAMESPACE, KEY_CLUSTER];

/**
 * Labels as an end of a trace is written: `ns:shop,app=web`, `reserved:host`, `cidr:10.0.0.0/8`.
 * The cluster and the labels of the namespace are left out.
 */
export function identityText({ id, labels }: Identity): string {
  const prefix = labels.find(({ source }) => source === SOURCE_CIDR);
  const parsed = prefix && parseCidrLabelKey(prefix.key);
  if (parsed) return `cidr:${formatPrefix(parsed)}`;
  const namespace = labels.find(({ key }) => key === KEY_NAMESPACE)?.value;
  const own = labels
    .filter(({ key }) => !PLACE_KEYS.includes(key) && !key.startsWith(KEY_NAMESPACE_LABELS))
    .map((label) => (label.source === SOURCE_K8S ? shortLabel(label) : formatLabel(label)));
  const parts = namespace === undefined ? own : [`ns:${namespace}`, ...own];
  return parts.length === 0 ? `identity ${id}` : parts.join(",");
}

function shortLabel({ key, value }: Label): string {
  return `${key}=${value}`;
}

/** Ranges of ports. `protocols`: so many are told apart; if all of all are there, that is said. */
export function regionTexts(
  regions: readonly { protocol: number; first: number; last: number }[],
  protocols: number,
): string[] {
  const isWhole = regions.every(({ first, last }) => first === 0 && last === 0xffff);
  if (isWhole && regions.length === protocols) return ["all ports"];
  return regions.map(({ protocol, first, last }) => rangeText(protocol, first, last));
}
