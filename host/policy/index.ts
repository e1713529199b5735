/** What the rest of the host uses of the policy language. */
export { validateForApply } from "./apply.ts";
export {
  type PluginState,
  type PluginStates,
  type PolicyCondition,
  policyConditions,
} from "./condition.ts";
export {
  documentKey,
  locateProblem,
  type PolicyDocument,
  type PolicyFileDeps,
  type PolicyKind,
  parsePolicyFile,
} from "./document.ts";
export { createLookup, OriginCookies, type PolicyDecision, type PolicyPacket } from "./lookup.ts";
export type { PluginLookup } from "./plugin-check.ts";
export {
  formatPluginReference,
  type PluginReference,
  parsePluginReference,
} from "./plugin-reference.ts";
export { namedPrefixes, PolicySayings } from "./prefix-sayings.ts";
export type { FieldPath, PolicyProblem } from "./problem.ts";
export type { ApplyFeatures } from "./refusal.ts";
export {
  PolicyRefusedError,
  PolicyRepository,
  type PolicyRepositoryOptions,
  type StoredPolicy,
} from "./repository.ts";
export { PolicyConflictError, type ResolveOptions, resolvePolicy } from "./resolver.ts";
export { flattenRule, manifestKey } from "./rule-fields.ts";
export { ruleSchemaOf } from "./rule-schema.ts";
export { SelectorCache } from "./selector-cache.ts";
export { type CidrGroup, NO_SOURCES, type PolicySources, type ServiceInfo } from "./sources.ts";
export { watchesOnly } from "./translate/l7.ts";
export type * from "./types.ts";
