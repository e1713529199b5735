/** A policy document of any kind to rules. */
import type { PolicyDocument } from "../document.ts";
import type { Rule } from "../rule.ts";
import { translateCilium } from "./cilium.ts";
import type { TranslateOptions } from "./context.ts";
import { translateNetworkPolicy } from "./network-policy.ts";
import { translateTiered } from "./tiered.ts";
import { translateVisibility } from "./visibility.ts";

export type { TranslateOptions } from "./context.ts";

/** Empty for documents that only policies refer to. */
export function translate(document: PolicyDocument, options: TranslateOptions): Rule[] {
  switch (document.kind) {
    case "CiliumNetworkPolicy":
    case "CiliumClusterwideNetworkPolicy":
      return translateCilium(document, options);
    case "NetworkPolicy":
      return [translateNetworkPolicy(document, options)];
    case "ClusterNetworkPolicy":
    case "AdminNetworkPolicy":
    case "BaselineAdminNetworkPolicy":
      return [translateTiered(document, options)];
    case "VisibilityPolicy":
      return [translateVisibility(document, options.revision)];
    case "CiliumCIDRGroup":
      return [];
    default:
      return document satisfies never;
  }
}
