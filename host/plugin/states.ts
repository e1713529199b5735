/** What can be said of a plugin reference now, for the conditions of policies. */
import type { ProxyStatus } from "../../runtime/contract/control.ts";
import type { PluginStates } from "../policy/index.ts";
import { formatPluginReference } from "../policy/plugin-reference.ts";
import type { PluginCatalogView } from "./catalog-view.ts";

/** `proxy`: undefined while there is none; then nothing is known to be unavailable. */
export function createPluginStates(
  view: Pick<PluginCatalogView, "digestsFor">,
  proxy: ProxyStatus | undefined,
): PluginStates {
  return (reference) => {
    const [digest] = view.digestsFor(formatPluginReference(reference));
    if (digest === undefined) {
      const other = reference.version === undefined ? [] : view.digestsFor(reference.name);
      return { kind: other.length > 0 ? "version-missing" : "unknown" };
    }
    const unavailable = proxy?.versions.find((one) => one.digest === digest)?.unavailable;
    if (unavailable === undefined) return { kind: "ready" };
    return { kind: "unavailable", reason: `${unavailable.stage}: ${unavailable.message}` };
  };
}
