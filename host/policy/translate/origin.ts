/** Names the policy object behind a rule, as flows and verdict events show it. */
import { formatLabel, k8sLabel, parseLabel, SOURCE_UNSPEC } from "../../identity/label.ts";
import type { RuleDocument } from "../document.ts";
import type { CiliumRule } from "../schema/cilium.ts";
import type { PolicyOrigin } from "../types.ts";

const KEY = "io.cilium.k8s.policy.";

export function originOf(
  document: RuleDocument,
  revision: number,
  rule?: CiliumRule,
): PolicyOrigin {
  const labels = [
    k8sLabel(`${KEY}derived-from`, document.kind),
    k8sLabel(`${KEY}name`, document.name),
  ];
  if (document.namespace !== "") labels.push(k8sLabel(`${KEY}namespace`, document.namespace));
  if (document.uid !== "") labels.push(k8sLabel(`${KEY}uid`, document.uid));
  for (const label of rule?.labels ?? []) {
    if (typeof label === "string") labels.push(parseLabel(label));
    else {
      const { source = SOURCE_UNSPEC, key, value = "" } = label;
      labels.push({ source, key, value });
    }
  }
  const log = rule?.log?.value;
  return {
    kind: document.kind,
    name: document.name,
    namespace: document.namespace,
    labels: labels.map(formatLabel).sort(),
    revision,
    ...(log ? { log } : {}),
  };
}
