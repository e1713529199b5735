import fc from "fast-check";
import { expect, test } from "vitest";
import { installTextCoding } from "./text-coding.ts";

const scope: Record<string, unknown> = {};
installTextCoding(scope);
const Encoder = scope.TextEncoder as typeof TextEncoder;
const Decoder = scope.TextDecoder as typeof TextDecoder;

const hostile = fc.array(
  fc.oneof(
    fc.integer({ min: 0, max: 255 }),
    fc.constantFrom(0x7f, 0x80, 0xbf, 0xc0, 0xc2, 0xe0, 0xed, 0xef, 0xbb, 0xbf, 0xf0, 0xf4, 0xf5),
  ),
  { maxLength: 40 },
);

test("decodes whatever the platform decodes, to the same", { timeout: 60_000 }, () => {
  fc.assert(
    fc.property(hostile, fc.boolean(), (bytes, ignoreBOM) => {
      const input = Uint8Array.from(bytes);
      const options = { ignoreBOM };
      expect(new Decoder("utf-8", options).decode(input)).toBe(
        new TextDecoder("utf-8", options).decode(input),
      );
      const decode = (decoder: TextDecoder) => {
        try {
          return decoder.decode(input);
        } catch (error) {
          return (error as Error).name;
        }
      };
      expect(decode(new Decoder("utf8", { fatal: true }))).toBe(
        decode(new TextDecoder("utf8", { fatal: true })),
      );
    }),
    { numRuns: 3_000 },
  );
});

test("encodes as the platform does, lone surrogates too", { timeout: 60_000 }, () => {
  fc.assert(
    fc.property(fc.string({ unit: "binary" }), (text) => {
      expect([...new Encoder().encode(text)]).toEqual([...new TextEncoder().encode(text)]);
    }),
  );
  const lone = "a\ud800b\udc00";
  expect([...new Encoder().encode(lone)]).toEqual([...new TextEncoder().encode(lone)]);
});

test("decodes long texts, and says what it cannot", () => {
  const long = "x".repeat(100_000);
  expect(new Decoder().decode(new TextEncoder().encode(long))).toBe(long);
  expect(new Decoder().decode()).toBe("");
  expect(() => new Decoder("latin1")).toThrow("Cannot decode latin1");
});
