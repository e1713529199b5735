import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { checkRecordBody, readRecordFields } from "./record-fields.ts";
import { recordBody } from "./testing/frames.ts";

function read(body: Buffer): ReturnType<typeof readRecordFields> {
  return readRecordFields(body.toString("latin1"));
}

/** One to four bytes of UTF-8. */
const CHARACTER = fc.constantFrom("\0", "a", "~", "\u007f", "\u0080", "ü", "€", "\uffff", "😀");

describe("checkRecordBody() and readRecordFields()", () => {
  test("read back every text and number", () => {
    const value = fc.oneof(
      fc.string({ unit: CHARACTER, maxLength: 12 }),
      fc.bigInt({ min: 0n, max: 2n ** 64n - 1n }),
    );
    fc.assert(
      fc.property(fc.array(fc.tuple(fc.nat(65_535), value), { maxLength: 8 }), (fields) => {
        const body = recordBody(fields);
        expect(checkRecordBody(body, 0, body.length)).toBeUndefined();
        expect(read(body)).toEqual(
          fields.map(([key, given]) => {
            if (typeof given === "string")
              return { key, value: Buffer.from(given).toString("utf8") };
            return { key, value: given <= 2n ** 53n - 1n ? Number(given) : given.toString() };
          }),
        );
      }),
    );
  });

  test("a body cut short or made longer is refused", () => {
    const body = recordBody([
      [0, "GET"],
      [1, 200],
    ]);
    for (let end = 0; end < body.length; end++) {
      expect(checkRecordBody(body, 0, end)).toBeTypeOf("string");
    }
    expect(checkRecordBody(Buffer.concat([body, Buffer.alloc(1)]), 0, body.length + 1)).toContain(
      "bytes after its fields",
    );
  });

  test.each([
    ["a type that is neither", 2, 2, "type 2"],
    ["a number of another size", 2, 1, "number has 3 bytes"],
  ])("%s is refused", (_name, offset, value, message) => {
    const body = recordBody([[0, "GET"]]);
    body.writeUInt8(value, 2 + offset);
    expect(checkRecordBody(body, 0, body.length)).toContain(message);
  });

  test("more fields than a manifest can name are refused", () => {
    const body = recordBody(Array.from({ length: 257 }, () => [0, ""] as const));
    expect(checkRecordBody(body, 0, body.length)).toContain("257 fields");
  });

  test("whatever passes the check can be read", () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 64 }), (bytes) => {
        const body = Buffer.from(bytes);
        if (checkRecordBody(body, 0, body.length) === undefined) read(body);
      }),
      { numRuns: 2_000 },
    );
  });

  test("ill-formed UTF-8 becomes replacement characters", () => {
    const body = Buffer.concat([
      recordBody([[0, "ab"]]).subarray(0, -2),
      Buffer.from([0xff, 0x61]),
    ]);
    expect(read(body)).toEqual([{ key: 0, value: "\ufffda" }]);
  });
});
