/** VisibilityPolicy to a rule that shows and decides nothing. */
import type { VisibilityDocument } from "../document.ts";
import { parsePluginReference } from "../plugin-reference.ts";
import { PROTOCOL, type Rule } from "../rule.ts";
import { ANY_SELECTOR } from "../selector.ts";
import { PRIORITY } from "./l7.ts";
import { originOf } from "./origin.ts";
import { subjectSelector } from "./scope.ts";

export function translateVisibility(document: VisibilityDocument, revision: number): Rule {
  const { spec, namespace } = document;
  const matches = spec.ports.map(({ port, endPort = 0 }) => {
    const first = Number(port);
    return {
      kind: "range" as const,
      protocol: PROTOCOL.tcp,
      first,
      last: Math.max(first, endPort),
    };
  });
  const { name: plugin, version } = parsePluginReference(spec.plugin);
  // Rules are not asked, and a plugin that fails must not end what it only watches.
  const watching = { mode: "observe", failure: "open", rules: [[]] } as const;
  const rules = { plugin, ...(version === undefined ? {} : { version }), ...watching };
  const item = {
    direction: spec.direction ?? "ingress",
    verdict: "watch",
    peers: [ANY_SELECTOR],
    ports: [{ matches, l7: { rules, priority: PRIORITY.watch } }],
  } as const;
  return {
    origin: originOf(document, revision),
    subject: subjectSelector(spec.endpointSelector ?? {}, namespace),
    ...(spec.endpoint === undefined ? {} : { endpoint: spec.endpoint }),
    defaultDeny: { ingress: false, egress: false },
    items: [item],
  };
}
