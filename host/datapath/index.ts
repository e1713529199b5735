/**
 * The kernel as the agent sees it: implements `Datapath` over the addon. Owns loading, pinning and
 * attaching, and the rows of all maps but those of the proxy. Keeps no copy of what the kernel
 * holds: after a restart everything is read back from the pins.
 */
import { existsSync, rmSync, statSync } from "node:fs";
import { join } from "node:path";
import type { PodNetwork } from "../endpoint/types.ts";
import {
  type BpfObject,
  isNativeError,
  loadNative,
  type Native,
  type RingBuffer,
} from "../native/index.ts";
import {
  decodeEvent,
  decodeIpcacheKey,
  decodeMetric,
  decodeNumber,
  encodeIpcacheKey,
  encodeIpcacheValue,
  encodeNumber,
  LAYOUT,
  METRIC_EVENTS_LOST,
  type MetricRow,
} from "./abi.ts";
import { copyConnections, listConnections } from "./ct-table.ts";
import { listRows, putRows, removeRows } from "./endpoint-rows.ts";
import { DatapathError, loadError } from "./errors.ts";
import { isBpffs, probeFeatures } from "./features.ts";
import { Links, type ProgramName } from "./links.ts";
import { type MapName, PinnedMaps, readPerCpuRows, readRows } from "./maps.ts";
import { openHostSide, VethNetwork } from "./pod-network.ts";
import { readPolicy, writePolicy } from "./policy-map.ts";
import { installRouting, uninstallRouting } from "./routing.ts";
import { raiseEpoch, writeSettings } from "./settings.ts";
import type {
  CtRow,
  Datapath,
  DatapathEndpoint,
  DatapathEvent,
  DatapathOptions,
  Feature,
  PolicyMapEntry,
} from "./types.ts";

export type { MetricRow } from "./abi.ts";
export { dropReason, dropReasonNumbers } from "./drop-reason.ts";
export { DatapathError } from "./errors.ts";

const EVENTS_PER_READ = 256;
const IDENTITY_WORLD = 2;
const ANY = 0;
const ENDPOINT_ID_MAX = 65_535;

/* The object that uses every map comes first: it makes them, the others borrow. */
const OBJECTS = ["pod.o", "host.o", "sock.o"] as const;
const PROGRAMS: Readonly<Record<ProgramName, (typeof OBJECTS)[number]>> = {
  pod_egress: "pod.o",
  pod_ingress: "pod.o",
  netdev_ingress: "host.o",
  proxy_lookup: "sock.o",
};

/** What a node may choose; `bpffs` is the only thing it must: a folder of its own. */
export interface CreateDatapathOptions
  extends Pick<DatapathOptions, "bpffs">,
    Partial<Pick<DatapathOptions, "objects">> {
  /** Identity of an address that the ipcache does not list. */
  worldIpv4?: number;
  worldIpv6?: number;
  /** One trace event per packet, not per change of a connection. */
  traceEstablished?: boolean;
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
  readonly #records = new Uint8Array(EVENTS_PER_READ * LAYOUT.event.size);
  #ring: RingBuffer | undefined;

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
    this.#maps.adopt();
    for (const name of OBJECTS) this.#load(name);
    writeSettings(this.#native, this.#maps.fd("config"), {
      worldIpv4: this.#options.worldIpv4 ?? IDENTITY_WORLD,
      worldIpv6: this.#options.worldIpv6 ?? IDENTITY_WORLD,
      traceEstablished: this.#options.traceEstablished ?? false,
    });
    installRouting();
    this.#links.attachNetns(this.#programs().proxy_lookup);
    this.#ring = new this.#native.RingBuffer(this.#maps.fd("events"), LAYOUT.event.size);
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
    const fd = this.#maps.fd("ipcache");
    this.#native.mapUpdate(fd, encodeIpcacheKey(prefix), encodeIpcacheValue(identity), ANY);
    this.bumpEpoch();
  }

  deleteIpcache(prefix: string): void {
    this.#native.mapDelete(this.#maps.fd("ipcache"), encodeIpcacheKey(prefix));
    this.bumpEpoch();
  }

  listIpcache(): { prefix: string; identity: number }[] {
    return readRows(this.#native, this.#maps.fd("ipcache")).map(({ key, value }) => ({
      prefix: decodeIpcacheKey(key),
      identity: decodeNumber(value),
    }));
  }

  /** Rows first, then programs, then the interface comes up: never up without its programs. */
  upsertEndpoint(endpoint: DatapathEndpoint): void {
    if (!Number.isInteger(endpoint.id) || endpoint.id < 1 || endpoint.id > ENDPOINT_ID_MAX)
      throw new RangeError(`Cannot add endpoint ${endpoint.id}: ids are 1..${ENDPOINT_ID_MAX}`);
    putRows(this.#native, this.#maps, endpoint);
    this.bumpEpoch();
    this.#links.sweep();
    const programs = this.#programs();
    const { ifindex, ifname } = endpoint;
    for (const program of ["pod_egress", "pod_ingress"] as const)
      this.#links.attach({ ifname, program }, ifindex, programs[program]);
    if (!this.#native.interfaceIsUp(ifname)) openHostSide(endpoint);
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

  attachNetdev(ifname: string): void {
    const ifindex = this.#native.interfaceIndex(ifname);
    if (ifindex === 0)
      throw new DatapathError("no-interface", `Cannot attach to ${ifname}: no such interface`);
    const program = "netdev_ingress";
    this.#links.attach({ ifname, program }, ifindex, this.#programs()[program]);
  }

  setPolicy(endpoint: number, entries: readonly PolicyMapEntry[]): void {
    writePolicy(this.#native, this.#maps.fd("policies"), endpoint, entries);
    this.bumpEpoch();
  }

  listPolicy(endpoint: number): PolicyMapEntry[] {
    return readPolicy(this.#native, this.#maps.fd("policies"), endpoint);
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
    const epochNs = BigInt(Date.now()) * 1_000_000n - process.hrtime.bigint();
    const { size } = LAYOUT.event;
    let total = 0;
    while (total < max) {
      const room = Math.min(max - total, EVENTS_PER_READ);
      const count = this.#ring.consume(this.#records.subarray(0, room * size));
      for (let at = 0; at < count * size; at += size)
        deliver(decodeEvent(this.#records.subarray(at, at + size), epochNs));
      total += count;
      if (count < room) break;
    }
    return total;
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
    if (name === OBJECTS[0]) this.#maps.pin(object);
  }

  #objectFolder(): string {
    return this.#options.objects ?? new URL("../../.build/bpf", import.meta.url).pathname;
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
