/**
 * Puts a plan in force without ever letting through what neither the old nor the new revision
 * allows. The order is always the same: the proxy first learns the new rule sets and keeps the old
 * ones; then each endpoint's map is switched as a whole; then live connections look again; then the
 * proxy may forget. Rule sets are immutable, so a connection is under one revision or the other,
 * never under a mixture.
 */
import type { Logger } from "pino";
import type { Recording } from "../../runtime/contract/control.ts";
import { POLICY_ENTRIES_MAX } from "../datapath/policy-map.ts";
import { IDENTITY } from "../identity/reserved.ts";
import { MapWriter } from "./map-writer.ts";
import type { RuleSets } from "./rule-sets.ts";
import type { Enforcement, KernelSide, Overflow, Plan, PrefixSide, ProxySide } from "./types.ts";

export interface EnforcerDeps {
  log: Logger;
  kernel: KernelSide;
  ipcache: PrefixSide;
  proxy: ProxySide;
  ruleSets: RuleSets;
  /** Absent: nothing is ever recorded. */
  recordings?: () => Recording[];
  /** The endpoint's map now holds this revision. */
  onEnforced: (endpoint: number, revision: number) => void;
  /** An endpoint whose policy does not fit into its map is closed; else it keeps the last one. */
  lockdownOnOverflow?: boolean;
  /** Entries that an endpoint's map holds. Default POLICY_ENTRIES_MAX. */
  entriesMax?: number;
}

export class Enforcer {
  readonly #deps: EnforcerDeps;
  readonly #log: Logger;
  readonly #maps: MapWriter;
  readonly #prefixes = new Map<string, number>();
  /** The last that were all written: most changes leave them as they are. */
  #prefixesInForce: ReadonlyMap<string, number> | undefined;
  /** What the proxy has; unknown until it was told once. */
  #ruleSets: ReadonlySet<number> | undefined;
  /** A change of plugins that the proxy has not confirmed. */
  #pluginsStale = false;
  #proxyRevision: number;
  #enforcement: Enforcement = { revision: 0 };

