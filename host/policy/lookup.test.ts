import { describe, expect, test } from "vitest";
import { createLookup, OriginCookies } from "./lookup.ts";

describe("createLookup()", () => {
  const entry = {
    direction: "ingress",
    identity: 0,
    protocol: 0,
    port: 0,
    portPrefix: 0,
    precedence: 1,
    deny: false,
    origins: [],
  } as const;
  const packet = { direction: "ingress", identity: 7, protocol: 6, port: 80 } as const;
  test.each([
    ["nothing", [], "drop none"],
    [
      "higher precedence over longer prefix",
      [
        { ...entry, precedence: 255, deny: true },
        { ...entry, identity: 7, protocol: 6, port: 80, portPrefix: 16 },
      ],
      "deny all",
    ],
    [
      "longer prefix at equal precedence",
      [
        { ...entry, identity: 7 },
        { ...entry, protocol: 6, port: 80, portPrefix: 16 },
      ],
      "allow L4-Only",
    ],
    [
      "the identity at equal prefix",
      [
        { ...entry, identity: 7, protocol: 6 },
        { ...entry, protocol: 6 },
      ],
      "allow L3-Proto",
    ],
    [
      "longest prefix of one identity, whatever its precedence",
      [
        { ...entry, identity: 7, precedence: 255, deny: true },
        { ...entry, identity: 7, protocol: 6, port: 80, portPrefix: 12 },
      ],
      "allow L3-L4",
    ],
    ["other directions never", [{ ...entry, direction: "egress" as const }], "drop none"],
  ])("takes %s", (_, entries, expected) => {
    const { verdict, match } = createLookup(entries)(packet);
    expect(`${verdict} ${match}`).toBe(expected);
  });
});

test("OriginCookies gives equal origins one number and forgets late", () => {
  const cookies = new OriginCookies();
  const origin = {
    kind: "NetworkPolicy",
    name: "a",
    namespace: "b",
    labels: [],
    revision: 1,
  } as const;
  const cookie = cookies.cookieOf([origin]);
  expect([
    cookies.cookieOf([]),
    cookies.cookieOf([{ ...origin }]),
    cookies.originsOf(cookie),
  ]).toEqual([0, cookie, [origin]]);
  cookies.sweep(new Set());
  expect(cookies.originsOf(cookie)).toHaveLength(1);
  cookies.sweep(new Set());
  expect(cookies.originsOf(cookie)).toEqual([]);
  expect(cookies.cookieOf([origin])).not.toBe(cookie);
});
