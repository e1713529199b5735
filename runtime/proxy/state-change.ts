/**
 * From one desired state to the next: which plugins must be read, verified and compiled, which rule
 * sets and forms posted, what may go. What is wrong with a state as a whole is found here, before
 * any worker hears of it; a version that cannot serve does not refuse the state, it is named as
 * unavailable, and its connections meet their failure policy.
 */
import type { PluginVersion, ProxyState, RuleSet, VersionStatus } from "../contract/control.ts";
import type { PluginImage } from "../isolate/types.ts";
import type { LoadedForm, Matcher, StateChange } from "../worker/rule-store.ts";
import { PrepareError } from "./prepare-plugin.ts";
import { StateError } from "./state-file.ts";

export type Unavailable = NonNullable<VersionStatus["unavailable"]>;

export interface StateChangeDeps {
  /** Throws PrepareError. */
  preparePlugin: (plugin: PluginVersion) => PluginImage;
  createMatcher: (source: string) => Matcher;
}

export class StateHistory {
  readonly #deps: StateChangeDeps;
  #current: ProxyState = { revision: 0, plugins: [], services: [], ruleSets: [] };
  /** What every worker has. */
  #images = new Set<string>();
  #ruleSets = new Set<number>();
  #forms = new Set<string>();
  /** Versions of the newest state that cannot serve. */
  readonly #unavailable = new Map<string, Unavailable>();

  constructor(deps: StateChangeDeps) {
    this.#deps = deps;
  }

  get current(): ProxyState {
    return this.#current;
  }

  get unavailable(): ReadonlyMap<string, Unavailable> {
    return this.#unavailable;
  }

  /** What workers need beyond what they have. Throws StateError, or what a pattern throws. */
  changeTo(state: ProxyState): StateChange {
    checkReferences(state);
    const digests = new Set(state.plugins.map((plugin) => plugin.digest));
    const images = this.#prepare(state.plugins);
    for (const digest of this.#unavailable.keys()) {
      if (!digests.has(digest)) this.#unavailable.delete(digest);
    }
    return {
      revision: state.revision,
      images,
      ruleSets: state.ruleSets
        .filter((ruleSet) => !this.#ruleSets.has(ruleSet.id))
        .map(({ id, plugin, mode, failure }) => ({ id, plugin, mode, failure })),
      forms: state.ruleSets.flatMap((ruleSet) => this.#freshForms(ruleSet)),
      keepPlugins: [...digests],
      keepRuleSets: state.ruleSets.map((ruleSet) => ruleSet.id),
      services: state.services.map(({ plugin, active, trial }) => ({
        plugin,
        active: active === null || this.#unavailable.has(active) ? null : active,
        ...(trial === undefined || this.#unavailable.has(trial.digest) ? {} : { trial }),
      })),
      draining: state.plugins.flatMap(({ digest, drainUntil }) =>
        drainUntil === undefined ? [] : { digest, untilMs: drainUntil },
      ),
      recordings: state.recordings ?? [],
    };
  }

  /** Every worker has it. */
  confirm(state: ProxyState): void {
    this.#current = state;
    const digests = state.plugins.map((plugin) => plugin.digest);
    this.#images = new Set(digests.filter((digest) => !this.#unavailable.has(digest)));
    this.#ruleSets = new Set(state.ruleSets.map((ruleSet) => ruleSet.id));
    this.#forms = new Set(
      state.ruleSets.flatMap(({ id, forms }) => forms.map(({ digest }) => formKey(id, digest))),
    );
  }

  #prepare(plugins: readonly PluginVersion[]): PluginImage[] {
    const images: PluginImage[] = [];
    for (const plugin of plugins) {
      const { digest } = plugin;
      if (this.#images.has(digest)) continue;
      const before = this.#unavailable.get(digest);
      // A file may appear or be mended; what its code does stays the same.
      if (before?.stage === "compile" || before?.stage === "start") continue;
      try {
        images.push(this.#deps.preparePlugin(plugin));
        this.#unavailable.delete(digest);
      } catch (error) {
        if (!(error instanceof PrepareError)) throw error;
        this.#unavailable.set(digest, { stage: error.stage, message: error.message });
      }
    }
    return images;
  }

  #freshForms({ id, forms }: RuleSet): LoadedForm[] {
    return forms
      .filter(({ digest }) => !this.#forms.has(formKey(id, digest)))
      .map(({ digest, compiled, patterns }) => {
        for (const { source } of patterns) this.#deps.createMatcher(source);
        const bytes = Uint8Array.from(Buffer.from(compiled, "base64"));
        return { ruleSet: id, digest, compiled: bytes.buffer, patterns };
      });
  }
}

function formKey(id: number, digest: string): string {
  return `${id} ${digest}`;
}

/** Everything that is named must be there. Throws StateError. */
function checkReferences(state: ProxyState): void {
  const digests = new Set(state.plugins.map((plugin) => plugin.digest));
  const actives = new Map(state.services.map(({ plugin, active }) => [plugin, active]));
  if (actives.size < state.services.length) {
    throw new StateError("Cannot use the state: it has a service twice");
  }
  for (const { plugin, active, trial } of state.services) {
    for (const digest of [active, trial?.digest ?? null]) {
      if (digest === null || digests.has(digest)) continue;
      throw new StateError(`Cannot use service ${plugin}: version ${digest} is not in the state`);
    }
  }
  for (const { id, plugin, forms } of state.ruleSets) {
    const active = actives.get(plugin);
    if (active === undefined) {
      throw new StateError(`Cannot use rule set ${id}: service ${plugin} is not in the state`);
    }
    for (const { digest } of forms) {
      if (digests.has(digest)) continue;
      throw new StateError(`Cannot use rule set ${id}: version ${digest} is not in the state`);
    }
    if (active !== null && !forms.some(({ digest }) => digest === active)) {
      throw new StateError(`Cannot use rule set ${id}: it has no form for version ${active}`);
    }
  }
}
