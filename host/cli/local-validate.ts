/** `policy validate` where no agent runs: the same checks, with the plugins of this tree. */
import type { ApplyResult, PolicyFile } from "../admin/types.ts";
import { BUILD } from "../agent/environment.ts";
import { createPatternCheck } from "../agent/pattern-check.ts";
import { readPolicyFiles } from "../enforce/policy-reader.ts";
import { PluginCatalog } from "../plugin/catalog.ts";

export function validateLocally(files: PolicyFile[]): ApplyResult {
  const catalog = PluginCatalog.load(BUILD.plugins);
  let patterns = 0;
  const { documents, errors, warnings } = readPolicyFiles(files, {
    parsing: {
      checkPattern: createPatternCheck(),
      plugins: ({ name, version }) =>
        catalog
          .versions()
          .map(({ manifest }) => manifest)
          .find((one) => one.name === name && (version ?? one.version) === one.version),
    },
    checkRules: (rules) => void catalog.compile(rules, () => ++patterns),
  });
  const applied = documents.map(({ kind, namespace, name }) => ({
    ...{ kind, namespace, name },
    revision: 0,
  }));
  return { applied, errors, warnings };
}
