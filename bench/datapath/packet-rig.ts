/**
 * The pod's egress program beside a program that makes the same map look-ups, both on the same maps
 * and both fed by bpf/tests/packet-drive.c: one pod, many peers, connections to all of them.
 */
import { join } from "node:path";
import {
  decodeMetric,
  encodeConfig,
  encodeEndpoint,
  encodeIpcacheKey,
  encodeIpcacheValue,
  encodeNumber,
} from "../../host/datapath/abi.ts";
import { LAYOUT } from "../../host/datapath/layout.ts";
import { readPerCpuRows } from "../../host/datapath/maps.ts";
import { CT_TIMEOUTS } from "../../host/datapath/settings.ts";
import { buildFrame, FLAG } from "../../host/datapath/testdata/frame.ts";
import { writePolicy } from "../../host/datapath/testdata/policy.ts";
import type { PolicyMapEntry } from "../../host/datapath/types.ts";
import type { BpfObject, Native, RingBuffer } from "../../host/native/index.ts";
import { RunError } from "../errors.ts";

export const KINDS = ["established", "new", "denied"] as const;
export type Kind = (typeof KINDS)[number];

/**
 * `lookups`: the same look-ups alone. `bare`: of a new connection without keeping it, else the
 * same. `driver`: what all cost without doing anything.
 */
export const SIDES = ["pod", "lookups", "bare", "driver"] as const;
export type Side = (typeof SIDES)[number];

export interface RigSize {
  /** Addresses in the ipcache. */
  peers: number;
  /** Entries of the pod's policy map. */
  entries: number;
  /** In conntrack, spread over all peers. */
  connections: number;
}

const SHARED = ["ipcache", "endpoints", "interfaces", "policies", "ct", "settings", "metrics"];
/** The programs look the interface up by number only, and lo is in every namespace. */
const IFINDEX = 1;
const POD = { id: 1, address: "10.0.0.1", identity: 500 };
const FIRST_PEER_IDENTITY = 1000;
const FIRST_PORT = 1000;
const DENIED_PORT = 30_000;
const TCP = 6;
/** Nothing is answered here, and yet no connection may end while it is measured. */
const CT_LIVES = { ...CT_TIMEOUTS, tcpOpening: CT_TIMEOUTS.tcp };
/* struct __sk_buff */
const CONTEXT_BYTES = 192;
const CONTEXT_IFINDEX = 40;
const BATCH_ROWS = 1000;
const EVENTS_PER_READ = 1024;
/* packet-drive.c */
const PLAN_IN_ORDER = 1;
const PLAN_NEW_PORT = 2;
const PLAN_WORDS = 8;
const PEER_SPREAD = 2_654_435_761n;
const PEER_BITS = 0xffffffn;

const OBJECTS = { pod: "pod", lookups: "tests/packet-lookups", drive: "tests/packet-drive" };
/** By slot of the driver. */
const PROGRAMS: readonly (readonly [keyof typeof OBJECTS, string])[] = [
  ["pod", "pod_egress"],
  ["lookups", "lookups_established"],
  ["lookups", "lookups_new"],
  ["lookups", "lookups_denied"],
  ["lookups", "lookups_new_bare"],
  ["drive", "nothing"],
];
const SLOTS: Readonly<Record<Kind, Record<Side, number>>> = {
  established: { pod: 0, lookups: 1, bare: 1, driver: 5 },
  new: { pod: 0, lookups: 2, bare: 4, driver: 5 },
  denied: { pod: 0, lookups: 3, bare: 3, driver: 5 },
};
/** What the pod's program tells of one packet. */
const EVENTS: Readonly<Record<Kind, number>> = { established: 0, new: 2, denied: 2 };
const REASON: Readonly<Record<Kind, number>> = { established: 0, new: 0, denied: 133 };
/** The random ports of new connections meet one that is there now and then. */
const OTHERS_MAX = 0.01;

