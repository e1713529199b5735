/**
 * Plugin instances by tenant: one for each plugin version, role and pair of identities (and, for an
 * identity that stands for many machines, a bucket of peer addresses), so bytes of two tenants
 * never share a sandbox, and an instance that only watches never fails one that serves. Bounded in
 * number and memory; idle ones are let go, those of versions that serve no more at once; a key
 * whose instances keep failing is refused for a time that doubles.
 */
import type { InstanceStatus } from "../contract/control.ts";
import type { InstanceStage, PluginImage, PluginInstance } from "../isolate/types.ts";
import type { Connection, ConnectionFacts, PolicySide } from "./connection.ts";
import { stageSides } from "./connection.ts";
import type { RuleStore } from "./rule-store.ts";
import type { VersionTallies, VersionTally } from "./version-tally.ts";

/** Instances without a connection go after so long. */
export const IDLE_MS_MAX = 60_000;
/** Two faults this close together mean the next one is coming. */
const FAULT_WINDOW_MS = 10_000;
const BACKOFF_MS_FIRST = 1_000;
const BACKOFF_MS_MAX = 60_000;
/** Keys whose faults are remembered; the oldest are forgotten first. */
const FAULT_KEYS_MAX = 4_096;
/** Sandboxes for the peers behind one many-machine identity. */
const ADDRESS_BUCKETS = 8;

/** Cilium's reserved identities for more than one machine: host, world, remote-node, … */
const IDENTITY_RESERVED_MAX = 255;
/** Identities of CIDRs and names are local to the node and start here. */
const IDENTITY_LOCAL_FIRST = 1 << 24;

/** `serve`: its operations are carried out. `tap`: they are only looked at. */
export type Role = "serve" | "tap";

export class PooledInstance {
  readonly key: string;
  readonly role: Role;
  readonly image: PluginImage;
  readonly instance: PluginInstance;
  readonly tally: VersionTally;
  readonly madeAtMs: number;
  calls = 0;
  readonly connections = new Set<Connection>();
  /** Rule set id → handle in this instance. */
  readonly #loaded = new Map<number, number>();
  readonly #rules: RuleStore;
  idleSinceMs = 0;
  /** Of linear memory, when it was last looked at. */
  memoryBytes = 0;

  constructor(
    made: { key: string; role: Role; image: PluginImage; nowMs: number; tally: VersionTally },
    instance: PluginInstance,
    rules: RuleStore,
  ) {
    this.key = made.key;
    this.role = made.role;
    this.image = made.image;
    this.madeAtMs = made.nowMs;
    this.idleSinceMs = made.nowMs;
    this.tally = made.tally;
    this.instance = instance;
    this.#rules = rules;
  }

