/**
 * What is kept of one recorded connection: the bytes its plugin was given and the records that came
 * of them, from its first byte until a bound is met. What is not kept is named.
 */
import type { CaseBody } from "../contract/records.ts";
import { RECORD_VERDICT } from "../contract/records.ts";
import type { RecordView } from "../isolate/types.ts";
import type { EffectSink, OperationBatch } from "./operation-batch.ts";

/** With the bytes these keep a case within one frame of the record stream. */
const STEPS_MAX = 256;
const RECORDS_BYTES_MAX = 16_384;
/** About what a record and a field of it take in JSON. */
const RECORD_BYTES = 80;
const FIELD_BYTES = 32;
const ENDS = ["open", "closed", "failed"] as const;
const DIRECTIONS = ["request", "response"] as const;

export interface RecordingLimits {
  /** Of each direction. */
  bytesMax: number;
  /** Milliseconds since 1970. */
  until: number;
}

/** Bytes that all recordings of a worker may still keep. */
export interface RecordingRoom {
  bytesLeft: number;
}

/** What an event of the engine gives the plugin anew. */
export interface Given {
  direction: number;
  /** Copied. */
  bytes: Uint8Array;
  end: number;
  /** Nanoseconds since 1970, in two halves. */
  nowHigh: number;
  nowLow: number;
}

export class ConnectionRecording implements EffectSink {
  readonly until: number;
  /** The plugin has denied a message. */
  denied = false;
  readonly #bytesMax: number;
  readonly #room: RecordingRoom;
  readonly #steps: CaseBody["steps"] = [];
  readonly #records: CaseBody["records"] = [];
  readonly #missing = new Set<string>();
  /** By direction. */
  readonly #kept: [number, number] = [0, 0];
  /** Passed or dropped before they came: the plugin never sees them. */
  readonly #unseen: [number, number] = [0, 0];
  #recordBytes = 0;
  #moved = 0;
  #full = false;

  constructor({ bytesMax, until }: RecordingLimits, room: RecordingRoom) {
    this.#bytesMax = bytesMax;
    this.until = until;
    this.#room = room;
  }

  /** Something of the connection is not here. */
  lacks(what: string): void {
    this.#missing.add(what);
  }

  given({ direction, bytes, end, nowHigh, nowLow }: Given): void {
    const way = direction === 1 ? 1 : 0;
    // Without a byte behind them nobody knows how many came.
    const unseen = bytes.length > 0 ? this.#unseen[way] : 0;
    this.#unseen[way] = 0;
    if (this.#full) return;
    const length = unseen + bytes.length;
    if (this.#kept[way] + length > this.#bytesMax) {
      this.#stop(`only the first ${this.#bytesMax} bytes of a direction are kept`);
    } else if (this.#steps.length >= STEPS_MAX) {
      this.#stop(`only the first ${STEPS_MAX} pieces are kept`);
    } else if (length > this.#room.bytesLeft) {
      this.#stop("its worker has no more room for recordings");
    } else {
      this.#kept[way] += length;
      this.#room.bytesLeft -= length;
      const whole = new Uint8Array(length);
      whole.set(bytes, unseen);
      this.#steps.push({
        direction: DIRECTIONS[way],
        bytes: Buffer.from(whole).toString("base64"),
        ...(unseen === 0 ? {} : { unseen }),
        end: ENDS[Math.min(end, ENDS.length - 1)] ?? "failed",
        now: String((BigInt(nowHigh) << 32n) | BigInt(nowLow)),
      });
    }
  }

  #stop(why: string): void {
    this.#full = true;
    this.lacks(why);
  }

  /** The plugin has returned the operations from number `first` of the batch on. */
  called(direction: number, batch: OperationBatch, first: number): void {
    this.#moved = 0;
    batch.describe(first, this);
    const unseen = Math.max(0, this.#moved - batch.result.consumed);
    this.#unseen[direction === 1 ? 1 : 0] += unseen;
  }

  pass(bytes: number): void {
    this.#moved += bytes;
  }

  drop(bytes: number): void {
    this.#moved += bytes;
  }

  need(): void {}
  inject(): void {}
  close(): void {}

  /** What is there counts as consumed and as nothing else: no event follows. */
  rest(): void {}

  noteRecord(view: RecordView): void {
    const { kind, verdict, stage, exchange, fieldCount, key, isNumber, number, memory } = view;
    if (verdict === RECORD_VERDICT.denied) this.denied = true;
    let size = RECORD_BYTES;
    for (let i = 0; i < fieldCount; i++) {
      size += FIELD_BYTES + (isNumber[i] === 1 ? 0 : (view.length[i] ?? 0));
    }
    if (this.#recordBytes + size > RECORDS_BYTES_MAX) {
      this.lacks(`only the first ${RECORDS_BYTES_MAX} bytes of records are kept`);
      return;
    }
    this.#recordBytes += size;
    const fields = Array.from({ length: fieldCount }, (_, i) => {
      const start = view.start[i] ?? 0;
      const text = memory.subarray(start, start + (view.length[i] ?? 0));
      const value = isNumber[i] === 1 ? (number[i] ?? 0) : Buffer.from(text).toString("base64");
      return { key: key[i] ?? 0, value };
    });
    this.#records.push({ kind, verdict, stage, exchange, fields });
  }

  /** Bytes that are free once it is let go. */
  get bytes(): number {
    return this.#kept[0] + this.#kept[1];
  }

  content(): Pick<CaseBody, "steps" | "records" | "missing"> {
    return { steps: this.#steps, records: this.#records, missing: [...this.#missing] };
  }
}
