/**
 * From a version in the desired state to an image workers can instantiate: its package read,
 * compared with its digest, compiled and warmed up. Every way in which that fails has a stage,
 * because the failure policy must hold at each of them.
 */
import { readFileSync } from "node:fs";
import type { PluginVersion, VersionStatus } from "../contract/control.ts";
import type { Manifest } from "../contract/manifest.ts";
import { type PluginPackage, readPackage } from "../contract/package.ts";
import type { PluginImage } from "../isolate/types.ts";

export type PrepareStage = NonNullable<VersionStatus["unavailable"]>["stage"];

/** The version cannot serve. */
export class PrepareError extends Error {
  override readonly name = "PrepareError";
  readonly stage: PrepareStage;

  constructor(stage: PrepareStage, message: string, options?: ErrorOptions) {
    super(message, options);
    this.stage = stage;
  }
}

export interface PreparePluginDeps {
  prepareImage: (
    component: Uint8Array,
    plugin: { digest: string; manifest: Manifest },
  ) => PluginImage;
  /** Runs it before its first connection. */
  warmUp: (image: PluginImage, found: PluginPackage) => void;
}

/** Throws PrepareError and nothing else. */
export function preparePlugin(deps: PreparePluginDeps, version: PluginVersion): PluginImage {
  const found = at("read", () => readPackage(readFileSync(version.path)));
  at("verify", () => verify(found, version));
  const { body, digest, manifest } = found;
  const image = at("compile", () => deps.prepareImage(body, { digest, manifest }));
  at("start", () => deps.warmUp(image, found));
  return image;
}

function verify(found: PluginPackage, version: PluginVersion): void {
  if (found.digest !== version.digest) {
    throw new Error(`Cannot use ${version.path}: it is ${found.digest}, not ${version.digest}`);
  }
}

function at<T>(stage: PrepareStage, run: () => T): T {
  try {
    return run();
  } catch (cause) {
    throw new PrepareError(stage, cause instanceof Error ? cause.message : String(cause), {
      cause,
    });
  }
}
