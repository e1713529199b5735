/**
 * The pinned maps: which there are, where they are pinned, and whole-map reads. A map is pinned as
 * maps/NAME@VERSION, so maps of two layouts can stand beside each other while one replaces the
 * other.
 */
import { existsSync, mkdirSync, readdirSync, unlinkSync } from "node:fs";
import { join } from "node:path";
import { type BpfObject, isNativeError, type Native } from "../native/index.ts";
import { decodeNumber } from "./abi.ts";
import { DatapathError } from "./errors.ts";
import { ABI_VERSION, LAYOUT } from "./layout.ts";

export type MapName = keyof typeof ABI_VERSION;

interface MapShape {
  /** Its name in the objects; the pinned name where they agree. */
  symbol: string;
  keyBytes: number;
  valueBytes: number;
}

const shape = (symbol: string, keyBytes: number, valueBytes: number): MapShape => ({
  symbol,
  keyBytes,
  valueBytes,
});

const MAPS: Readonly<Record<MapName, MapShape>> = {
  ipcache: shape("ipcache", LAYOUT.ipcache_key.size, LAYOUT.ipcache_value.size),
  endpoints: shape("endpoints", 16, LAYOUT.endpoint.size),
  interfaces: shape("interfaces", 4, LAYOUT.endpoint.size),
  policies: shape("policies", 4, 4),
  fragments: shape("fragments", LAYOUT.fragment_key.size, LAYOUT.fragment_value.size),
  ct: shape("ct", LAYOUT.tuple.size, LAYOUT.ct_value.size),
  handoff: shape("handoff", LAYOUT.tuple.size, LAYOUT.handoff.size),
  listeners: shape("listeners", 4, 8),
  config: shape("settings", 4, LAYOUT.config.size),
  proxy_config: shape("proxy_config", 4, LAYOUT.proxy_config.size),
  events: shape("events", 0, 0),
  metrics: shape("metrics", LAYOUT.metrics_key.size, LAYOUT.metrics_value.size),
};

const MAP_NAMES = Object.keys(MAPS) as MapName[];
const BATCH_ENTRIES = 4096;
const ANY = 0;

export class PinnedMaps {
  readonly #native: Native;
  readonly #folder: string;
  readonly #versions: Readonly<Record<MapName, number>>;
  readonly #fds = new Map<MapName, number>();

  constructor(native: Native, bpffs: string, versions: Partial<Record<MapName, number>> = {}) {
    this.#native = native;
    this.#folder = join(bpffs, "maps");
    this.#versions = { ...ABI_VERSION, ...versions };
  }

