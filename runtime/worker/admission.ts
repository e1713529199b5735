/**
 * What becomes of a new connection: which version serves it, beside which tap, or that nothing can
 * and its failure policy decides. Everything a connection is for its whole life is settled here.
 */
import type { PluginImage } from "../isolate/types.ts";
import { Comparison } from "./comparison.ts";
import { type Connection, type ConnectionFacts, instanceFacts, stageSides } from "./connection.ts";
import type { Connections } from "./connections.ts";
import type { WorkerCounters } from "./counters.ts";
import type { InstancePool, PooledInstance } from "./instance-pool.ts";
import type { OperationBatch } from "./operation-batch.ts";
import type { Choice, RuleStore } from "./rule-store.ts";
import { Compared } from "./tap.ts";
import type { TrialRun, Trials } from "./trial.ts";

export interface AdmissionDeps {
  rules: RuleStore;
  pool: InstancePool;
  trials: Trials;
  connections: Connections;
  batch: OperationBatch;
  counters: WorkerCounters;
  /** 0 to 1. */
  random: () => number;
  log: (level: "debug" | "info" | "warn" | "error", message: string) => void;
}

export class Admission {
  readonly #deps: AdmissionDeps;

  constructor(deps: AdmissionDeps) {
    this.#deps = deps;
  }

  admit(slot: number, facts: ConnectionFacts): void {
    const choice = this.#choose(slot, facts);
    if (choice === undefined) {
      this.#deps.batch.reset(slot);
      return;
    }
    const run = this.#sample(choice);
    const tried = run === undefined ? undefined : this.#deps.rules.image(run.trial.digest);
    const connection = this.#connection(slot, facts, choice);
    if (choice.image === undefined) this.#unserved(connection);
    else if (choice.mode !== "enforce") this.#watch(connection, choice.image);
    else if (run === undefined || tried === undefined) this.#serve(connection, choice.image);
    else this.#tryOut(connection, { run, tried, active: choice.image });
  }

  /** Undefined, counted and reported: it cannot even be said what would serve it. */
  #choose(slot: number, facts: ConnectionFacts): Choice | undefined {
    const { rules, counters, log } = this.#deps;
    const ids = stageSides(facts.sides).map((side) => side.ruleSet);
    if (ids.length === 0) {
      counters.refused_no_rules++;
      return undefined;
    }
    const choice = rules.choose(ids);
    if (choice === "unknown_rules") {
      counters.refused_unknown_rules++;
      const missing = ids.find((id) => rules.ruleSet(id) === undefined);
      log("warn", `Cannot serve connection ${slot}: rule set ${missing} is not there`);
      return undefined;
    }
    if (choice === "two_plugins") {
      counters.refused_two_plugins++;
      log("warn", `Cannot serve connection ${slot}: its two policies name different plugins`);
      return undefined;
    }
    return choice;
  }

  /** The trial that takes this connection, if one does. */
  #sample({ trial, mode, image }: Choice): TrialRun | undefined {
    const { trials, random, connections } = this.#deps;
    const run = trial === undefined ? undefined : trials.run(trial.id);
    if (run === undefined || image === undefined || !run.takes(random())) return undefined;
    // Two versions that are one have nothing to tell each other apart by.
    if (mode !== "enforce") run.skipped("mode");
    else if (connections.taps.busy && run.trial.kind === "shadow") run.skipped("busy");
    else return run;
    return undefined;
  }

  #connection(slot: number, facts: ConnectionFacts, choice: Choice): Connection {
    const { image, mode, failure } = choice;
    const [name = ""] = choice.plugin.split("@", 1);
    return {
      slot,
      serial: this.#deps.connections.nextSerial(),
      facts,
      plugin: image === undefined ? { name, version: "", digest: "" } : pluginOf(image),
      sides: facts.sides,
      mode,
      failure,
      pooled: undefined,
      handle: 0,
      tap: undefined,
      canary: undefined,
      left: [0, 0],
      unanswered: 0,
      refused: undefined,
      recording: undefined,
      retiring: false,
    };
  }

  #unserved(connection: Connection): void {
    const { connections } = this.#deps;
    if (connection.failure === "closed") {
      connections.refuse(connection);
      return;
    }
    connections.add(connection);
    connections.goUnseen(connection);
  }

  /** Everything passes; an instance that decides nothing looks on. */
  #watch(connection: Connection, image: PluginImage): void {
    const { connections } = this.#deps;
    const tap = connections.taps.open(connection, image, undefined);
    connections.add(connection);
    if (tap === undefined) connections.passRest(connection);
  }

  /** True: an instance has it. Else its failure policy has decided. */
  #serve(connection: Connection, image: PluginImage): boolean {
    const { connections, counters, batch } = this.#deps;
    const refused = this.#acquire(connection, image);
    if (refused === undefined) {
      connections.add(connection);
      return true;
    }
    if (connection.failure === "open") {
      connections.add(connection);
      connections.goUnseen(connection);
      return false;
    }
    if (refused !== "fault") counters[`refused_${refused}`]++;
    batch.reset(connection.slot);
    return false;
  }

  /** Has an instance of the version take it, or says why none does. */
  #acquire(
    connection: Connection,
    image: PluginImage,
  ): "instances_full" | "backing_off" | "fault" | undefined {
    const { pool, connections } = this.#deps;
    let pooled: PooledInstance | undefined;
    try {
      const acquired = pool.acquire(image, "serve", connection.facts, connections.nowMs);
      if (typeof acquired === "string") return acquired;
      pooled = acquired;
      connection.handle = pooled.instance.open(instanceFacts(connection.facts, pooled));
      connection.pooled = pooled;
      return undefined;
    } catch (error) {
      if (pooled === undefined) connections.startFault(image, error);
      else connections.fault(pooled, error);
      return "fault";
    }
  }

  #tryOut(
    connection: Connection,
    { run, tried, active }: { run: TrialRun; tried: PluginImage; active: PluginImage },
  ): void {
    const canary = run.trial.kind === "canary";
    if (canary) {
      const refused = this.#acquire(connection, tried);
      if (refused === "fault") run.faulted("it did not take a connection");
      else if (refused !== undefined) run.skipped("instance");
      if (refused !== undefined) {
        this.#serve(connection, active);
        return;
      }
      connection.plugin = pluginOf(tried);
      connection.canary = run;
      this.#deps.connections.add(connection);
      this.#compare(connection, { run, image: active, candidate: "active" });
    } else if (this.#serve(connection, active)) {
      this.#compare(connection, { run, image: tried, candidate: "tried" });
    }
  }

  #compare(
    connection: Connection,
    { run, image, candidate }: { run: TrialRun; image: PluginImage; candidate: "active" | "tried" },
  ): void {
    const comparison = new Comparison(sensitiveKeys(image));
    const compared = new Compared(run, comparison, candidate);
    this.#deps.connections.taps.open(connection, image, compared);
  }
}

function pluginOf({ manifest, digest }: PluginImage): Connection["plugin"] {
  return { name: manifest.name, version: manifest.version, digest };
}

/** Keys of the fields whose values are not to be shown, of requests and of responses. */
function sensitiveKeys({ manifest }: PluginImage): [Set<number>, Set<number>] {
  const keys = ({ fields, sensitive = [] }: (typeof manifest.records)["request"]): Set<number> =>
    new Set(sensitive.map((field) => fields.indexOf(field)));
  return [keys(manifest.records.request), keys(manifest.records.response)];
}
