/** Rules as short lines, to compare what policies are translated into. */
import { formatPrefix } from "../../identity/cidr.ts";
import type { PortMatch, Rule, RuleItem } from "../rule.ts";
import type { Requirement, Selector } from "../selector.ts";

/** `ingress allow [peer | peer] on [6/80 | all]`, with ` @priority` if it has one. */
export function itemText({ direction, verdict, priority, peers, ports }: RuleItem): string {
  const at = priority === undefined ? "" : ` @${priority}`;
  const on =
    ports === undefined ? "" : ` on [${ports.flatMap((p) => p.matches.map(portText)).join(" | ")}]`;
  return `${direction} ${verdict}${at} [${peers.map(selectorText).join(" | ")}]${on}`;
}

export function itemTexts(rules: readonly Rule[]): string[] {
  return rules.flatMap(({ items }) => items.map(itemText));
}

export function selectorText(selector: Selector): string {
  switch (selector.kind) {
    case "any":
      return "*";
    case "labels":
      return selector.requirements.map(requirementText).sort().join(" & ");
    case "cidr": {
      const except = selector.except.map((prefix) => ` -${formatPrefix(prefix)}`).join("");
      return formatPrefix(selector.prefix) + except;
    }
    case "group": {
      const needs = selector.requirements.map(requirementText).sort().join(" & ");
      return ["group", needs, ...selector.except.map((one) => `-${formatPrefix(one)}`)].join(" ");
    }
    default:
      return selector satisfies never;
  }
}

const SHORT: readonly (readonly [string, string])[] = [
  ["io.kubernetes.pod.namespace", "NS"],
  ["io.cilium.k8s.policy.cluster", "CLUSTER"],
  ["io.cilium.k8s.namespace.labels.", "NSLABEL."],
  ["io.cilium.policy.cidrgroupname/", "NAME/"],
];

function requirementText({ source, key, operator, values }: Requirement): string {
  const name = SHORT.reduce((text, [long, short]) => text.replace(long, short), key);
  const label = `${source}:${name}`;
  if (operator === "Exists") return label;
  if (operator === "DoesNotExist") return `!${label}`;
  return `${label}${operator === "In" ? "=" : "!="}${values.join(",")}`;
}

function portText(match: PortMatch): string {
  if (match.kind === "name") return `${match.protocol}/${match.name}`;
  const { protocol, first, last } = match;
  if (first === 0 && last === 0xffff) return `${protocol}/all`;
  return `${protocol}/${first}${last === first ? "" : `-${last}`}`;
}
