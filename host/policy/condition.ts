/**
 * What keeps an accepted policy from being in force as written: a plugin it names is not there, not
 * in the version it names, or cannot be used; a group or service it refers to is not there. As
 * data, for `status` and for the list of policies.
 */
import { type PolicyKind, policyKeyText } from "./document.ts";
import { formatPluginReference, type PluginReference } from "./plugin-reference.ts";
import { formatPath } from "./problem.ts";
import type { PolicyRepository, StoredPolicy } from "./repository.ts";
import { type Reference, referencesOf } from "./translate/reference.ts";
import type { L7Rules } from "./types.ts";

/** What the agent knows of a plugin now. */
export type PluginState =
  | { kind: "ready" }
  /** No version is active. */
  | { kind: "unknown" }
  /** The plugin is there, the pinned version is not. */
  | { kind: "version-missing" }
  /** It is installed and cannot be loaded, compiled or started. */
  | { kind: "unavailable"; reason: string };

export type PluginStates = (reference: PluginReference) => PluginState;

export interface PolicyCondition {
  policy: { kind: PolicyKind; namespace: string; name: string };
  type:
    | "PluginUnknown"
    | "PluginVersionMissing"
    | "PluginUnavailable"
    | "PolicyMapFull"
    | "ConfirmationPending"
    | MissingType;
  /** `NAME` or `NAME@VERSION`, as the policy has it; absent if it is not about a plugin. */
  plugin?: string;
  /** A sentence for people: what is wrong, and what becomes of the traffic. */
  message: string;
}

type MissingType = "CIDRGroupMissing" | "ServiceMissing";

/** In the order of the policies, each plugin of a policy once; empty when all is well. */
export function policyConditions(
  repository: PolicyRepository,
  plugins: PluginStates,
): PolicyCondition[] {
  return repository
    .list()
    .flatMap((stored) => [
      ...conditionsOf(stored, plugins),
      ...missingReferences(stored, repository),
    ]);
}

const MISSING: Readonly<Record<Reference["kind"], MissingType>> = {
  "cidr-group": "CIDRGroupMissing",
  service: "ServiceMissing",
};

function missingReferences(
  { document }: StoredPolicy,
  { sources }: PolicyRepository,
): PolicyCondition[] {
  const { kind, namespace, name } = document;
  return referencesOf(document, sources)
    .filter(({ found }) => !found)
    .map((reference) => ({
      policy: { kind, namespace, name },
      type: MISSING[reference.kind],
      message:
        `${policyKeyText(document)}: ${formatPath(reference.path)}: there is no ` +
        `${reference.text}; it selects nobody`,
    }));
}

function conditionsOf({ document, rules }: StoredPolicy, plugins: PluginStates): PolicyCondition[] {
  const conditions = new Map<string, PolicyCondition>();
  const { kind, namespace, name } = document;
  for (const { l7 } of rules.flatMap(({ items }) => items.flatMap(({ ports }) => ports ?? []))) {
    const found = l7 && missing(l7.rules, plugins);
    if (!l7 || !found) continue;
    const plugin = formatPluginReference(referenceOf(l7.rules));
    const effect = l7.rules.failure === "open" ? "passes unseen" : "is denied";
    const message =
      `${policyKeyText(document)}: ${found.what.replace("%", plugin)}; ` +
      `the traffic it is for ${effect}`;
    conditions.set(plugin, {
      policy: { kind, namespace, name },
      type: found.type,
      plugin,
      message,
    });
  }
  return [...conditions.values()];
}

function referenceOf({ plugin, version }: L7Rules): PluginReference {
  return version === undefined ? { name: plugin } : { name: plugin, version };
}

/** `%` stands for the plugin. */
function missing(
  rules: L7Rules,
  plugins: PluginStates,
): { type: PolicyCondition["type"]; what: string } | undefined {
  const state = plugins(referenceOf(rules));
  switch (state.kind) {
    case "ready":
      return undefined;
    case "unknown":
      return {
        type: "PluginUnknown",
        what: "plugin % is not installed, or no version of it is active",
      };
    case "version-missing":
      return { type: "PluginVersionMissing", what: "this version of plugin % is not installed" };
    case "unavailable":
      return { type: "PluginUnavailable", what: `plugin % cannot be used: ${state.reason}` };
    default:
      return state satisfies never;
  }
}