  /**
   * Opens every map that is pinned already. Throws DatapathError `abi-mismatch` when one has
   * another layout under the same version.
   */
  adopt(): void {
    mkdirSync(this.#folder, { recursive: true });
    for (const name of MAP_NAMES) {
      const fd = this.#native.objectGet(this.#path(name));
      if (fd === undefined) continue;
      this.#fds.set(name, fd);
      this.#check(name, fd);
    }
  }

  /** Before an object is loaded: gives it the maps that are there. */
  lend(object: BpfObject): void {
    for (const [name, fd] of this.#fds) object.reuseMap(MAPS[name].symbol, fd);
  }

  /** After the object with all maps was loaded: pins those it made. Returns their names. */
  pin(object: BpfObject): MapName[] {
    const made = MAP_NAMES.filter((name) => !this.#fds.has(name));
    for (const name of made) {
      this.#native.objectPin(object.mapFd(MAPS[name].symbol), this.#path(name));
      const fd = this.#native.objectGet(this.#path(name));
      if (fd === undefined) throw new DatapathError("load-failed", `Cannot pin map ${name}`);
      this.#fds.set(name, fd);
    }
    return made;
  }

  fd(name: MapName): number {
    const fd = this.#fds.get(name);
    if (fd === undefined)
      throw new DatapathError("not-started", `Cannot use map ${name}: the datapath is not started`);
    return fd;
  }

  /** Writes a row. @throws DatapathError `map-full`, and what else the kernel says. */
  put(name: MapName, key: Uint8Array, value: Uint8Array): void {
    const fd = this.fd(name);
    try {
      this.#native.mapUpdate(fd, key, value, ANY);
    } catch (error) {
      // A hash table says E2BIG, a trie ENOSPC.
      if (!isNativeError(error, "E2BIG") && !isNativeError(error, "ENOSPC")) throw error;
      const { entries } = this.#native.mapInfo(fd);
      const message = `Cannot write to the map ${name}: all its ${entries} rows are taken`;
      throw new DatapathError("map-full", message, { cause: error });
    }
  }

  /** The map of the same layout under an older version, if one is pinned; the caller closes it. */
  openOlder(name: MapName): number | undefined {
    const { keyBytes, valueBytes } = MAPS[name];
    for (const file of this.#files().filter((one) => one.startsWith(`${name}@`))) {
      if (file === this.#file(name)) continue;
      const fd = this.#native.objectGet(join(this.#folder, file));
      if (fd === undefined) continue;
      const info = this.#native.mapInfo(fd);
      if (info.keyBytes === keyBytes && info.valueBytes === valueBytes) return fd;
      this.#native.closeFd(fd);
    }
    return undefined;
  }

  /** Unpins maps of other versions; returns their file names. */
  removeOlder(): string[] {
    const current = new Set(MAP_NAMES.map((name) => this.#file(name)));
    const older = this.#files().filter((file) => !current.has(file));
    for (const file of older) unlinkSync(join(this.#folder, file));
    return older;
  }

  /** Unpins everything; returns file names. */
  removeAll(): string[] {
    const files = this.#files();
    for (const file of files) unlinkSync(join(this.#folder, file));
    return files;
  }

  close(): void {
    for (const fd of this.#fds.values()) this.#native.closeFd(fd);
    this.#fds.clear();
  }

  #file(name: MapName): string {
    return `${name}@${this.#versions[name]}`;
  }

  #path(name: MapName): string {
    return join(this.#folder, this.#file(name));
  }

  #files(): string[] {
    return existsSync(this.#folder) ? readdirSync(this.#folder).sort() : [];
  }

  #check(name: MapName, fd: number): void {
    const { keyBytes, valueBytes } = MAPS[name];
    const info = this.#native.mapInfo(fd);
    if (info.keyBytes === keyBytes && info.valueBytes === valueBytes) return;
    throw new DatapathError(
      "abi-mismatch",
      `Cannot adopt ${this.#path(name)}: its rows have ${info.keyBytes}+${info.valueBytes} bytes, ` +
        `this build has ${keyBytes}+${valueBytes} under the same version`,
    );
  }
}

/** Key and value of one row, copies. */
export interface MapRow {
  key: Uint8Array;
  value: Uint8Array;
}

/**
 * At most `entries` rows of a hash or trie (not per-CPU), from where the last batch ended or from
 * the start. `next` is undefined at the end. Rows written meanwhile may be missed.
 */
export function readBatch(
  native: Native,
  fd: number,
  from: Uint8Array | undefined,
  entries = BATCH_ENTRIES,
): { rows: MapRow[]; next: Uint8Array | undefined } {
  const { keyBytes, valueBytes } = native.mapInfo(fd);
  const keys = new Uint8Array(keyBytes * entries);
  const values = new Uint8Array(valueBytes * entries);
  // The kernel keeps a bucket number for hashes and the last key for tries.
  const next = new Uint8Array(Math.max(4, keyBytes));
  const batch = native.mapLookupBatch(fd, from ?? null, next, keys, values, entries);
  const rows = Array.from({ length: batch.count }, (_, index) => ({
    key: keys.slice(index * keyBytes, (index + 1) * keyBytes),
    value: values.slice(index * valueBytes, (index + 1) * valueBytes),
  }));
  return { rows, next: batch.last ? undefined : next };
}

/** All rows of a hash or trie (not per-CPU). */
export function readRows(native: Native, fd: number): MapRow[] {
  const rows: MapRow[] = [];
  let from: Uint8Array | undefined;
  do {
    const batch = readBatch(native, fd, from);
    for (const row of batch.rows) rows.push(row);
    from = batch.next;
  } while (from !== undefined);
  return rows;
}

/** All rows of a per-CPU hash; value holds one struct per possible CPU. */
export function readPerCpuRows(native: Native, fd: number): MapRow[] {
  const { keyBytes, valueBytes } = native.mapInfo(fd);
  const rows: MapRow[] = [];
  let key: Uint8Array | null = null;
  for (;;) {
    const next = new Uint8Array(keyBytes);
    if (!native.mapNextKey(fd, key, next)) return rows;
    const value = new Uint8Array(Math.ceil(valueBytes / 8) * 8 * native.possibleCpus());
    if (native.mapLookup(fd, next, value)) rows.push({ key: next, value });
    key = next;
  }
}

/** Row 0 of an array, or the row under a number. */
export function readNumberRow(native: Native, fd: number, key: number): Uint8Array | undefined {
  const value = new Uint8Array(native.mapInfo(fd).valueBytes);
  const bytes = new Uint8Array(new Uint32Array([key]).buffer);
  return native.mapLookup(fd, bytes, value) ? value : undefined;
}

/** The id of the inner map in a row of a map of maps. */
export function innerMapId(value: Uint8Array): number {
  return decodeNumber(value);
}
