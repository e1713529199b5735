/** `policy validate` where no agent runs: the same checks, with the plugins of this tree. */
import type { PluginImage } from "../../runtime/isolate/types.ts";
import type { ApplyResult, PolicyFile } from "../admin/types.ts";
import { BUILD } from "../agent/environment.ts";
import { createPatternCheck } from "../agent/pattern-check.ts";
import { type ReadPolicies, readPolicyFiles } from "../enforce/policy-reader.ts";
import { compileRules } from "../plugin/rule-compiler.ts";
import { readShipped } from "../plugin/shipped.ts";

export function validateLocally(files: PolicyFile[]): ApplyResult {
  const { documents, errors, warnings } = readLocally(files);
  const applied = documents.map(({ kind, namespace, name }) => ({
    ...{ kind, namespace, name },
    revision: 0,
  }));
  return { applied, errors, warnings };
}

/** Files as an agent with the plugins of this tree reads them. */
export function readLocally(files: PolicyFile[]): ReadPolicies {
  const shipped = readShipped(BUILD.plugins);
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
  });
}
