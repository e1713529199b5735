/** `policy validate` where no agent runs: the same checks, with the plugins of this tree. */
import { existsSync } from "node:fs";
import type { PluginImage } from "../../runtime/isolate/types.ts";
import type { ApplyResult, PolicyFile } from "../admin/types.ts";
import { BUILD } from "../agent/environment.ts";
import { createPatternCheck } from "../agent/pattern-check.ts";
import { APPLY_FEATURES, type ReadPolicies, readPolicyFiles } from "../enforce/policy-reader.ts";
import { compileRules } from "../plugin/rule-compiler.ts";
import { readShipped } from "../plugin/shipped.ts";

export function validateLocally(files: PolicyFile[], forApply: boolean): ApplyResult {
  const { documents, errors, warnings } = readLocally(files, forApply);
  const applied = documents.map(({ kind, namespace, name }) => ({
    ...{ kind, namespace, name },
    revision: 0,
  }));
  return { applied, errors, warnings };
}

/** Files as an agent with the plugins of this tree reads them. */
export function readLocally(files: PolicyFile[], forApply: boolean): ReadPolicies {
  // Before the first build there are none; then what names one is a warning.
  const shipped = existsSync(BUILD.plugins) ? readShipped(BUILD.plugins) : [];
  const imageOf = (name: string, version: string | undefined): PluginImage | undefined =>
    shipped
      .map(({ image }) => image)
      .find(({ manifest: one }) => one.name === name && (version ?? one.version) === one.version);
  let patterns = 0;
  return readPolicyFiles(files, {
    parsing: {
      checkPattern: createPatternCheck(),
      plugins: ({ name, version }) => imageOf(name, version)?.manifest,
    },
    checkRules: ({ plugin, version, rules }) => {
      const image = imageOf(plugin, version);
      if (image !== undefined) compileRules(image, rules, () => ++patterns);
    },
    features: APPLY_FEATURES,
    forApply,
  });
}
