/** The prefilter's object with maps of its own, unpinned and unattached, and frames through it. */
import { LAYOUT } from "../../datapath/layout.ts";
import { type BpfObject, loadNative, type Native } from "../../native/index.ts";
import { Generations } from "../generations.ts";

const OBJECT = new URL("../../../.build/bpf/xdp.o", import.meta.url).pathname;
const FRAME_BYTES_MAX = 2048;
const EVENTS_MAX = 64;
export const XDP_DROP = 1;
export const XDP_PASS = 2;

export class PrefilterProgram {
  readonly native: Native = loadNative();
  readonly object: BpfObject;
  readonly generations: Generations;

  constructor() {
    this.object = new this.native.BpfObject(OBJECT);
    this.object.load();
    this.generations = new Generations(this.native, {
      groups: this.object.mapFd("groups"),
      leaves: this.object.mapFd("leaves"),
      nodes: this.object.mapFd("nodes"),
      tails: this.object.mapFd("tails"),
      settings: this.object.mapFd("prefilter_config"),
    });
  }

  /** What the program says of a frame: XDP_DROP or XDP_PASS. */
  run(frame: Uint8Array): number {
    const out = new Uint8Array(FRAME_BYTES_MAX);
    const fd = this.object.programFd("prefilter");
    return this.native.programTestRun(fd, frame, out, null, null, 1).result;
  }

  /** Records of the ring since the last time. */
  events(): Uint8Array[] {
    const ring = new this.native.RingBuffer(this.object.mapFd("events"), LAYOUT.event.size);
    const records = new Uint8Array(EVENTS_MAX * LAYOUT.event.size);
    const count = ring.consume(records);
    ring.close();
    return Array.from({ length: count }, (_, at) =>
      records.slice(at * LAYOUT.event.size, (at + 1) * LAYOUT.event.size),
    );
  }

  close(): void {
    this.generations.close();
    this.object.close();
  }
}