  /** Stages of these sides, loading rule sets that are new here. Throws what `load` throws. */
  stages(sides: readonly [PolicySide, PolicySide]): InstanceStage[] {
    return stageSides(sides).map(({ point, ruleSet }) => ({ point, ruleSet: this.#load(ruleSet) }));
  }

  /** Whether it has, or can load, all rules of these sides. */
  hasForms(sides: readonly [PolicySide, PolicySide]): boolean {
    const { digest } = this.image;
    return stageSides(sides).every(
      ({ ruleSet }) => this.#loaded.has(ruleSet) || this.#rules.form(ruleSet, digest) !== undefined,
    );
  }

  #load(id: number): number {
    const known = this.#loaded.get(id);
    if (known !== undefined) return known;
    const form = this.#rules.form(id, this.image.digest);
    if (form === undefined) throw new Error(`Cannot load rule set ${id}: it is not there`);
    const handle = this.instance.load(new Uint8Array(form.compiled));
    this.#loaded.set(id, handle);
    return handle;
  }

  /** Unloads what the state no longer has and no connection here uses. */
  tidy(): void {
    for (const [id, handle] of this.#loaded) {
      if (this.#rules.ruleSet(id) !== undefined || this.#uses(id)) continue;
      this.instance.unload(handle);
      this.#loaded.delete(id);
    }
  }

  #uses(id: number): boolean {
    for (const connection of this.connections) {
      if (connection.sides.some((side) => side.ruleSet === id)) return true;
    }
    return false;
  }
}

export type Refusal = "instances_full" | "backing_off";

export interface InstancePoolDeps {
  rules: RuleStore;
  instantiate: (image: PluginImage) => PluginInstance;
  tallies: VersionTallies;
  instancesMax: number;
  /** Linear memory of all instances together. */
  memoryBytesMax: number;
}

export class InstancePool {
  readonly #deps: InstancePoolDeps;
  readonly #instances = new Map<string, PooledInstance>();
  #memoryBytes = 0;
  readonly #faults = new Map<
    string,
    { lastMs: number; refuseUntilMs: number; backoffMs: number }
  >();

  constructor(deps: InstancePoolDeps) {
    this.#deps = deps;
  }

  get size(): number {
    return this.#instances.size;
  }

  all(): Iterable<PooledInstance> {
    return this.#instances.values();
  }

  /** The tenant's instance, made if there is none. Throws what making one throws. */
  acquire(
    image: PluginImage,
    role: Role,
    facts: ConnectionFacts,
    nowMs: number,
  ): PooledInstance | Refusal {
    const key = `${image.digest} ${role} ${tenant(facts)}`;
    const found = this.#instances.get(key);
    if (found !== undefined) return found;
    const fault = this.#faults.get(key);
    if (fault !== undefined && nowMs < fault.refuseUntilMs) return "backing_off";
    const { instancesMax, memoryBytesMax } = this.#deps;
    while (this.#instances.size >= instancesMax || this.#memoryBytes >= memoryBytesMax) {
      if (!this.#evictIdle()) return "instances_full";
    }
    const pooled = this.#make(key, image, role, nowMs);
    this.#instances.set(key, pooled);
    this.note(pooled);
    return pooled;
  }

  /** It has run: its memory may have grown. */
  note(pooled: PooledInstance): void {
    const bytes = pooled.instance.memoryBytes;
    if (bytes === pooled.memoryBytes || this.#instances.get(pooled.key) !== pooled) return;
    this.#memoryBytes += bytes - pooled.memoryBytes;
    pooled.memoryBytes = bytes;
  }

  /** With more memory in use than there may be: the instance that has most, to be discarded. */
  overweight(): PooledInstance | undefined {
    if (this.#memoryBytes <= this.#deps.memoryBytesMax) return undefined;
    let most: PooledInstance | undefined;
    for (const pooled of this.#instances.values()) {
      if (pooled.memoryBytes > (most?.memoryBytes ?? 0)) most = pooled;
    }
    return most;
  }

  /** A connection left it; a version that gets no more has its instance go with the last one. */
  left(pooled: PooledInstance, nowMs: number): void {
    if (pooled.connections.size > 0) return;
    pooled.idleSinceMs = nowMs;
    if (!this.#deps.rules.mayServe(pooled.image.digest)) this.#remove(pooled);
  }

  /** After the services changed: idle instances of versions that serve no more go. */
  retain(): void {
    for (const pooled of this.#instances.values()) {
      if (pooled.connections.size > 0 || this.#deps.rules.mayServe(pooled.image.digest)) continue;
      this.#remove(pooled);
    }
  }

  /** For operators; identities and buckets as in the key. */
  list(worker: number, nowMs: number): InstanceStatus[] {
    return [...this.#instances.values()].map((pooled) => ({
      worker,
      digest: pooled.image.digest,
      tenant: pooled.key.slice(pooled.image.digest.length + 1),
      connections: pooled.connections.size,
      memoryBytes: pooled.instance.memoryBytes,
      fuel: pooled.instance.fuelUsed,
      calls: pooled.calls,
      ageMs: Math.max(0, Math.round(nowMs - pooled.madeAtMs)),
      idleMs: pooled.connections.size > 0 ? 0 : Math.max(0, Math.round(nowMs - pooled.idleSinceMs)),
    }));
  }

  #remove(pooled: PooledInstance): void {
    if (this.#instances.get(pooled.key) !== pooled) return;
    this.#instances.delete(pooled.key);
    this.#memoryBytes -= pooled.memoryBytes;
    pooled.tally.fuelGone += pooled.instance.fuelUsed;
  }

  #make(key: string, image: PluginImage, role: Role, nowMs: number): PooledInstance {
    const { instantiate, rules, tallies } = this.#deps;
    try {
      const tally = tallies.of(image.digest);
      return new PooledInstance({ key, role, image, nowMs, tally }, instantiate(image), rules);
    } catch (error) {
      this.#noteFault(key, nowMs);
      throw error;
    }
  }

  /** It failed and is never used again. */
  discard(pooled: PooledInstance, nowMs: number): void {
    this.#remove(pooled);
    this.#noteFault(pooled.key, nowMs);
  }

  #noteFault(key: string, nowMs: number): void {
    const before = this.#faults.get(key);
    const again = before !== undefined && nowMs - before.lastMs < FAULT_WINDOW_MS;
    const backoffMs = again
      ? Math.min(BACKOFF_MS_MAX, Math.max(BACKOFF_MS_FIRST, before.backoffMs * 2))
      : 0;
    this.#faults.delete(key);
    this.#faults.set(key, { lastMs: nowMs, refuseUntilMs: nowMs + backoffMs, backoffMs });
    if (this.#faults.size > FAULT_KEYS_MAX) {
      for (const oldest of this.#faults.keys()) {
        this.#faults.delete(oldest);
        break;
      }
    }
  }

  /** Lets idle instances go and rule sets nobody wants; returns those that failed meanwhile. */
  sweep(nowMs: number): PooledInstance[] {
    const failed: PooledInstance[] = [];
    for (const pooled of this.#instances.values()) {
      if (pooled.connections.size > 0) {
        pooled.idleSinceMs = nowMs;
      } else if (nowMs - pooled.idleSinceMs >= IDLE_MS_MAX) {
        this.#remove(pooled);
        continue;
      }
      try {
        pooled.tidy();
      } catch {
        failed.push(pooled);
      }
    }
    return failed;
  }

  #evictIdle(): boolean {
    for (const pooled of this.#instances.values()) {
      if (pooled.connections.size > 0) continue;
      this.#remove(pooled);
      return true;
    }
    return false;
  }
}

function tenant(facts: ConnectionFacts): string {
  const source = name(facts.sourceIdentity, facts.sourceAddress);
  return `${source} ${name(facts.destinationIdentity, facts.destinationAddress)}`;
}

function name(identity: number, address: Uint8Array): string {
  if (identity > IDENTITY_RESERVED_MAX && identity < IDENTITY_LOCAL_FIRST) return `${identity}`;
  let hash = 2166136261;
  for (const byte of address) hash = Math.imul(hash ^ byte, 16777619);
  return `${identity}.${(hash >>> 0) % ADDRESS_BUCKETS}`;
}
