/**
 * The kernel as the agent sees it: implements `Datapath` over the addon. Owns loading, pinning and
 * attaching, and the rows of all maps but those of the proxy. Keeps no copy of what the kernel
 * holds: after a restart everything is read back from the pins.
 */
import { existsSync, mkdirSync, rmSync, statSync } from "node:fs";
import { join } from "node:path";
import type { PodNetwork } from "../endpoint/types.ts";
import { type BpfObject, isNativeError, loadNative, type Native } from "../native/index.ts";
import {
  decodeIpcacheKey,
  decodeMetric,
  decodeNumber,
  encodeIpcacheKey,
  encodeIpcacheValue,
  encodeNumber,
  METRIC_EVENTS_LOST,
  type MetricRow,
} from "./abi.ts";
import { copyConnections, findConnection, listConnections, sweepConnections } from "./ct-table.ts";
import { listRows, putRows, removeRows, setAuditRows } from "./endpoint-rows.ts";
import { DatapathError, loadError } from "./errors.ts";
import { EventRing } from "./event-ring.ts";
import { isBpffs, probeFeatures } from "./features.ts";
import { ENDPOINT_HOST, LAYOUT } from "./layout.ts";
import { Links, type ProgramName } from "./links.ts";
import { type MapName, PinnedMaps, readPerCpuRows, readRows } from "./maps.ts";
import { openHostSide, VethNetwork } from "./pod-network.ts";
import { findPolicy, readPolicy } from "./policy-map.ts";
import type { PolicyChange, PolicyRows } from "./policy-rows.ts";
import {
  changePolicy,
  type FilledPolicy,
  fillPolicy,
  type PolicyPlacement,
  placePolicies,
} from "./policy-writer.ts";
import { installRouting, uninstallRouting } from "./routing.ts";
import {
  changeSettings,
  raiseEpoch,
  readSettings,
  type SettingsOptions,
  settingsFor,
  writeSettings,
} from "./settings.ts";
import type {
  CtRow,
  CtSweep,
  Datapath,
  DatapathEndpoint,
  DatapathEvent,
  DatapathOptions,
  Feature,
  PolicyMapEntry,
  PolicyQuestion,
  Tuple,
} from "./types.ts";

export type { MetricRow } from "./abi.ts";
export { dropReason, dropReasonNumbers } from "./drop-reason.ts";
export { DatapathError } from "./errors.ts";
export { ENDPOINT_HOST } from "./layout.ts";

const POD_ID_MAX = ENDPOINT_HOST - 1;

const PROXY_MAPS: readonly MapName[] = ["handoff", "listeners", "proxy_config"];
const POD_PROGRAMS = ["pod_egress", "pod_ingress"] as const;
const NETDEV_PROGRAMS = ["netdev_ingress", "netdev_egress"] as const;

/* The object that uses every map comes first: it makes them, the others borrow. */
const OBJECTS = ["pod.o", "host.o", "sock.o"] as const;
const PROGRAMS: Readonly<Record<ProgramName, (typeof OBJECTS)[number]>> = {
  pod_egress: "pod.o",
  pod_ingress: "pod.o",
  netdev_ingress: "host.o",
  netdev_egress: "host.o",
  proxy_lookup: "sock.o",
};

/** What a node may choose; `bpffs` is the only thing it must: a folder of its own. */
export interface CreateDatapathOptions
  extends Pick<DatapathOptions, "bpffs">,
    Partial<Pick<DatapathOptions, "objects">>,
    SettingsOptions {
  /** Entries that an endpoint's policy map holds. Default POLICY_ENTRIES_MAX. */
  policyEntriesMax?: number;
  /** Map versions other than this build's: how tests stand in for a changed layout. */
  mapVersions?: Partial<Record<MapName, number>>;
}

/** Nothing is touched before `start()`. */
export function createDatapath(options: CreateDatapathOptions): KernelDatapath {
  return new KernelDatapath(loadNative(), options);
}

/** `prefix` starts the names of interfaces and namespaces made. */
export function createPodNetwork(prefix = "imk"): PodNetwork {
  return new VethNetwork(loadNative(), prefix);
}

