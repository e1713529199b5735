/**
 * Frames of the record stream (runtime/contract/records.ts), written without allocation into the
 * batch the engine sends. It batches for at most FLUSH_AFTER_MS, never waits for the agent, counts
 * what is lost and says so in the stream as soon as there is room.
 */
import { FRAME, FRAME_HEADER_BYTES } from "../contract/records.ts";
import type { RecordView } from "../isolate/types.ts";

/** A text field longer than this is cut. */
const FIELD_BYTES_MAX = 8192;
const FIELD_HEADER_BYTES = 8;
/** Shorter copies are cheaper byte by byte than through a view. */
const COPY_LOOP_BYTES_MAX = 32;
/** A batch is sent when it is this full … */
const FLUSH_BYTES = 64 * 1024;
/** … or this old: one system call a request would cost more than the record itself. */
export const FLUSH_AFTER_MS = 2;

export interface RecordSink {
  /** False: the frames are lost. */
  writeRecords(length: number): boolean;
}

export class RecordWriter {
  readonly #sink: RecordSink;
  readonly #bytes: Uint8Array;
  readonly #view: DataView;
  readonly #encoder = new TextEncoder();
  #used = 0;
  #frames = 0;
  /** Lost and not yet told. */
  #untold = 0;
  /** Told by a frame that is still in the batch. */
  #telling = 0;
  #connected = false;
  #oldestMs = 0;
  #nowHigh = 0;
  #nowLow = 0;
  #nowMs = 0;
  /** Frames lost since the start. */
  lost = 0;
  written = 0;

  constructor(sink: RecordSink, batch: Uint8Array) {
    this.#sink = sink;
    this.#bytes = batch;
    this.#view = new DataView(batch.buffer, batch.byteOffset, batch.length);
  }

  get pending(): boolean {
    return this.#used > 0;
  }

  get connected(): boolean {
    return this.#connected;
  }

  /** Time of this turn: nanoseconds since 1970 in two halves, and milliseconds. */
  setTime(high: number, low: number, ms: number): void {
    this.#nowHigh = high;
    this.#nowLow = low;
    this.#nowMs = ms;
  }

  agentCame(): void {
    this.agentLeft();
    this.#connected = true;
    this.#tellLost();
  }

  agentLeft(): void {
    this.#dropBatch();
    this.#connected = false;
  }

  /** One `record` frame of connection `serial`; the view's text is copied. */
  record(view: RecordView, serial: number): void {
    if (!this.#connected) {
      this.#lose(1);
      return;
    }
    const { fieldCount, isNumber, length, start, memory, key, number } = view;
    let size = FRAME_HEADER_BYTES + 2;
    for (let i = 0; i < fieldCount; i++) {
      const text = length[i] ?? 0;
      size += FIELD_HEADER_BYTES;
      size += isNumber[i] === 1 ? 8 : Math.min(text, FIELD_BYTES_MAX);
    }
    if (!this.#reserve(size)) return;
    let at = this.#used;
    const out = this.#view;
    out.setUint32(at, size, true);
    out.setUint32(
      at + 4,
      FRAME.record | (view.kind << 8) | (view.verdict << 16) | (view.stage << 24),
      true,
    );
    out.setUint32(at + 8, serial, true);
    out.setUint32(at + 12, view.exchange, true);
    out.setUint32(at + 16, this.#nowLow, true);
    out.setUint32(at + 20, this.#nowHigh, true);
    out.setUint16(at + 24, fieldCount, true);
    at += FRAME_HEADER_BYTES + 2;
    for (let i = 0; i < fieldCount; i++) {
      out.setUint32(at, (key[i] ?? 0) | ((isNumber[i] ?? 0) << 16), true);
      if (isNumber[i] === 1) {
        const value = number[i] ?? 0;
        out.setUint32(at + 4, 8, true);
        out.setUint32(at + 8, value >>> 0, true);
        out.setUint32(at + 12, value / 0x1_0000_0000, true);
        at += FIELD_HEADER_BYTES + 8;
      } else {
        const text = Math.min(length[i] ?? 0, FIELD_BYTES_MAX);
        out.setUint32(at + 4, text, true);
        at += FIELD_HEADER_BYTES;
        this.#copy(memory, start[i] ?? 0, text, at);
        at += text;
      }
    }
    this.#used = at;
    this.#frames++;
  }

  /** A frame whose body is JSON: open, close, fault. */
  event(type: number, serial: number, body: unknown): void {
    if (!this.#connected) {
      this.#lose(1);
      return;
    }
    const text = this.#encoder.encode(JSON.stringify(body));
    const size = FRAME_HEADER_BYTES + text.length;
    if (!this.#reserve(size)) return;
    const at = this.#used;
    const out = this.#view;
    out.setUint32(at, size, true);
    out.setUint32(at + 4, type, true);
    out.setUint32(at + 8, serial, true);
    out.setUint32(at + 12, 0, true);
    out.setUint32(at + 16, this.#nowLow, true);
    out.setUint32(at + 20, this.#nowHigh, true);
    this.#bytes.set(text, at + FRAME_HEADER_BYTES);
    this.#used += size;
    this.#frames++;
  }

  /** Sends the batch when it is full or old enough, or `force`d. */
  flush(force: boolean): void {
    if (this.#used === 0) return;
    if (!force && this.#used < FLUSH_BYTES && this.#nowMs - this.#oldestMs < FLUSH_AFTER_MS) return;
    if (!this.#sink.writeRecords(this.#used)) {
      this.#dropBatch();
      return;
    }
    this.written += this.#frames;
    this.#used = 0;
    this.#frames = 0;
    this.#telling = 0;
    this.#tellLost();
  }

  #dropBatch(): void {
    this.#lose(this.#frames);
    this.#untold += this.#telling;
    this.#used = 0;
    this.#frames = 0;
    this.#telling = 0;
  }

  #lose(frames: number): void {
    this.lost += frames;
    this.#untold += frames;
  }

  #tellLost(): void {
    if (this.#untold === 0) return;
    const frames = this.#untold;
    this.#untold = 0;
    this.#telling += frames;
    this.event(FRAME.lost, 0, { frames });
    // Losing the notice itself is not one more loss.
    this.#frames--;
  }

  #reserve(size: number): boolean {
    if (this.#used + size > this.#bytes.length) this.flush(true);
    if (this.#used + size > this.#bytes.length) {
      this.#lose(1);
      return false;
    }
    if (this.#used === 0) this.#oldestMs = this.#nowMs;
    return true;
  }

  #copy(from: Uint8Array, start: number, length: number, to: number): void {
    if (length <= COPY_LOOP_BYTES_MAX) {
      const bytes = this.#bytes;
      for (let i = 0; i < length; i++) bytes[to + i] = from[start + i] ?? 0;
    } else {
      this.#bytes.set(from.subarray(start, start + length), to);
    }
  }
}
