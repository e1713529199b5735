import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { FRAME_BYTES_MAX, RecordReader } from "./record-reader.ts";
import { frame } from "./testing/frames.ts";

const STREAM_FRAMES = [0, 1, 40, 3, 700, 0].map((length, index) =>
  frame({ type: 2, connection: index }, Buffer.alloc(length, index)),
);
const STREAM = Buffer.concat(STREAM_FRAMES);

function collect(chunks: readonly Buffer[]): { frames: string[]; error: string | undefined } {
  const frames: string[] = [];
  const reader = new RecordReader((bytes, start, end) => {
    frames.push(bytes.toString("hex", start, end));
    return undefined;
  });
  let error: string | undefined;
  // Copies, so that a frame kept in the caller's buffer would be seen to change.
  for (const chunk of chunks) {
    const copy = Buffer.from(chunk);
    error = reader.push(copy);
    copy.fill(0xff);
  }
  return { frames, error };
}

const WHOLE = STREAM_FRAMES.map((bytes) => bytes.toString("hex"));

describe("push()", () => {
  test("gives the same frames wherever the stream is split in two", () => {
    for (let at = 0; at <= STREAM.length; at++) {
      const split = collect([STREAM.subarray(0, at), STREAM.subarray(at)]);
      expect(split).toEqual({ frames: WHOLE, error: undefined });
    }
  });

  test("gives the same frames at every chunk size", () => {
    for (let size = 1; size <= 64; size++) {
      const chunks: Buffer[] = [];
      for (let at = 0; at < STREAM.length; at += size) chunks.push(STREAM.subarray(at, at + size));
      expect(collect(chunks)).toEqual({ frames: WHOLE, error: undefined });
    }
  });

  test.each([
    ["shorter than a header", 23],
    ["zero", 0],
    ["one beyond the limit", FRAME_BYTES_MAX + 1],
    ["as large as can be", 0xffff_ffff],
  ])("refuses a length %s, at every split", (_name, length) => {
    const bytes = frame({ type: 2 }, Buffer.alloc(8));
    bytes.writeUInt32LE(length, 0);
    for (let at = 0; at <= bytes.length; at++) {
      const { frames, error } = collect([STREAM, bytes.subarray(0, at), bytes.subarray(at)]);
      expect(frames).toEqual(WHOLE);
      expect(error).toContain(`frame length ${length} is not within`);
    }
  });

  test("takes the longest frame", () => {
    const longest = frame({ type: 2 }, Buffer.alloc(FRAME_BYTES_MAX - 24, 7));
    const { frames, error } = collect([longest.subarray(0, 100), longest.subarray(100), STREAM]);
    expect(error).toBeUndefined();
    expect(frames).toEqual([longest.toString("hex"), ...WHOLE]);
  });

  test("ends at the first frame that the handler refuses", () => {
    let handled = 0;
    const reader = new RecordReader(() => (++handled === 2 ? "broken" : undefined));
    expect(reader.push(STREAM)).toBe("broken");
    expect(reader.push(STREAM)).toBe("broken");
    expect(handled).toBe(2);
  });

  test("never throws, whatever the bytes", () => {
    fc.assert(
      fc.property(fc.array(fc.uint8Array({ maxLength: 80 }), { maxLength: 8 }), (chunks) => {
        collect(chunks.map((chunk) => Buffer.from(chunk)));
      }),
    );
  });
});
