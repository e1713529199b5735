import { describe, expect, test } from "vitest";
import { printAddress } from "./connection.ts";
import { decide, type PolicyVerdict } from "./policy.ts";

interface Entry {
  precedence: number;
  rules: number;
  cookie: number;
  flags: number;
  prefix: number;
}

const entry = (precedence: number, changes: Partial<Entry> = {}): Entry => ({
  precedence,
  rules: 0,
  cookie: 0,
  flags: 0,
  prefix: 0,
  ...changes,
});
const allow = (cookie: number, changes: Partial<Entry> = {}): Entry =>
  entry(0x101, { cookie, ...changes });
const deny = entry(0x1ff, { flags: 1 });
const redirect = entry(0x102, { flags: 2, rules: 7, cookie: 3 });

describe("decide()", () => {
  test.each<[string, Entry | undefined, Entry | undefined, PolicyVerdict]>([
    ["nothing matches", undefined, undefined, { kind: "denied" }],
    ["only the specific", allow(1), undefined, { kind: "allowed", cookie: 1 }],
    ["only the wildcard", undefined, allow(2), { kind: "allowed", cookie: 2 }],
    ["specific at equal precedence", allow(1), allow(2), { kind: "allowed", cookie: 1 }],
    [
      "the longer prefix at equal precedence",
      allow(1, { prefix: 8 }),
      allow(2, { prefix: 24 }),
      { kind: "allowed", cookie: 2 },
    ],
    ["deny over redirect", redirect, deny, { kind: "denied" }],
    ["redirect over allow", allow(1), redirect, { kind: "redirect", ruleSet: 7, cookie: 3 }],
    [
      "a higher tier's allow over deny",
      entry(0x201, { cookie: 9 }),
      deny,
      {
        kind: "allowed",
        cookie: 9,
      },
    ],
    ["a pass that nobody took", entry(0x300), allow(1), { kind: "denied" }],
    ["precedence is unsigned", entry(0xffffffff, { flags: 1 }), allow(1), { kind: "denied" }],
  ])("%s", (_name, specific, any, verdict) => {
    expect(decide(specific, any)).toEqual(verdict);
  });
});

describe("printAddress()", () => {
  const address = (hex: string): Uint8Array => Uint8Array.from(Buffer.from(hex, "hex"));
  test.each([
    ["00000000000000000000ffff0a000102", "10.0.1.2"],
    ["00000000000000000000000000000001", "::1"],
    ["00000000000000000000000000000000", "::"],
    ["fd000000000000000000000000000a01", "fd00::a01"],
    ["20010db8000100000001000000000001", "2001:db8:1:0:1::1"],
    ["20010db8000000010001000100010001", "2001:db8:0:1:1:1:1:1"],
    ["fe800000000000000000000000010000", "fe80::1:0"],
  ])("%s is %s", (hex, text) => {
    expect(printAddress(address(hex))).toBe(text);
  });
});
