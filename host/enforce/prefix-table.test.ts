/** The longest prefix decides, as in the kernel. */
import { expect, it } from "vitest";
import { PrefixTable } from "./prefix-table.ts";

const table = new PrefixTable([
  { prefix: "0.0.0.0/0", identity: 9 },
  { prefix: "10.0.0.0/8", identity: 100 },
  { prefix: "10.1.0.0/16", identity: 101 },
  { prefix: "10.1.2.3/32", identity: 102 },
  { prefix: "10.1.2.3/32", identity: 103 },
  { prefix: "2001:db8::/32", identity: 200 },
  { prefix: "not a prefix", identity: 300 },
]);

it.each([
  ["10.1.2.3", 102],
  ["10.1.2.4", 101],
  ["10.2.0.1", 100],
  ["192.0.2.1", 9],
  ["2001:db8::1", 200],
  ["2001:db9::1", 10],
  ["what", 0],
])("%s is %d", (address, identity) => {
  expect(table.identityOf(address)).toBe(identity);
});
