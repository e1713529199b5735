/**
 * The real BPF programs with maps of their own, filled by the agent's own code from policies:
 * planner, enforcer, map writer. The proxy is not there: what is handed over ends with a drop that
 * says so, after the verdict was told.
 */
import { pino } from "pino";
import { type ConfigRow, encodeIpcacheKey, encodeNumber } from "../../datapath/abi.ts";
import { ENDPOINT_HOST } from "../../datapath/layout.ts";
import { readRows } from "../../datapath/maps.ts";
import { changePolicy, fillPolicy, placePolicies } from "../../datapath/policy-writer.ts";
import { buildFrame, type FrameSpec } from "../../datapath/testdata/frame.ts";
import { IFINDEX, type ProgramBench, type Run } from "../../datapath/testdata/program-bench.ts";
import { TwoPods } from "../../datapath/testdata/two-pods.ts";
import { Enforcer } from "../../enforce/enforcer.ts";
import { Planner } from "../../enforce/planner.ts";
import { RuleSets } from "../../enforce/rule-sets.ts";
import type { KernelSide } from "../../enforce/types.ts";
import { IDENTITY } from "../../identity/reserved.ts";
import { Ipcache } from "../../ipcache/ipcache.ts";
import { SqliteStore } from "../../store/sqlite.ts";
import type { PolicyRepository } from "../index.ts";
import { SelectorCache } from "../selector-cache.ts";
import { SubjectPolicies } from "../subject-policies.ts";
import { SubjectPolicy } from "../subject-policy.ts";
import type { PolicyOrigin, PolicySubject } from "../types.ts";
import {
  type ApiPlaces,
  FIXED_PEERS,
  NODE,
  namedPortsOf,
  type WorldPeer,
  worldUnder,
} from "./world.ts";

/** Where a frame meets the datapath. */
export type Hook = "from-pod" | "from-network" | "from-host" | "node-out";

/** The pod that frames leave from and arrive at, and the one beside it. */
export const OWN = { ipv4: "10.1.2.10", ipv6: "fd00:1::10" };
export const NEIGHBOUR = { ipv4: "10.1.2.11", ipv6: "fd00:1::11" };
const MAC = { podMac: "02:00:00:00:00:aa", hostMac: "02:00:00:00:00:bb" };
const DIGEST = "0".repeat(64);

export interface KernelModes {
  /** Denials pass. */
  audit: boolean;
  /** The node reaches its pods only as policies say. */
  hostByPolicy: boolean;
}

export class PolicyKernel {
  readonly #pods = new TwoPods();
  readonly #planner: Planner;
  readonly #enforcer: Enforcer;
  #policies: SubjectPolicies | undefined;
  #cache = new SelectorCache();
  #subjects: readonly PolicySubject[] = [];
  #api: ApiPlaces = { outside: false, here: false };
  readonly #numbers = new Map<string, number>();
  #revision = 1;
  readonly #settings = { host: true, audit: false, hostByPolicy: false };

