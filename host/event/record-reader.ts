/**
 * Cuts the record stream (runtime/contract/records.ts) into frames, wherever the socket cut it
 * into chunks. Owns the length check and the bytes of a frame that is not complete; what frames
 * mean is `record-stream.ts`.
 */
import { FRAME_HEADER_BYTES } from "../../runtime/contract/records.ts";

/** A worker never makes a longer frame; a longer one means the stream is not what it should be. */
export const FRAME_BYTES_MAX = 262_144;

/**
 * Called for each complete frame, `start` to `end` of `bytes` including the header. The bytes are
 * valid during the call only. Returns what is wrong with the frame, if anything.
 */
export type FrameHandler = (bytes: Buffer, start: number, end: number) => string | undefined;

export class RecordReader {
  readonly #handle: FrameHandler;
  /** The frame that is arriving: its first `#filled` bytes. */
  #partial: Buffer = Buffer.allocUnsafe(FRAME_HEADER_BYTES);
  #filled = 0;
  #error: string | undefined;

  constructor(handle: FrameHandler) {
    this.#handle = handle;
  }

  /**
   * Takes the next bytes. Returns an error when the stream is broken; every later call returns the
   * same one, and the caller closes the socket.
   */
  push(chunk: Buffer): string | undefined {
    let at = 0;
    while (at < chunk.length && this.#error === undefined) {
      if (this.#filled > 0 || chunk.length - at < FRAME_HEADER_BYTES) {
        at = this.#continue(chunk, at);
        continue;
      }
      const length = chunk.readUInt32LE(at);
      if (!this.#accepts(length)) break;
      if (at + length > chunk.length) {
        at = this.#continue(chunk, at);
        continue;
      }
      this.#error = this.#handle(chunk, at, at + length);
      at += length;
    }
    return this.#error;
  }

  /** Adds to the partial frame: its header first, then, with the length known, the rest. */
  #continue(chunk: Buffer, from: number): number {
    let wanted = FRAME_HEADER_BYTES;
    if (this.#filled >= FRAME_HEADER_BYTES) wanted = this.#partial.readUInt32LE(0);
    const count = Math.min(wanted - this.#filled, chunk.length - from);
    chunk.copy(this.#partial, this.#filled, from, from + count);
    this.#filled += count;
    if (this.#filled < wanted) return from + count;
    const length = this.#partial.readUInt32LE(0);
    if (!this.#accepts(length)) return from + count;
    if (this.#filled < length) {
      this.#reserve(length);
      return from + count;
    }
    this.#error = this.#handle(this.#partial, 0, length);
    this.#filled = 0;
    // A frame of unusual size must not pin its buffer for the life of the connection.
    if (this.#partial.length > FRAME_BYTES_MAX / 16) {
      this.#partial = Buffer.allocUnsafe(FRAME_HEADER_BYTES);
    }
    return from + count;
  }

  #reserve(length: number): void {
    if (this.#partial.length >= length) return;
    const larger = Buffer.allocUnsafe(length);
    this.#partial.copy(larger, 0, 0, this.#filled);
    this.#partial = larger;
  }

  #accepts(length: number): boolean {
    if (length >= FRAME_HEADER_BYTES && length <= FRAME_BYTES_MAX) return true;
    this.#error = `frame length ${length} is not within ${FRAME_HEADER_BYTES}..${FRAME_BYTES_MAX}`;
    return false;
  }
}