  /** @param proxyRevision Higher than any a running proxy may have confirmed (for example time). */
  constructor(deps: EnforcerDeps, proxyRevision: number) {
    this.#deps = deps;
    this.#log = deps.log.child({ part: "enforce" });
    this.#maps = new MapWriter(deps.kernel, {
      lockdownOnOverflow: deps.lockdownOnOverflow ?? false,
      entriesMax: deps.entriesMax ?? POLICY_ENTRIES_MAX,
    });
    this.#proxyRevision = proxyRevision;
  }

  get enforcement(): Enforcement {
    return this.#enforcement;
  }

  /** Endpoints whose policy has more entries than a map holds, and so is not in force. */
  get overflows(): Overflow[] {
    return this.#maps.overflows;
  }

  /**
   * Not to be called again before it has settled. Throws when the proxy did not confirm new rule
   * sets or the kernel refused a map: then the maps in force are still those of the old revision
   * for every endpoint not yet switched, and `enforcement.trouble` says so.
   */
  async enforce(plan: Plan, revision: number): Promise<void> {
    try {
      await this.#teachProxy(new Set([...(this.#ruleSets ?? []), ...plan.ruleSets]), plan.ruleSets);
      const changed = await this.#switchMaps(plan);
      const endpoints = plan.endpoints.map(({ endpoint }) => endpoint);
      // A live connection's peer may be somebody else now.
      const affected = this.#switchPrefixes(plan.prefixes) ? endpoints : changed;
      this.#enforcement = { revision };
      for (const endpoint of [...endpoints, ...(plan.unpoliced ?? [])]) {
        if (this.#maps.isCurrent(endpoint)) this.#deps.onEnforced(endpoint, revision);
      }
      // Maps that keep an older policy still name its rule sets.
      const kept = this.#maps.keptRuleSets(plan.endpoints);
      await this.#settleProxy(new Set([...plan.ruleSets, ...kept]), affected);
    } catch (error) {
      const trouble = error instanceof Error ? error.message : String(error);
      this.#enforcement = { revision: this.#enforcement.revision, trouble };
      this.#log.error({ revision, trouble }, "the policy revision is not in force");
      throw error;
    }
  }

  /**
   * Which versions there are or serve has changed; rules and maps have not. Not to be called while
   * `enforce` runs. Throws when the proxy did not confirm.
   */
  async updatePlugins(): Promise<void> {
    // A proxy that has no rule sets learns of plugins with the first one.
    if (this.#ruleSets === undefined) return;
    this.#pluginsStale = true;
    await this.#sendState(this.#ruleSets);
  }

  /** The endpoint is gone; a later one with its id starts from nothing. */
  forget(endpoint: number): void {
    this.#maps.forget(endpoint);
  }

  async #teachProxy(all: Set<number>, wanted: ReadonlySet<number>): Promise<void> {
    const known = this.#ruleSets;
    const knowsAll = known !== undefined && [...wanted].every((number) => known.has(number));
    if (knowsAll && !this.#pluginsStale) return;
    // Without L7 rules nothing depends on the proxy; it may be down.
    if (known === undefined && wanted.size === 0) return;
    await this.#sendState(all);
    this.#ruleSets = all;
  }

  async #sendState(numbers: Iterable<number>): Promise<void> {
    const { proxy, ruleSets } = this.#deps;
    const recordings = this.#deps.recordings?.() ?? [];
    await proxy.setState({
      revision: ++this.#proxyRevision,
      plugins: ruleSets.versions(),
      services: ruleSets.services(),
      ruleSets: ruleSets.select(numbers),
      // A proxy of an earlier build, which does not know them, takes a state without.
      ...(recordings.length === 0 ? {} : { recordings }),
    });
    this.#pluginsStale = false;
  }

  async #switchMaps(plan: Plan): Promise<number[]> {
    const changed: number[] = [];
    try {
      await this.#maps.write(plan.endpoints, changed);
      this.#maps.remove(plan.unpoliced ?? [], changed);
      return changed;
    } finally {
      // Also when a later map was refused: connections of the switched ones must look again.
      if (changed.length > 0) this.#deps.kernel.bumpEpoch();
    }
  }

  /**
   * Maps know the new identities before an address gets one, and lose them only afterwards. True if
   * there was something to do.
   */
  #switchPrefixes(prefixes: ReadonlyMap<string, number>): boolean {
    if (prefixes === this.#prefixesInForce) return false;
    const { kernel, ipcache } = this.#deps;
    let changed = false;
    for (const [prefix, identity] of prefixes) {
      if (this.#prefixes.get(prefix) === identity) continue;
      // A write that fails leaves a claim, for the next plan to make good or to take back.
      this.#prefixes.set(prefix, IDENTITY.unknown);
      ipcache.upsert("generated", prefix, identity);
      this.#prefixes.set(prefix, identity);
      changed = true;
    }
    for (const prefix of this.#prefixes.keys()) {
      if (prefixes.has(prefix)) continue;
      ipcache.delete("generated", prefix);
      this.#prefixes.delete(prefix);
      changed = true;
    }
    this.#prefixesInForce = prefixes;
    if (changed) kernel.bumpEpoch();
    return changed;
  }

  /**
   * The kernel decides already; what follows only brings live connections along and tidies up. A
   * proxy that dies here starts with the whole state again, so failing is not a hole.
   */
  async #settleProxy(wanted: ReadonlySet<number>, changed: number[]): Promise<void> {
    try {
      await this.#deps.proxy.reevaluate(changed);
      if (this.#ruleSets?.size === wanted.size) return;
      await this.#sendState(wanted);
      this.#ruleSets = new Set(wanted);
      this.#deps.ruleSets.retain(wanted);
    } catch (error) {
      this.#log.warn({ error }, "the proxy did not confirm; it gets the state when it is back");
    }
  }
}
