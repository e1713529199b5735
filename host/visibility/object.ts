/**
 * VisibilityPolicy objects as the command line makes them: from a few options to the object that is
 * applied, and back to one line of a table.
 */
import type { VISIBILITY_API_VERSION, VisibilitySpec } from "../policy/schema/visibility.ts";

export interface VisibilityRequest {
  /** Name of the policy; if absent, made of the rest, so that the same request replaces itself. */
  name?: string | undefined;
  namespace: string;
  target: { endpoint: string } | { labels: Readonly<Record<string, string>> };
  direction: "ingress" | "egress";
  /** From 1 to 65535, all TCP. */
  ports: readonly number[];
  /** `NAME` or `NAME@VERSION`. */
  plugin: string;
}

export interface VisibilityObject {
  apiVersion: typeof VISIBILITY_API_VERSION;
  kind: "VisibilityPolicy";
  metadata: { name: string; namespace: string };
  spec: VisibilitySpec;
}

const NAME_CHARACTERS_MAX = 253;

export function visibilityObject(request: VisibilityRequest): VisibilityObject {
  const { namespace, target, direction, ports, plugin } = request;
  const subject =
    "endpoint" in target
      ? { endpoint: target.endpoint }
      : { endpointSelector: { matchLabels: { ...target.labels } } };
  return {
    apiVersion: "imker.io/v1alpha1",
    kind: "VisibilityPolicy",
    metadata: { name: request.name ?? nameOf(request), namespace },
    spec: {
      ...subject,
      direction,
      ports: ports.map((port) => ({ port: String(port), protocol: "TCP" })),
      plugin,
    },
  };
}

function nameOf({ target, direction, ports, plugin }: VisibilityRequest): string {
  const subject = "endpoint" in target ? [target.endpoint] : Object.entries(target.labels).flat();
  const text = [...subject, direction, ...ports, plugin].join("-").toLowerCase();
  return text
    .replaceAll(/[^a-z0-9]+/g, "-")
    .slice(0, NAME_CHARACTERS_MAX)
    .replaceAll(/^-|-$/g, "");
}

/** Whose traffic, which way, which ports, which plugin; of an object the agent has accepted. */
export function visibilityRow(object: unknown): [string, string, string, string] {
  const { spec } = object as { spec: VisibilitySpec };
  const labels = Object.entries(spec.endpointSelector?.matchLabels ?? {});
  const expressions = (spec.endpointSelector?.matchExpressions ?? []).map(
    ({ key, operator, values }) => `${key} ${operator} ${(values ?? []).join("|")}`.trim(),
  );
  const selector = [...labels.map(([key, value]) => `${key}=${value}`), ...expressions].join(",");
  const ports = spec.ports.map(({ port, endPort }) =>
    endPort === undefined ? `${port}/TCP` : `${port}-${endPort}/TCP`,
  );
  return [
    spec.endpoint ?? (selector === "" ? "all endpoints" : selector),
    spec.direction ?? "ingress",
    ports.join(","),
    spec.plugin,
  ];
}
