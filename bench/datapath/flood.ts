/**
 * `node bench/datapath/flood.ts ROOT PREFIXES ROUNDS PACKETS`, in a network namespace with the veth
 * pair `flood-a`, `flood-b`: sends packets whose sources are all denied into the pair, and has
 * them dropped at its other end by the prefilter and by an nftables set in turn. Prints the CPU
 * time of a packet for each as a line of JSON. All of it is this thread's: the kernel delivers on
 * the sender's CPU, and softirq time counts as the time of who was interrupted.
 */
import { execFileSync } from "node:child_process";
import { readFileSync } from "node:fs";
import { isNativeError } from "../../host/native/index.ts";
import { decodeCounters } from "../../host/prefilter/counters.ts";
import { COUNTERS } from "../../host/prefilter/layout.ts";
import { PrefixList } from "../../host/prefilter/prefix-list.ts";
import { RunError } from "../errors.ts";
import { FRAMES, PrefilterSubject } from "./prefilter-subject.ts";

const XDP = 37;
const XDP_FLAGS_DRV_MODE = 4;
const BPF_F_TEST_XDP_LIVE_FRAMES = 2;
const CONTEXT_BYTES = 24;
/** Packets of one call. */
const CHUNK = 5_000;
/** A full ring between the two ends loses packets before they are looked at. */
const SEEN_SHARE_MIN = 0.95;

export interface FloodResult {
  /** Nanoseconds of CPU a packet, a round each. */
  prefilterNs: number[];
  nftNs: number[];
}

/** Packets that were dropped so far. */
type DroppedCount = () => number;

class Flood {
  readonly #subject: PrefilterSubject;
  readonly #from: number;
  readonly #to: number;

  constructor(subject: PrefilterSubject) {
    this.#subject = subject;
    const { native, object } = subject;
    this.#from = native.interfaceIndex("flood-a");
    this.#to = native.interfaceIndex("flood-b");
    const row = new Uint8Array(new Uint32Array([this.#from]).buffer);
    native.mapUpdate(object.mapFd("target"), new Uint8Array(4), row, 0);
  }

  /** Nanoseconds of CPU a packet. */
  send(packets: number, dropped: DroppedCount): number {
    const { native, object } = this.#subject;
    const frame = FRAMES[4];
    const context = new Uint8Array(CONTEXT_BYTES);
    new DataView(context.buffer).setUint32(4, frame.length, true);
    const fd = object.programFd("bench_send");
    const [none, before] = [new Uint8Array(), dropped()];
    const usage = process.threadCpuUsage();
    for (let sent = 0; sent < packets; ) {
      try {
        native.programTestRun(fd, frame, none, context, null, CHUNK, BPF_F_TEST_XDP_LIVE_FRAMES);
        sent += CHUNK;
      } catch (error) {
        // A signal ends a run early; what it has sent is counted where it is dropped.
        if (!isNativeError(error, "EINTR")) throw error;
      }
    }
    const { user, system } = process.threadCpuUsage(usage);
    const seen = dropped() - before;
    if (seen < packets * SEEN_SHARE_MIN) {
      throw new RunError(`Cannot compare: of ${packets} packets only ${seen} were dropped`);
    }
    return ((user + system) * 1000) / seen;
  }

  prefilter(packets: number): number {
    const { native, object } = this.#subject;
    const program = object.programFd("bench_receive");
    const link = native.linkCreate(program, this.#to, XDP, XDP_FLAGS_DRV_MODE);
    try {
      return this.send(packets, () => {
        const values = new Uint8Array(COUNTERS.size * native.possibleCpus());
        native.mapLookup(object.mapFd("counters"), new Uint8Array(4), values);
        return decodeCounters(values).ipv4.droppedPackets;
      });
    } finally {
      native.closeFd(link);
    }
  }

  nft(packets: number): number {
    const rules =
      "chain netdev flood ingress { type filter hook ingress device flood-b priority 0; }";
    nft(`add ${rules}\nadd rule netdev flood ingress ip saddr @denied counter drop\n`);
    try {
      return this.send(packets, () => {
        const text = execFileSync("nft", ["-t", "list", "chain", "netdev", "flood", "ingress"]);
        return Number(/packets (\d+)/.exec(text.toString())?.[1]);
      });
    } finally {
      nft("flush chain netdev flood ingress\ndelete chain netdev flood ingress\n");
    }
  }
}

function nft(script: string): void {
  execFileSync("nft", ["-f", "-"], { input: script, stdio: ["pipe", "ignore", "pipe"] });
}

/** The outermost prefixes of the list: an interval set refuses those inside others. */
function fillSet(subject: PrefilterSubject): void {
  const list = new PrefixList(4);
  for (const one of subject.lists[4]) list.push(one);
  list.sort();
  const elements = Array.from(list.outermost(), (row) => list.text(row)).join(",\n");
  const set = `type ipv4_addr; flags interval; elements = { ${elements} };`;
  nft(`table netdev flood {\n set denied { ${set} }\n}\n`);
}

function main([root = "", prefixes = "", rounds = "", packets = ""]: string[]): FloodResult {
  if (!readFileSync("/proc/net/dev", "utf8").includes("flood-b")) {
    throw new RunError("Cannot flood: flood-b is not in this network namespace");
  }
  // Without it the pair takes no redirected frames while no XDP program is attached.
  execFileSync("ethtool", ["-K", "flood-b", "gro", "on"]);
  const subject = new PrefilterSubject(root, Number(prefixes));
  const result: FloodResult = { prefilterNs: [], nftNs: [] };
  try {
    subject.useSources(4, "denied");
    fillSet(subject);
    const flood = new Flood(subject);
    for (let round = 0; round <= Number(rounds); round++) {
      const [ours, theirs] = [flood.prefilter(Number(packets)), flood.nft(Number(packets))];
      // The first round warms up.
      if (round === 0) continue;
      result.prefilterNs.push(ours);
      result.nftNs.push(theirs);
    }
  } finally {
    subject.close();
  }
  return result;
}

process.stdout.write(`${JSON.stringify(main(process.argv.slice(2)))}\n`);
