/**
 * The agent's control plane on real policy maps and a real store: identities, policies, planner and
 * enforcer as host/main.ts ties them together, without endpoints' interfaces and without a proxy.
 */
import { pino } from "pino";
import { createPatternCheck } from "../../host/agent/pattern-check.ts";
import { Enforcer } from "../../host/enforce/enforcer.ts";
import { Planner } from "../../host/enforce/planner.ts";
import { PolicyService } from "../../host/enforce/policies.ts";
import { APPLY_FEATURES } from "../../host/enforce/policy-reader.ts";
import { type RulePlugins, RuleSets } from "../../host/enforce/rule-sets.ts";
import type { IdentityAllocator } from "../../host/identity/allocator.ts";
import { createTestAllocator } from "../../host/identity/testing/world.ts";
import { NO_SOURCES } from "../../host/policy/sources.ts";
import type { Identity, PolicySubject } from "../../host/policy/types.ts";
import { SqliteStore } from "../../host/store/sqlite.ts";
import { RunError } from "../errors.ts";
import type { KernelMaps } from "./kernel-maps.ts";
import { labelsOf, namespaceOf, podOf, type WorldSize } from "./world.ts";

/** A plugin that takes every rule: what rules compile to is no matter of this benchmark. */
const PLUGINS: RulePlugins = {
  services: () => [],
  versions: () => [],
  digestsFor: () => ["sha256:bench"],
  compile: () => ({ digest: "sha256:bench", bytes: new Uint8Array() }) as never,
};

interface Parts {
  store: SqliteStore;
  identities: IdentityAllocator;
  kernel: KernelMaps;
  subjects: PolicySubject[];
  /** Ends what the identities are kept with. */
  close: () => void;
}

export class ControlPlane {
  readonly #parts: Parts;
  readonly #identities: IdentityAllocator;
  readonly #policies: PolicyService;

  private constructor(parts: Parts) {
    const { store, identities, kernel, subjects } = parts;
    this.#parts = parts;
    this.#identities = identities;
    const log = pino({ level: "silent" });
    const ruleSets = new RuleSets(store, PLUGINS);
    const proxy = { setState: async () => {}, reevaluate: async () => {} };
    const ipcache = { upsert: () => {}, delete: () => {} };
    const enforcer = new Enforcer(
      { log, kernel, ipcache, proxy, ruleSets, onEnforced: () => {} },
      1,
    );
    this.#policies = new PolicyService({
      ...{ log, store, identities, enforcer, ruleSets, subjects: () => [...subjects] },
      planner: new Planner(store, ruleSets),
      parsing: { checkPattern: createPatternCheck() },
      ...{ features: APPLY_FEATURES, sources: NO_SOURCES, cluster: "default" },
      nowMs: Date.now,
    });
  }

  /** The identities are there, the policies are not. */
  static async start(file: string, size: WorldSize, kernel: KernelMaps): Promise<ControlPlane> {
    const store = new SqliteStore(file);
    const { allocator: identities, close } = createTestAllocator({ reuseDelayMs: 0 });
    await identities.start();
    const all: Identity[] = [];
    for (let pod = 0; pod < size.identities; pod++)
      all.push(await identities.acquire(labelsOf(pod)));
    const subjects = Array.from({ length: size.endpoints }, (_, index): PolicySubject => {
      const pod = podOf(index, size);
      const identity = all[pod];
      if (!identity) throw new RunError("Cannot place the endpoints: there are no identities");
      return { endpoint: index + 1, identity, namespace: namespaceOf(pod), namedPorts: [] };
    });
    return new ControlPlane({ store, identities, kernel, subjects, close });
  }

  /** Settles when it is in the kernel. @throws RunError when a policy is refused. */
  async apply(...texts: string[]): Promise<void> {
    const files = texts.map((text, index) => ({ file: `bench-${index}.yaml`, text }));
    const { errors } = await this.#policies.apply(files, { wait: true });
    const [first] = errors;
    if (first) throw new RunError(`Cannot apply a policy: ${first.path}: ${first.message}`);
  }

  async delete(kind: string, namespace: string, name: string): Promise<void> {
    await this.#policies.delete(kind, namespace, name, { wait: true });
  }

  async addIdentity(pod: number): Promise<number> {
    const { id } = await this.#identities.acquire(labelsOf(pod));
    await this.#policies.refresh();
    return id;
  }

  /** The endpoint's pod gets other labels; the identity that it had stays for others. */
  async relabel(index: number, pod: number): Promise<void> {
    const { subjects } = this.#parts;
    const subject = subjects[index];
    if (!subject) throw new RunError(`Cannot relabel: there is no endpoint ${index}`);
    const identity = await this.#identities.acquire(labelsOf(pod));
    subjects[index] = { ...subject, identity };
    await this.#policies.refresh();
  }

  /** It is gone for the policies at once; its number would be free only later. */
  async removeIdentity(id: number): Promise<void> {
    await this.#identities.release(id);
    await this.#identities.collect();
    await this.#policies.refresh();
  }

  close(): void {
    this.#parts.close();
    this.#parts.store.close();
  }
}