  constructor() {
    const store = new SqliteStore(":memory:");
    const ruleSets = new RuleSets(store, {
      ...{ services: () => [], versions: () => [], digestsFor: () => [DIGEST] },
      compile: (digest) => ({ digest, compiled: "", patterns: [] }),
    });
    this.#planner = new Planner(store, ruleSets);
    const deps = {
      ...{ log: pino({ level: "silent" }), ruleSets, onEnforced: () => {} },
      ...{ kernel: kernelSide(this.#bench, this.#settings), ipcache: ipcacheOf(this.#bench) },
      proxy: { setState: async () => {}, reevaluate: async () => {} },
    };
    this.#enforcer = new Enforcer(deps, 1);
    this.#pods.reset();
    for (const { id, ipv4, ipv6 } of FIXED_PEERS) {
      for (const address of [ipv4, ipv6]) if (address) this.#bench.ipcache(address, id);
    }
  }

  get #bench(): ProgramBench {
    return this.#pods.bench;
  }

  /** Starts anew with these two, the first is OWN, and the node itself. */
  begin(
    [own, neighbour]: readonly [PolicySubject, PolicySubject],
    { api, ...modes }: KernelModes & { api: ApiPlaces },
  ): void {
    Object.assign(this.#settings, modes);
    this.#api = api;
    this.forget();
    this.#cache = new SelectorCache();
    this.#policies = new SubjectPolicies(this.#cache);
    const node = { endpoint: ENDPOINT_HOST, scope: "node" as const, ...NODE };
    this.#subjects = [own, neighbour, node];
    // Versions of these policies say nothing of those of the last time.
    for (const { endpoint } of this.#subjects) this.#enforcer.forget(endpoint);
    this.#bench.config(false, this.#settings);
    for (const [{ endpoint, identity }, addresses, ifindex] of [
      [own, OWN, IFINDEX],
      [neighbour, NEIGHBOUR, IFINDEX + 76],
    ] as const) {
      const row = { id: endpoint, identity: identity.id, ifname: "x", ifindex, ...MAC };
      this.#bench.endpoint({ ...row, ...addresses }, ifindex === IFINDEX);
      for (const address of Object.values(addresses)) this.#bench.ipcache(address, identity.id);
    }
  }

  /** Puts the policies in force; resolves those of pod, neighbour and node, and who there is. */
  async enforce(
    repository: PolicyRepository,
  ): Promise<{ policies: SubjectPolicy[]; peers: WorldPeer[] }> {
    const { identities, prefixes, peers } = worldUnder(repository, this.#api, this.#numbers);
    for (const identity of identities) this.#cache.upsert(identity);
    const input = { rules: repository.rules(), subjects: this.#subjects, namedPortsOf };
    const results = this.#policies?.resolve(input) ?? [];
    const endpoints = results.map(({ subject, outcome }) => {
      if (!(outcome instanceof SubjectPolicy)) throw outcome;
      return { endpoint: subject.endpoint, policy: outcome };
    });
    await this.#enforcer.enforce(this.#planner.plan({ endpoints, prefixes }), this.#revision++);
    return { policies: endpoints.map(({ policy }) => policy), peers };
  }

  send(hook: Hook, spec: FrameSpec): Run {
    const frame = buildFrame(spec);
    switch (hook) {
      case "from-pod":
        return this.#bench.run("pod_egress", frame);
      case "from-network":
        return this.#bench.run("netdev_ingress", frame);
      case "node-out":
        return this.#bench.run("netdev_egress", frame);
      case "from-host":
        return this.#bench.run("pod_ingress", frame);
      default:
        return hook satisfies never;
    }
  }

  originsOf(cookie: number): readonly PolicyOrigin[] {
    return this.#planner.originsOf(cookie);
  }

  /** No connections, no datagrams. */
  forget(): void {
    this.#pods.forget();
    const map = this.#bench.map("fragments");
    for (const { key } of readRows(this.#bench.native, map)) {
      this.#bench.native.mapDelete(map, key);
    }
  }

  close(): void {
    this.#bench.close();
  }
}

function kernelSide(bench: ProgramBench, settings: Partial<ConfigRow>): KernelSide {
  const { native } = bench;
  const policies = bench.map("policies");
  return {
    fillPolicy: (rows) => fillPolicy(native, rows),
    placePolicies: (placements) => placePolicies(native, policies, placements),
    changePolicy: (endpoint, change) => changePolicy(native, policies, endpoint, change),
    removePolicy: (endpoint) => native.mapDelete(policies, encodeNumber(endpoint)),
    bumpEpoch: () => bench.config(false, settings),
  };
}

/** The agent's own, with what an address is that nothing names. */
function ipcacheOf(bench: ProgramBench): Ipcache {
  const ipcache = new Ipcache({
    upsertIpcache: (prefix, identity) => bench.ipcache(prefix, identity),
    deleteIpcache: (prefix) =>
      bench.native.mapDelete(bench.map("ipcache"), encodeIpcacheKey(prefix)),
    listIpcache: () => [],
  });
  ipcache.upsert("restored", "0.0.0.0/0", IDENTITY.worldIpv4);
  ipcache.upsert("restored", "::/0", IDENTITY.worldIpv6);
  return ipcache;
}
