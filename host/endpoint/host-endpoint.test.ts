/** The node as the resolver and people see it. */
import { expect, it } from "vitest";
import { reservedLabel } from "../identity/label.ts";
import type { Label } from "../policy/types.ts";
import { HostEndpoint } from "./host-endpoint.ts";

it("follows the node's labels and addresses", () => {
  let nodeLabels: Record<string, string> = {};
  let reserved: Label[] = [];
  const addresses = ["10.0.0.1", "10.0.0.2", "2001:db8::1"];
  const audits: unknown[] = [];
  const host = new HostEndpoint({
    ...{ labels: { role: "edge" }, nodeLabels: () => nodeLabels },
    reservedLabels: () => reserved,
    ...{ addresses: () => addresses, netns: "/proc/1/ns/net" },
    datapath: { setAudit: (...given) => audits.push(given) > 0 },
  });
  expect(host.labels()).toEqual(["k8s:role=edge", "reserved:host"]);
  nodeLabels = { zone: "a", role: "inner" };
  expect(host.subject()).toMatchObject({ endpoint: 65_535, scope: "node", identity: { id: 1 } });
  host.policyEnforced(7);
  expect(host.setAudit(true)).toEqual({
    ...{ id: 65_535, name: "reserved:host", namespace: "", identity: 1, state: "ready" },
    labels: ["k8s:role=edge", "k8s:zone=a", "reserved:host"],
    ...{ ipv4: "10.0.0.1", ipv6: "2001:db8::1", netns: "/proc/1/ns/net" },
    ...{ policyRevision: 7, policyAuditMode: true },
  });
  expect(audits).toEqual([[65_535, true]]);
  expect(["65535", "reserved:host", "host", "1"].map((one) => host.answersTo(one))).toEqual([
    ...[true, true, false, false],
  ]);
  expect([host.isAt("10.0.0.2"), host.isAt("10.0.0.3")]).toEqual([true, false]);
  reserved = [reservedLabel("kube-apiserver")];
  expect(host.labels().slice(2)).toEqual(["reserved:host", "reserved:kube-apiserver"]);
  expect(() => host.refuse("delete")).toThrow("Cannot delete endpoint reserved:host");
});