export class KernelDatapath implements Datapath {
  readonly #native: Native;
  readonly #options: CreateDatapathOptions;
  readonly #maps: PinnedMaps;
  readonly #links: Links;
  readonly #objects = new Map<string, BpfObject>();
  #ring: EventRing | undefined;
  #lock: number | undefined;
  #made: readonly MapName[] = [];

  constructor(native: Native, options: CreateDatapathOptions) {
    this.#native = native;
    this.#options = options;
    this.#maps = new PinnedMaps(native, options.bpffs, options.mapVersions);
    this.#links = new Links(native, options.bpffs);
  }

  start(): void {
    if (!isBpffs(this.#native, this.#options.bpffs))
      throw new DatapathError(
        "no-bpffs",
        `Cannot start: ${this.#options.bpffs} is on no BPF file system; mount -t bpf bpf ` +
          "/sys/fs/bpf (under 'ip netns exec', which hides it, use 'nsenter --net=' instead)",
      );
    this.#takeLock();
    this.#maps.adopt();
    for (const name of OBJECTS) this.#load(name);
    const settings = this.#maps.fd("config");
    writeSettings(
      this.#native,
      settings,
      settingsFor(this.#options, readSettings(this.#native, settings)),
    );
    installRouting();
    this.#links.attachNetns(this.#programs().proxy_lookup);
    this.#ring = new EventRing(this.#native, this.#maps.fd("events"));
  }

  /** A proxy from before `start` waits at maps that no program asks any more. */
  get hasNewProxyMaps(): boolean {
    return PROXY_MAPS.some((name) => this.#made.includes(name));
  }

  commit(): void {
    const pod = this.#programs();
    this.#copyOlderCt();
    this.#links.update(pod);
    // Once more: connections opened while the links were being swapped.
    this.#copyOlderCt();
    this.#maps.removeOlder();
  }

  features(): Feature[] {
    return probeFeatures(this.#native, this.#options.bpffs);
  }

  upsertIpcache(prefix: string, identity: number): void {
    this.#maps.put("ipcache", encodeIpcacheKey(prefix), encodeIpcacheValue(identity));
    this.bumpEpoch();
  }

  deleteIpcache(prefix: string): void {
    this.#native.mapDelete(this.#maps.fd("ipcache"), encodeIpcacheKey(prefix));
    this.bumpEpoch();
  }

  lookupIpcache(address: string): number | undefined {
    const value = new Uint8Array(LAYOUT.ipcache_value.size);
    const found = this.#native.mapLookup(
      this.#maps.fd("ipcache"),
      encodeIpcacheKey(address),
      value,
    );
    return found ? decodeNumber(value) : undefined;
  }

  listIpcache(): { prefix: string; identity: number }[] {
    return readRows(this.#native, this.#maps.fd("ipcache")).map(({ key, value }) => ({
      prefix: decodeIpcacheKey(key),
      identity: decodeNumber(value),
    }));
  }

  /** Rows first, then programs, then the interface comes up: never up without its programs. */
  upsertEndpoint(endpoint: DatapathEndpoint): void {
    if (!Number.isInteger(endpoint.id) || endpoint.id < 1 || endpoint.id > POD_ID_MAX)
      throw new RangeError(`Cannot add endpoint ${endpoint.id}: ids are 1..${POD_ID_MAX}`);
    putRows(this.#native, this.#maps, endpoint);
    this.bumpEpoch();
    this.#links.sweep();
    const isNew = this.#attachPod(endpoint);
    if (isNew || !this.#native.interfaceIsUp(endpoint.ifname)) openHostSide(endpoint);
  }

  /**
   * The links stay while the interface exists: a pod whose rows are gone sends and receives
   * nothing, one whose programs are gone could do anything.
   */
  deleteEndpoint(id: number): void {
    removeRows(this.#native, this.#maps, id);
    this.#native.mapDelete(this.#maps.fd("policies"), encodeNumber(id));
    this.bumpEpoch();
    this.#links.sweep();
  }

  listEndpoints(): DatapathEndpoint[] {
    return listRows(this.#native, this.#maps, this.#links.interfaceNames());
  }

  setAudit(endpoint: number, audit: boolean): boolean {
    if (endpoint !== ENDPOINT_HOST) {
      const changed = setAuditRows(this.#native, this.#maps, endpoint, audit);
      this.bumpEpoch();
      return changed;
    }
    changeSettings(this.#native, this.#maps.fd("config"), { hostAudit: audit });
    return true;
  }

  attachNetdev(ifname: string): boolean {
    const ifindex = this.#native.interfaceIndex(ifname);
    if (ifindex === 0)
      throw new DatapathError("no-interface", `Cannot attach to ${ifname}: no such interface`);
    const programs = this.#programs();
    return NETDEV_PROGRAMS.map((program) =>
      this.#links.attach({ ifname, program }, ifindex, programs[program]),
    ).includes(true);
  }

  netdevs(): string[] {
    return this.#links.interfacesOf(NETDEV_PROGRAMS);
  }

  /** Names of interfaces of pods that have a program. Needs no `start()`. */
  podInterfaces(): string[] {
    return this.#links.interfacesOf(POD_PROGRAMS);
  }

  /**
   * True: its programs were missing, also because the interface was made anew or was elsewhere; one
   * without rows then lets nothing pass. A pod whose interface is gone is let be.
   */
  reattachEndpoint(endpoint: DatapathEndpoint): boolean {
    const ifindex = this.#native.interfaceIndex(endpoint.ifname);
    if (ifindex === 0 || !this.#attachPod({ ...endpoint, ifindex })) return false;
    openHostSide(endpoint);
    return true;
  }

  detachNetdev(ifname: string): boolean {
    return NETDEV_PROGRAMS.map((program) => this.#links.detach({ ifname, program })).includes(true);
  }

  /** Of the node: its connections are no longer tracked either, unless they are to be. */
  removePolicy(endpoint: number): void {
    this.#native.mapDelete(this.#maps.fd("policies"), encodeNumber(endpoint));
    const host = this.#options.hostFirewall ?? false;
    const change = endpoint === ENDPOINT_HOST ? { host } : {};
    changeSettings(this.#native, this.#maps.fd("config"), change);
  }

  fillPolicy(rows: PolicyRows): Promise<FilledPolicy> {
    return fillPolicy(this.#native, rows, this.#options.policyEntriesMax);
  }

  /** Tracking comes before the node's policy. */
  async placePolicies(placements: readonly PolicyPlacement[]): Promise<void> {
    const settings = this.#maps.fd("config");
    const polices = placements.some(({ endpoint }) => endpoint === ENDPOINT_HOST);
    if (polices && !readSettings(this.#native, settings).host)
      changeSettings(this.#native, settings, { host: true });
    await placePolicies(this.#native, this.#maps.fd("policies"), placements);
  }

  async changePolicy(endpoint: number, change: PolicyChange): Promise<void> {
    await changePolicy(this.#native, this.#maps.fd("policies"), endpoint, change);
  }

  listPolicy(endpoint: number): PolicyMapEntry[] {
    return readPolicy(this.#native, this.#maps.fd("policies"), endpoint);
  }

  lookupPolicy(endpoint: number, question: PolicyQuestion): PolicyMapEntry | undefined {
    return findPolicy(this.#native, this.#maps.fd("policies"), endpoint, question);
  }

  lookupCt(tuple: Tuple): CtRow | undefined {
    return findConnection(this.#native, this.#maps.fd("ct"), tuple);
  }

  sweepCt(from?: Uint8Array): CtSweep {
    return sweepConnections(this.#native, this.#maps.fd("ct"), from);
  }

  ctCapacity(): number {
    return this.#native.mapInfo(this.#maps.fd("ct")).entries;
  }

  listCt(): CtRow[] {
    return listConnections(this.#native, this.#maps.fd("ct"));
  }

  bumpEpoch(): void {
    raiseEpoch(this.#native, this.#maps.fd("config"));
  }

  readEvents(max: number, deliver: (event: DatapathEvent) => void): number {
    if (this.#ring === undefined)
      throw new DatapathError("not-started", "Cannot read events: the datapath is not started");
    return this.#ring.read(max, deliver);
  }

  lostEvents(): number {
    return this.metrics()
      .filter(({ reason }) => reason === METRIC_EVENTS_LOST)
      .reduce((sum, { packets }) => sum + packets, 0);
  }

  /**
   * Packets and bytes by reason since the map was made: 0 forwarded, 1 lost events, else dropped.
   */
  metrics(): MetricRow[] {
    return readPerCpuRows(this.#native, this.#maps.fd("metrics")).map(({ key, value }) =>
      decodeMetric(key, value),
    );
  }

  /** Of the ring that `readEvents` drains, for another program to write to; it stays ours. */
  eventsFd(): number {
    return this.#maps.fd("events");
  }

  close(): void {
    this.#ring?.close();
    this.#ring = undefined;
    if (this.#lock !== undefined) this.#native.closeFd(this.#lock);
    this.#lock = undefined;
    this.#maps.close();
    for (const object of this.#objects.values()) object.close();
    this.#objects.clear();
  }

  /** Needs no `start()`. Programs go first, so nothing is enforced by half. */
  uninstall(): string[] {
    const links = this.#links.removeAll().map((name) => `link ${name}`);
    const routes = uninstallRouting();
    this.close();
    const maps = this.#maps.removeAll().map((name) => `map ${name}`);
    const { bpffs } = this.#options;
    if (existsSync(bpffs)) rmSync(bpffs, { recursive: true });
    return [...links, ...maps, ...routes];
  }

  /** Two agents would undo each other's rows; the kernel gives the lock back when one dies. */
  #takeLock(): void {
    const { bpffs } = this.#options;
    mkdirSync(bpffs, { recursive: true });
    this.#lock = this.#native.lockFolder(bpffs);
    if (this.#lock !== undefined) return;
    throw new DatapathError(
      "in-use",
      `Cannot start: another agent uses ${bpffs}; stop it, or choose another --bpffs`,
    );
  }

  #load(name: string): void {
    const path = join(this.#objectFolder(), name);
    if (!existsSync(path) || !statSync(path).isFile())
      throw new DatapathError("load-failed", `Cannot load ${path}: not built; run make bpf`);
    const object = new this.#native.BpfObject(path);
    this.#objects.set(name, object);
    try {
      this.#maps.lend(object);
      object.load();
    } catch (error) {
      throw isNativeError(error) ? loadError(path, error) : error;
    }
    if (name === OBJECTS[0]) this.#made = this.#maps.pin(object);
  }

  #objectFolder(): string {
    return this.#options.objects ?? new URL("../../.build/bpf", import.meta.url).pathname;
  }

  /** True: it had not all of them. */
  #attachPod({ ifname, ifindex }: DatapathEndpoint): boolean {
    const programs = this.#programs();
    return POD_PROGRAMS.map((program) =>
      this.#links.attach({ ifname, program }, ifindex, programs[program]),
    ).includes(true);
  }

  #programs(): Record<ProgramName, number> {
    const fd = (program: ProgramName): number => {
      const object = this.#objects.get(PROGRAMS[program]);
      if (object === undefined)
        throw new DatapathError("not-started", "Cannot attach: the datapath is not started");
      return object.programFd(program);
    };
    return {
      pod_egress: fd("pod_egress"),
      pod_ingress: fd("pod_ingress"),
      netdev_ingress: fd("netdev_ingress"),
      netdev_egress: fd("netdev_egress"),
      proxy_lookup: fd("proxy_lookup"),
    };
  }

  /** After a change of the map's version alone, live connections are known to the new programs. */
  #copyOlderCt(): void {
    const older = this.#maps.openOlder("ct");
    if (older === undefined) return;
    try {
      copyConnections(this.#native, older, this.#maps.fd("ct"));
    } finally {
      this.#native.closeFd(older);
    }
  }
}
