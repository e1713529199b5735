/** A policy document of any kind to rules. */
import type { PolicyDocument } from "../document.ts";
import type { Rule } from "../rule.ts";
import { translateCilium } from "./cilium.ts";
import { translateNetworkPolicy } from "./network-policy.ts";
import { translateVisibility } from "./visibility.ts";

export interface TranslateOptions {
  /** Name of the local cluster: peers without a cluster label are pods of this one. */
  cluster: string;
  /** Number shown with every decision of these rules. */
  revision: number;
}

export function translate(document: PolicyDocument, options: TranslateOptions): Rule[] {
  const { cluster, revision } = options;
  if (document.kind === "NetworkPolicy")
    return [translateNetworkPolicy(document, cluster, revision)];
  if (document.kind === "VisibilityPolicy") return [translateVisibility(document, revision)];
  return translateCilium(document, cluster, revision);
}