export class PacketRig {
  readonly size: RigSize;
  readonly #native: Native;
  readonly #objects: Readonly<Record<keyof typeof OBJECTS, BpfObject>>;
  readonly #ring: RingBuffer;
  readonly #records = new Uint8Array(EVENTS_PER_READ * LAYOUT.event.size);
  readonly #frame = buildFrame({ source: POD.address, destination: "11.0.0.0", flags: FLAG.ack });

  constructor(native: Native, root: string, size: RigSize) {
    this.#native = native;
    this.size = size;
    const open = (name: string): BpfObject =>
      new native.BpfObject(join(root, ".build", "bpf", `${name}.o`));
    const pod = open(OBJECTS.pod);
    pod.load();
    const lookups = open(OBJECTS.lookups);
    for (const name of SHARED) lookups.reuseMap(name, pod.mapFd(name));
    lookups.load();
    const drive = open(OBJECTS.drive);
    drive.load();
    this.#objects = { pod, lookups, drive };
    this.#ring = new native.RingBuffer(pod.mapFd("events"), LAYOUT.event.size);
    const targets = drive.mapFd("targets");
    PROGRAMS.forEach(([object, name], slot) => {
      const program = encodeNumber(this.#objects[object].programFd(name));
      native.mapUpdate(targets, encodeNumber(slot), program, 0);
    });
    this.#fillMaps();
    this.#fillIpcache();
    this.#fillPolicy();
    this.#openConnections();
  }

  /**
   * Nanoseconds a packet, over `packets` of them.
   * @throws RunError: packets of another kind were among them.
   */
  measure(kind: Kind, side: Side, packets: number): number {
    const flags = kind === "established" ? 0 : PLAN_NEW_PORT;
    const tcpFlags = kind === "established" ? FLAG.ack : FLAG.syn;
    const firstPort = kind === "denied" ? DENIED_PORT : FIRST_PORT;
    this.#plan({ target: SLOTS[kind][side], flags, tcpFlags, firstPort });
    const before = this.#counted(REASON[kind]);
    const nanoseconds = this.#run(packets);
    const counted = this.#counted(REASON[kind]) - before;
    const told = this.#drain();
    const wantedCount = side === "driver" ? 0 : packets;
    const wantedTold = side === "pod" ? EVENTS[kind] * packets : 0;
    const differs = (value: number, wanted: number): boolean =>
      Math.abs(value - wanted) > wanted * OTHERS_MAX;
    if (differs(counted, wantedCount) || differs(told, wantedTold)) {
      throw new RunError(
        `Cannot believe ${kind} packets of ${side}: ${packets} ran, ${counted} were counted, ` +
          `${told} events came`,
      );
    }
    return nanoseconds;
  }

  close(): void {
    this.#ring.close();
    for (const object of Object.values(this.#objects)) object.close();
  }

  /** So many different identities, each with so many ports, are the policy's entries. */
  get #spread(): { identities: number; ports: number } {
    const identities = Math.min(this.size.peers, this.size.entries);
    return { identities, ports: Math.ceil(this.size.entries / identities) };
  }

  #fillMaps(): void {
    const settings = encodeConfig({
      ...{ epoch: 1, worldIpv4: 9, worldIpv6: 10, traceEstablished: false, audit: false },
      ...{
        host: false,
        hostAudit: false,
        hostByPolicy: false,
        denyByIcmp: false,
        fragNeeded: true,
        ctTimeouts: CT_LIVES,
      },
    });
    this.#native.mapUpdate(this.#objects.pod.mapFd("settings"), encodeNumber(0), settings, 0);
    const row = encodeEndpoint({
      ...{ id: POD.id, identity: POD.identity, ipv4: POD.address, ifname: "lo", ifindex: IFINDEX },
      ...{ podMac: "02:00:00:00:00:01", hostMac: "02:00:00:00:00:02" },
    });
    this.#native.mapUpdate(this.#objects.pod.mapFd("interfaces"), encodeNumber(IFINDEX), row, 0);
  }

  #fillIpcache(): void {
    const { ipcache_key: key, ipcache_value: value } = LAYOUT;
    for (let from = 0; from < this.size.peers; from += BATCH_ROWS) {
      const count = Math.min(BATCH_ROWS, this.size.peers - from);
      const keys = new Uint8Array(count * key.size);
      const values = new Uint8Array(count * value.size);
      for (let at = 0; at < count; at++) {
        const identity = FIRST_PEER_IDENTITY + ((from + at) % this.#spread.identities);
        keys.set(encodeIpcacheKey(`${peerAddress(from + at)}/32`), at * key.size);
        values.set(encodeIpcacheValue(identity), at * value.size);
      }
      this.#native.mapUpdateBatch(this.#objects.pod.mapFd("ipcache"), keys, values, count);
    }
  }

  #fillPolicy(): void {
    const { identities } = this.#spread;
    const entries = Array.from({ length: this.size.entries }, (_, at): PolicyMapEntry => {
      return {
        identity: FIRST_PEER_IDENTITY + (at % identities),
        port: FIRST_PORT + Math.floor(at / identities),
        ...{ direction: "egress", protocol: TCP, portPrefix: 16, precedence: 1 },
        ...{ deny: false, redirect: false, ruleSet: 0, cookie: 1 },
      };
    });
    writePolicy(this.#native, this.#objects.pod.mapFd("policies"), POD.id, entries);
  }

  /** By the pod's own program, as they would be. */
  #openConnections(): void {
    const plan = { target: SLOTS.new.pod, flags: PLAN_IN_ORDER, tcpFlags: FLAG.syn };
    this.#plan({ ...plan, firstPort: FIRST_PORT });
    for (let left = this.size.connections; left > 0; left -= BATCH_ROWS) {
      const count = Math.min(BATCH_ROWS, left);
      this.#run(count);
      const told = this.#drain();
      if (told !== EVENTS.new * count) {
        throw new RunError(`Cannot open connections: ${told} events of ${count} packets`);
      }
    }
  }

