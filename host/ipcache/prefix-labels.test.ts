/** What several parts say of a prefix becomes one identity; pods and nodes never get a prefix. */
import { expect, it } from "vitest";
import { formatLabel, parseLabel } from "../identity/label.ts";
import { createTestAllocator } from "../identity/testing/world.ts";
import { Ipcache, type IpcacheSource } from "./ipcache.ts";
import { mergedLabels, PrefixLabels } from "./prefix-labels.ts";

const claim = (source: IpcacheSource, ...labels: string[]) => ({
  source,
  labels: labels.map((text) => parseLabel(text)),
});

it.each([
  [
    "1.2.3.4/32",
    ["cidr:1.2.3.0/24"],
    ["cidr:1.2.3.0/24", "cidr:1.2.3.4/32", "reserved:world-ipv4"],
  ],
  ["0.0.0.0/0", ["cidrgroup:all"], ["cidrgroup:all", "reserved:world-ipv4"]],
  ["1.2.3.4/32", ["fqdn:a.example"], ["fqdn:a.example", "reserved:world-ipv4"]],
  ["fd00::1/128", ["fqdn:a.example"], ["fqdn:a.example", "reserved:world-ipv6"]],
  [
    "1.2.3.4/32",
    ["fqdn:a.example", "reserved:kube-apiserver"],
    ["cidr:1.2.3.4/32", "fqdn:a.example", "reserved:kube-apiserver", "reserved:world-ipv4"],
  ],
  [
    "1.2.3.4/32",
    ["reserved:remote-node", "cidr:1.2.3.0/24", "fqdn:x", "cidrgroup:g", "node:role=edge"],
    ["node:role=edge", "reserved:remote-node"],
  ],
  [
    "1.2.3.4/32",
    ["reserved:remote-node", "reserved:kube-apiserver"],
    ["reserved:kube-apiserver", "reserved:remote-node"],
  ],
  ["1.2.3.4/32", ["reserved:host", "reserved:kube-apiserver", "cidr:1.0.0.0/8"], ["reserved:host"]],
  ["10.0.0.1/32", ["k8s:app=web", "cidr:10.0.0.0/8", "fqdn:x"], ["k8s:app=web"]],
])("of %s is said %j: it has %j", (prefix, said, labels) => {
  expect(mergedLabels(prefix, [claim("api", ...said)]).map(formatLabel)).toEqual(labels);
});

it("one identity at a time, written after the policies know it, and let go of", async () => {
  const rows = new Map<string, number>();
  const steps: string[] = [];
  const ipcache = new Ipcache({
    upsertIpcache: (prefix, identity) => void rows.set(prefix, identity),
    deleteIpcache: (prefix) => void rows.delete(prefix),
    listIpcache: () => [],
  });
  const { allocator } = createTestAllocator();
  allocator.onChange(({ added }) => steps.push(...added.map(({ id }) => `+${id & 0xff_ffff}`)));
  const settled = async (): Promise<void> => void steps.push(`settled ${rows.size}`);
  const prefixes = new PrefixLabels({ identities: allocator, ipcache, settled });
  const at = "1.2.3.4/32";
  await prefixes.claim(at, "dns", claim("generated", "fqdn:a.example"));
  expect(steps).toEqual(["+1", "settled 0"]);
  const first = rows.get(at) ?? 0;
  await prefixes.claim(at, "endpoints", claim("kube-apiserver", "reserved:kube-apiserver"));
  const second = rows.get(at) ?? 0;
  expect(allocator.get(second)?.labels.map(formatLabel)).toContain("reserved:kube-apiserver");
  expect([allocator.usersOf(first), allocator.usersOf(second)]).toEqual([0, 1]);
  await prefixes.claim(at, "endpoints", undefined);
  expect(rows.get(at)).toBe(first);
  await prefixes.claim(at, "dns", undefined);
  expect(rows.size).toBe(0);
  expect([allocator.usersOf(first), allocator.usersOf(second)]).toEqual([0, 0]);
});
