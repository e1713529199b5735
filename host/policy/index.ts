/** What the rest of the host uses of the policy language. */
export { type ApplyFeatures, validateForApply } from "./apply.ts";
export {
  documentKey,
  type PolicyDocument,
  type PolicyFileDeps,
  type PolicyKind,
  parsePolicyFile,
} from "./document.ts";
export { createLookup, OriginCookies, type PolicyDecision, type PolicyPacket } from "./lookup.ts";
export type { PolicyProblem } from "./problem.ts";
export {
  cidrPrefixesOf,
  PolicyRefusedError,
  PolicyRepository,
  type PolicyRepositoryOptions,
  type StoredPolicy,
} from "./repository.ts";
export { PolicyConflictError, type ResolveOptions, resolvePolicy } from "./resolver.ts";
export { SelectorCache } from "./selector-cache.ts";
export type * from "./types.ts";
