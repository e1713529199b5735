/**
 * Sandboxed plugin execution: a component in, a metered image out, instances of it that cannot
 * reach beyond their memory, their fuel and three host functions. Works unchanged on Node and Deno,
 * in main and worker threads.
 */
export type { ImageErrorCode } from "./errors.ts";
export { PluginFault, PluginImageError, PluginLoadError, PluginRuleError } from "./errors.ts";
export { prepareImage } from "./image.ts";
export { instantiate } from "./instance.ts";
export type * from "./types.ts";
export { CLOSE_REASON, DIRECTION, END, OPERATION, OPERATIONS_MAX } from "./types.ts";
