/** What the rest of the host uses of identities. */
export { IdentityAllocator, type IdentityAllocatorDeps } from "./allocator.ts";
export { cidrLabels, formatPrefix, parseAddress, parsePrefix } from "./cidr.ts";
export { DEFAULT_CLUSTER, formatLabel, labelSetKey, parseLabel, sortLabels } from "./label.ts";
export {
  createLabelFilter,
  filterLabels,
  type LabelFilter,
  LabelFilterError,
} from "./label-filter.ts";
export { IdentityAllocationError, type IdentityChange } from "./numbers.ts";
export { type PodMetadata, podLabels } from "./pod-labels.ts";
export { IDENTITY, RESERVED_IDENTITIES } from "./reserved.ts";
