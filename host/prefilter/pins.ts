/**
 * The prefilter in the kernel: its maps and its links to interfaces, pinned under prefilter/ of the
 * BPF file system so that they stay in force without the agent. A link's program is swapped, never
 * detached first.
 */
import { existsSync, mkdirSync, readdirSync, rmSync, unlinkSync } from "node:fs";
import { join } from "node:path";
import { loadError } from "../datapath/errors.ts";
import { type BpfObject, isNativeError, type Native } from "../native/index.ts";
import { ABI_VERSION_PREFILTER } from "./layout.ts";

const XDP = 37;
const XDP_FLAGS_SKB_MODE = 2;
const XDP_FLAGS_DRV_MODE = 4;
const OBJECT = new URL("../../.build/bpf/xdp.o", import.meta.url).pathname;
const MAPS = ["groups", "leaves", "nodes", "tails", "prefilter_config", "counters"] as const;
type MapName = (typeof MAPS)[number];

const SLOWER = "its driver refuses native mode; generic mode is slower";

export type XdpMode = "native" | "generic";

/** How the prefilter stands on an interface. */
export interface PrefilterDevice {
  name: string;
  attached: boolean;
  mode?: XdpMode;
  /** Why it is not attached, or not in native mode. */
  detail: string;
}

export class PrefilterPins {
  readonly #native: Native;
  readonly #folder: string;
  readonly #object: BpfObject;

  /**
   * Adopts the pinned maps of this version, and makes those there are not.
   * @param eventsFd Ring of the datapath's events.
   * @throws DatapathError when the kernel refuses the program.
   */
  constructor(native: Native, bpffs: string, eventsFd: number) {
    this.#native = native;
    this.#folder = prefilterFolder(bpffs);
    mkdirSync(join(this.#folder, "maps"), { recursive: true });
    mkdirSync(join(this.#folder, "links"), { recursive: true });
    this.#object = new native.BpfObject(OBJECT);
    try {
      this.#load(eventsFd);
    } catch (error) {
      this.#object.close();
      throw isNativeError(error) ? loadError(OBJECT, error) : error;
    }
  }

  map(name: MapName): number {
    return this.#object.mapFd(name);
  }

  /** Replaces the programs of links that an earlier agent left; those of other interfaces go. */
  adopt(devices: readonly string[]): void {
    for (const file of this.#links()) {
      const path = join(this.#folder, "links", file);
      const link = this.#native.objectGet(path);
      if (link === undefined) continue;
      try {
        const { ifindex } = this.#native.linkInfo(link);
        const name = devices.find((one) => filesOf(one).includes(file));
        if (name === undefined || ifindex !== this.#native.interfaceIndex(name)) unlinkSync(path);
        else this.#native.linkUpdate(link, this.#program());
      } finally {
        this.#native.closeFd(link);
      }
    }
  }

  /** Never throws: an interface that cannot have the program says why. */
  attach(name: string): PrefilterDevice {
    const ifindex = this.#native.interfaceIndex(name);
    const present = this.#modeOf(name, ifindex);
    if (present !== undefined) return attached(name, present, present === "generic" ? SLOWER : "");
    if (ifindex === 0) return refused(name, "no such interface");
    const native = this.#link(name, ifindex, "native");
    if (native === undefined) return attached(name, "native", "");
    if (isNativeError(native, "EBUSY") || isNativeError(native, "EEXIST")) {
      return refused(name, "another XDP program is attached; 'ip link' shows it");
    }
    const generic = this.#link(name, ifindex, "generic");
    if (generic !== undefined) return refused(name, generic.message);
    return attached(name, "generic", `${SLOWER} (${native.message})`);
  }

  detach(name: string): void {
    const files = filesOf(name);
    for (const file of this.#links()) {
      if (files.includes(file)) unlinkSync(join(this.#folder, "links", file));
    }
  }

  close(): void {
    this.#object.close();
  }

  #load(eventsFd: number): void {
    this.#object.reuseMap("events", eventsFd);
    const made = MAPS.filter((name) => {
      const fd = this.#native.objectGet(this.#mapPath(name));
      if (fd === undefined) return true;
      this.#object.reuseMap(name, fd);
      this.#native.closeFd(fd);
      return false;
    });
    this.#object.load();
    for (const name of made) this.#native.objectPin(this.map(name), this.#mapPath(name));
    const current = new Set(MAPS.map((name) => mapFile(name)));
    for (const file of readdirSync(join(this.#folder, "maps"))) {
      if (!current.has(file)) unlinkSync(join(this.#folder, "maps", file));
    }
  }

  #link(name: string, ifindex: number, mode: XdpMode): Error | undefined {
    const flags = mode === "native" ? XDP_FLAGS_DRV_MODE : XDP_FLAGS_SKB_MODE;
    let link: number;
    try {
      link = this.#native.linkCreate(this.#program(), ifindex, XDP, flags);
    } catch (error) {
      return error as Error;
    }
    try {
      this.#native.objectPin(link, join(this.#folder, "links", `${fileName(name)}-${mode}`));
    } finally {
      this.#native.closeFd(link);
    }
    return undefined;
  }

  /** Undefined: it is not attached. The link of an interface of that name that is gone goes too. */
  #modeOf(name: string, ifindex: number): XdpMode | undefined {
    for (const mode of ["native", "generic"] as const) {
      const path = join(this.#folder, "links", `${fileName(name)}-${mode}`);
      const link = this.#native.objectGet(path);
      if (link === undefined) continue;
      const isCurrent = this.#native.linkInfo(link).ifindex === ifindex && ifindex !== 0;
      this.#native.closeFd(link);
      if (isCurrent) return mode;
      unlinkSync(path);
    }
    return undefined;
  }

  #program(): number {
    return this.#object.programFd("prefilter");
  }

  #links(): string[] {
    return readdirSync(join(this.#folder, "links"));
  }

  #mapPath(name: MapName): string {
    return join(this.#folder, "maps", mapFile(name));
  }
}

/** Removes everything of the prefilter from the kernel; a line for each thing. */
export function removePrefilter(bpffs: string): string[] {
  const folder = prefilterFolder(bpffs);
  const links = join(folder, "links");
  if (!existsSync(links)) return [];
  const removed = readdirSync(links).map((file) => `link ${file.replaceAll("@", ".")} (prefilter)`);
  rmSync(folder, { recursive: true });
  return removed;
}

const prefilterFolder = (bpffs: string): string => join(bpffs, "prefilter");
const mapFile = (name: MapName): string => `${name}@${ABI_VERSION_PREFILTER}`;
/** bpffs refuses dots in names. */
const fileName = (device: string): string => device.replaceAll(".", "@");

/** A link is pinned under one of these. */
const filesOf = (device: string): string[] =>
  ["native", "generic"].map((mode) => `${fileName(device)}-${mode}`);

const attached = (name: string, mode: XdpMode, detail: string): PrefilterDevice => ({
  ...{ name, attached: true, mode, detail },
});
const refused = (name: string, detail: string): PrefilterDevice => ({
  ...{ name, attached: false, detail },
});
