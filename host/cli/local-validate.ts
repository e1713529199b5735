/** `policy validate` where no agent runs: the same checks, with the plugins of this tree. */
import type { ApplyResult, PolicyFile } from "../admin/types.ts";
import { BUILD } from "../agent/environment.ts";
import { createPatternCheck } from "../agent/pattern-check.ts";
import { readPolicyFiles } from "../enforce/policy-reader.ts";
import { AGENT_DEFAULTS } from "../options.ts";
import { PluginCatalog } from "../plugin/catalog.ts";

export function validateLocally(files: PolicyFile[]): ApplyResult {
  const catalog = PluginCatalog.load(BUILD.plugins);
  let patterns = 0;
  const { documents, errors } = readPolicyFiles(files, {
    parsing: { checkPattern: createPatternCheck() },
    cluster: AGENT_DEFAULTS.cluster,
    checkRules: (rules) => void catalog.compile(rules, () => ++patterns),
  });
  const applied = documents.map(({ kind, namespace, name }) => ({
    ...{ kind, namespace, name },
    revision: 0,
  }));
  return { applied, errors };
}
