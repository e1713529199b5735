/**
 * The errors of this folder: why a component cannot become an image, why an instance is lost, and
 * what a plugin said about a rule or a compiled rule set it does not accept.
 */
import type { FaultKind } from "./types.ts";

/** Why an image was refused: broken bytes, a feature, the world's shape, a limit, or a right. */
export type ImageErrorCode = "malformed" | "unsupported" | "world" | "limit" | "capability";

/** A component that cannot be made runnable. `where` names the section, function or import. */
export class PluginImageError extends Error {
  readonly code: ImageErrorCode;
  readonly where: string;

  constructor(code: ImageErrorCode, where: string, state: string, options?: ErrorOptions) {
    super(`Cannot prepare plugin: ${where}: ${state}`, options);
    this.name = "PluginImageError";
    this.code = code;
    this.where = where;
  }
}

/** The instance is lost: discard it and close its connections. */
export class PluginFault extends Error {
  readonly kind: FaultKind;

  constructor(kind: FaultKind, state: string, options?: ErrorOptions) {
    super(`Cannot run plugin: ${kind}: ${state}`, options);
    this.name = "PluginFault";
    this.kind = kind;
  }
}

/** `compile` returned an error: the rule is wrong, the instance is well. */
export class PluginRuleError extends Error {
  /** Index into the rules given. */
  readonly rule: number;
  /** Key of the offending field, "" for the whole rule. */
  readonly key: string;
  /** The plugin's own words. */
  readonly detail: string;

  constructor(rule: number, key: string, detail: string) {
    super(`Cannot compile rule ${rule}${key === "" ? "" : `, ${key}`}: ${detail}`);
    this.name = "PluginRuleError";
    this.rule = rule;
    this.key = key;
    this.detail = detail;
  }
}

/** `load` returned an error: the bytes are not what this plugin compiled; the instance is well. */
export class PluginLoadError extends Error {
  /** The plugin's own words. */
  readonly detail: string;

  constructor(detail: string) {
    super(`Cannot load rule set: ${detail}`);
    this.name = "PluginLoadError";
    this.detail = detail;
  }
}
