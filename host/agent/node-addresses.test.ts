/** Addresses of the node that come and go. */
import { expect, test } from "vitest";
import { NodeAddresses } from "./node-addresses.ts";

test("tells of what came and what went, once each", () => {
  const told: string[] = [];
  let present = ["192.0.2.1/32"];
  const addresses = new NodeAddresses(
    {
      upsert: (source, prefix, identity) => void told.push(`+ ${source} ${prefix} ${identity}`),
      delete: (source, prefix) => void told.push(`- ${source} ${prefix}`),
    },
    () => present,
  );
  addresses.onChange(() => void told.push("changed"));
  expect([addresses.refresh(), addresses.refresh()]).toEqual([true, false]);
  present = ["2001:db8::1/128"];
  expect(addresses.refresh()).toBe(true);
  expect(told).toEqual([
    "+ local 192.0.2.1/32 1",
    "changed",
    "+ local 2001:db8::1/128 1",
    "- local 192.0.2.1/32",
    "changed",
  ]);
});
