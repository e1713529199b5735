/**
 * From one desired state to the next: which plugins must be read, verified and compiled, which rule
 * sets posted, what may go. Everything that can be wrong with a state is found here, before any
 * worker hears of it.
 */
import { createHash } from "node:crypto";
import { readFileSync } from "node:fs";
import type { PluginVersion, ProxyState } from "../contract/control.ts";
import type { PluginImage } from "../isolate/types.ts";
import type { LoadedRuleSet, Matcher, StateChange } from "../worker/rule-store.ts";
import { StateError } from "./state-file.ts";

export interface StateChangeDeps {
  prepareImage: (component: Uint8Array, plugin: PluginVersion) => PluginImage;
  createMatcher: (source: string) => Matcher;
}

export class StateHistory {
  readonly #deps: StateChangeDeps;
  #current: ProxyState = { revision: 0, plugins: [], ruleSets: [] };
  #plugins = new Set<string>();
  #ruleSets = new Set<number>();

  constructor(deps: StateChangeDeps) {
    this.#deps = deps;
  }

  get current(): ProxyState {
    return this.#current;
  }

  /** What workers need beyond what they have. Throws StateError, or what `prepareImage` throws. */
  changeTo(state: ProxyState): StateChange {
    const digests = new Set(state.plugins.map((plugin) => plugin.digest));
    const fresh = state.ruleSets.filter((ruleSet) => !this.#ruleSets.has(ruleSet.id));
    for (const { id, plugin, patterns } of fresh) {
      if (!digests.has(plugin)) {
        throw new StateError(`Cannot use rule set ${id}: plugin ${plugin} is not in the state`);
      }
      for (const { source } of patterns) this.#deps.createMatcher(source);
    }
    return {
      revision: state.revision,
      images: state.plugins
        .filter((plugin) => !this.#plugins.has(plugin.digest))
        .map((plugin) => this.#image(plugin)),
      ruleSets: fresh.map(
        ({ id, plugin, compiled, patterns }): LoadedRuleSet => ({
          id,
          plugin,
          compiled: Uint8Array.from(Buffer.from(compiled, "base64")),
          patterns,
        }),
      ),
      keepPlugins: [...digests],
      keepRuleSets: state.ruleSets.map((ruleSet) => ruleSet.id),
    };
  }

  /** Every worker has it. */
  confirm(state: ProxyState): void {
    this.#current = state;
    this.#plugins = new Set(state.plugins.map((plugin) => plugin.digest));
    this.#ruleSets = new Set(state.ruleSets.map((ruleSet) => ruleSet.id));
  }

  #image(plugin: PluginVersion): PluginImage {
    const component = readFileSync(plugin.path);
    const digest = `sha256:${createHash("sha256").update(component).digest("hex")}`;
    if (digest !== plugin.digest) {
      throw new StateError(`Cannot use ${plugin.path}: it is ${digest}, not ${plugin.digest}`);
    }
    return this.#deps.prepareImage(component, plugin);
  }
}