  #plan(plan: { target: number; flags: number; tcpFlags: number; firstPort: number }): void {
    const row = new Uint32Array(PLAN_WORDS);
    const { target, flags, tcpFlags, firstPort } = plan;
    const { connections, peers } = this.size;
    row.set([target, connections, peers, this.#spread.ports, firstPort, flags, 0, tcpFlags]);
    const bytes = new Uint8Array(row.buffer);
    this.#native.mapUpdate(this.#objects.drive.mapFd("plans"), encodeNumber(0), bytes, 0);
  }

  #run(packets: number): number {
    const context = new Uint8Array(CONTEXT_BYTES);
    new DataView(context.buffer).setUint32(CONTEXT_IFINDEX, IFINDEX, true);
    const drive = this.#objects.drive.programFd("drive");
    const out = new Uint8Array(this.#frame.length);
    const contextOut = new Uint8Array(CONTEXT_BYTES);
    const run = this.#native.programTestRun(drive, this.#frame, out, context, contextOut, packets);
    return run.nanoseconds;
  }

  #counted(reason: number): number {
    return readPerCpuRows(this.#native, this.#objects.pod.mapFd("metrics"))
      .map(({ key, value }) => decodeMetric(key, value))
      .filter((row) => row.reason === reason)
      .reduce((sum, { packets }) => sum + packets, 0);
  }

  /** Takes what was told, as the agent does, so that the ring has room; returns how much. */
  #drain(): number {
    for (let total = 0; ; ) {
      const count = this.#ring.consume(this.#records);
      total += count;
      if (count < EVENTS_PER_READ) return total;
    }
  }
}

/** As packet-drive.c has it. */
function peerAddress(peer: number): string {
  const host = Number((BigInt(peer) * PEER_SPREAD) & PEER_BITS);
  return `11.${host >>> 16}.${(host >>> 8) & 255}.${host & 255}`;
}
