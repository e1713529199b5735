/**
 * Loads the objects with maps of their own, unpinned and unattached, and runs single frames
 * through a program: build, set up, run, look (BPF_PROG_TEST_RUN). What needs real sockets or
 * interfaces is in traffic.root.test.ts.
 */
import {
  type BpfObject,
  loadNative,
  type Native,
  type ProgramInfo,
  type RingBuffer,
} from "../../native/index.ts";
import {
  type ConfigRow,
  decodeConfig,
  decodeCt,
  decodeEvent,
  encodeAddress,
  encodeConfig,
  encodeEndpoint,
  encodeIpcacheKey,
  encodeIpcacheValue,
  encodeNumber,
} from "../abi.ts";
import { LAYOUT } from "../layout.ts";
import { readRows } from "../maps.ts";
import { settingsFor } from "../settings.ts";
import type { CtRow, DatapathEndpoint, DatapathEvent, PolicyMapEntry } from "../types.ts";
import { writePolicy } from "./policy.ts";

const BUILD = new URL("../../../.build/bpf/", import.meta.url).pathname;
const SHARED = [
  "ipcache",
  "endpoints",
  "interfaces",
  "policies",
  "fragments",
  "ct",
  "handoff",
  "listeners",
  "settings",
  "proxy_config",
  "events",
  "metrics",
] as const;
const EVENTS_MAX = 64;
const FRAME_BYTES_MAX = 2048;
/* struct __sk_buff */
const CONTEXT_BYTES = 192;
const CONTEXT_MARK = 8;
const CONTEXT_INGRESS_IFINDEX = 36;
const CONTEXT_IFINDEX = 40;
/** The programs look the interface up by number only, and lo is in every namespace. */
export const IFINDEX = 1;

export type ProgramName = "pod_egress" | "pod_ingress" | "netdev_ingress" | "netdev_egress";

const NO_SETTINGS = decodeConfig(new Uint8Array(LAYOUT.config.size));

export interface Run {
  result: number;
  mark: number;
  frame: Uint8Array;
  events: DatapathEvent[];
  /** As it is when looked at: reading it takes a walk over the whole map. */
  readonly ct: CtRow[];
}

export class ProgramBench {
  readonly native: Native = loadNative();
  readonly #pod: BpfObject;
  readonly #host: BpfObject;
  readonly #ring: RingBuffer;
  #epoch = 1;

  constructor() {
    this.#pod = new this.native.BpfObject(`${BUILD}pod.o`);
    this.#pod.load();
    this.#host = new this.native.BpfObject(`${BUILD}host.o`);
    for (const name of SHARED) this.#host.reuseMap(name, this.map(name));
    this.#host.load();
    this.#ring = new this.native.RingBuffer(this.map("events"), LAYOUT.event.size);
  }

  map(name: (typeof SHARED)[number]): number {
    return this.#pod.mapFd(name);
  }

  /** Empty maps, a new epoch. */
  reset(): void {
    for (const name of [
      "ipcache",
      "endpoints",
      "interfaces",
      "policies",
      "fragments",
      "ct",
      "handoff",
    ] as const)
      for (const { key } of readRows(this.native, this.map(name)))
        this.native.mapDelete(this.map(name), key);
    this.config(false);
    this.#takeEvents();
  }

  /** Raises the epoch. */
  config(traceEstablished: boolean, change: Partial<ConfigRow> = {}): void {
    this.#epoch++;
    const row = {
      ...settingsFor({ worldIpv4: 9, worldIpv6: 10, traceEstablished }, NO_SETTINGS),
      ...change,
      epoch: this.#epoch,
    };
    this.native.mapUpdate(this.map("settings"), encodeNumber(0), encodeConfig(row), 0);
  }

  /** `own`: it is the one behind the interface that frames run on. */
  endpoint(endpoint: DatapathEndpoint, own: boolean): void {
    const row = encodeEndpoint(endpoint);
    if (own) this.native.mapUpdate(this.map("interfaces"), encodeNumber(IFINDEX), row, 0);
    for (const address of [endpoint.ipv4, endpoint.ipv6])
      if (address !== undefined)
        this.native.mapUpdate(this.map("endpoints"), encodeAddress(address), row, 0);
  }

  ipcache(prefix: string, identity: number): void {
    const value = encodeIpcacheValue(identity);
    this.native.mapUpdate(this.map("ipcache"), encodeIpcacheKey(prefix), value, 0);
  }

  policy(endpoint: number, entries: readonly PolicyMapEntry[]): void {
    writePolicy(this.native, this.map("policies"), endpoint, entries);
  }

  workers(count: number): void {
    const row = new Uint8Array(LAYOUT.proxy_config.size);
    new DataView(row.buffer).setUint32(0, count, true);
    this.native.mapUpdate(this.map("proxy_config"), encodeNumber(0), row, 0);
  }

  run(
    program: ProgramName,
    frame: Uint8Array,
    { mark = 0, ingressIfindex = 0, repeat = 1 } = {},
  ): Run & { nanoseconds: number } {
    const context = new Uint8Array(CONTEXT_BYTES);
    const view = new DataView(context.buffer);
    view.setUint32(CONTEXT_MARK, mark, true);
    view.setUint32(CONTEXT_INGRESS_IFINDEX, ingressIfindex, true);
    view.setUint32(CONTEXT_IFINDEX, IFINDEX, true);
    const contextOut = new Uint8Array(CONTEXT_BYTES);
    const out = new Uint8Array(FRAME_BYTES_MAX);
    const fd = this.#object(program).programFd(program);
    const done = this.native.programTestRun(fd, frame, out, context, contextOut, repeat);
    const readCt = (): CtRow[] => this.ct();
    return {
      result: done.result,
      mark: new DataView(contextOut.buffer).getUint32(CONTEXT_MARK, true),
      frame: out.subarray(0, done.bytes),
      events: this.#takeEvents(),
      get ct() {
        return readCt();
      },
      nanoseconds: done.nanoseconds,
    };
  }

  info(program: ProgramName): ProgramInfo {
    return this.native.programInfo(this.#object(program).programFd(program));
  }

  ct(): CtRow[] {
    const now = process.hrtime.bigint();
    return readRows(this.native, this.map("ct")).map(({ key, value }) => decodeCt(key, value, now));
  }

  /** Changes every entry of the conntrack map in place. */
  editCt(edit: (value: DataView) => void): void {
    for (const { key, value } of readRows(this.native, this.map("ct"))) {
      edit(new DataView(value.buffer, value.byteOffset, value.byteLength));
      this.native.mapUpdate(this.map("ct"), key, value, 0);
    }
  }

  close(): void {
    this.#ring.close();
    this.#host.close();
    this.#pod.close();
  }

  #object(program: ProgramName): BpfObject {
    return program.startsWith("netdev") ? this.#host : this.#pod;
  }

  #takeEvents(): DatapathEvent[] {
    const records = new Uint8Array(EVENTS_MAX * LAYOUT.event.size);
    const count = this.#ring.consume(records);
    return Array.from({ length: count }, (_, index) =>
      decodeEvent(records.subarray(index * LAYOUT.event.size), 0n),
    );
  }
}
