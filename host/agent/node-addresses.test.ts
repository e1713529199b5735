/** Addresses of the node that come and go. */
import { expect, test } from "vitest";
import { loadNative } from "../native/index.ts";
import { NodeAddresses } from "./node-addresses.ts";

type Route = [type: number, prefix: string];

const LOCAL = 2;
const BROADCAST = 3;
const ANYCAST = 4;

function watch(routes: () => { ipv4: Route[]; ipv6: Route[] }) {
  const told: string[] = [];
  const addresses = new NodeAddresses(
    {
      upsert: (source, prefix, identity) => void told.push(`+ ${source} ${prefix} ${identity}`),
      delete: (source, prefix) => void told.push(`- ${source} ${prefix}`),
    },
    { localRoutes: (family) => (family === 2 ? routes().ipv4 : routes().ipv6) },
  );
  return { told, addresses };
}

test("tells of what came and what went, once each", () => {
  let present: { ipv4: Route[]; ipv6: Route[] } = { ipv4: [[LOCAL, "192.0.2.1/32"]], ipv6: [] };
  const { told, addresses } = watch(() => present);
  addresses.onChange(() => void told.push("changed"));
  expect([addresses.refresh(), addresses.refresh()]).toEqual([true, false]);
  present = { ipv4: [], ipv6: [[LOCAL, "2001:db8::1/128"]] };
  expect(addresses.refresh()).toBe(true);
  expect(told).toEqual([
    "+ local 192.0.2.1/32 1",
    "changed",
    "+ local 2001:db8::1/128 1",
    "- local 192.0.2.1/32",
    "changed",
  ]);
});

test("knows all that the kernel delivers to the node, and nothing that is not its own", () => {
  const { told, addresses } = watch(() => ({
    ipv4: [
      [LOCAL, "127.0.0.0/8"],
      [BROADCAST, "127.255.255.255/32"],
      [LOCAL, "192.0.2.1/32"],
      [BROADCAST, "192.0.2.255/32"],
      [LOCAL, "198.51.100.0/24"],
      [LOCAL, "0.0.0.0/0"],
    ],
    ipv6: [
      [LOCAL, "::1/128"],
      [LOCAL, "fe80::1/128"],
      [ANYCAST, "fe80::/128"],
      [LOCAL, "2001:db8::1/128"],
      [ANYCAST, "2001:db8::/128"],
      [5, "ff00::/8"],
    ],
  }));
  addresses.refresh();
  expect(told).toEqual([
    "+ local 192.0.2.1/32 1",
    "+ local 192.0.2.255/32 1",
    "+ local 198.51.100.0/24 1",
    "+ local 2001:db8::1/128 1",
    "+ local 2001:db8::/128 1",
  ]);
  expect(addresses.list()).toEqual(["192.0.2.1", "2001:db8::1"]);
});

test("this machine's table has its loopback address", () => {
  const native = loadNative();
  expect(native.localRoutes(2)).toContainEqual([LOCAL, "127.0.0.1/32"]);
  expect(native.localRoutes(10)).toContainEqual([LOCAL, "::1/128"]);
});
