/** The Kubernetes API is here, on another node or outside. */
import { expect, test } from "vitest";
import { formatLabel } from "../identity/label.ts";
import { ApiServers } from "./api-servers.ts";
import type { ClusterNode } from "./types.ts";

const node = (name: string, ...addresses: string[]): ClusterNode => {
  return { kind: "node", name, labels: {}, addresses };
};

test.each([
  ["nowhere", [], [], [], [], []],
  ["outside", ["198.51.100.1", "2001:DB8::1"], [], [], [], ["198.51.100.1/32", "2001:db8::1/128"]],
  ["here, by the state", ["192.0.2.1"], [node("self", "192.0.2.1")], [], ["kube-apiserver"], []],
  ["here, by an address", ["fd00::0:1"], [], ["fd00::1"], ["kube-apiserver"], []],
  [
    "on another node",
    ["192.0.2.2"],
    [node("self", "192.0.2.1"), node("b", "192.0.2.2")],
    [],
    [],
    [],
  ],
  [
    "here and outside",
    ["192.0.2.1", "192.0.2.9"],
    [node("self", "192.0.2.1"), node("b", "192.0.2.2")],
    [],
    ["kube-apiserver"],
    ["192.0.2.9/32"],
  ],
])("%s", (_, servers, nodes, own, here, outside) => {
  const state = { nodes: () => nodes, apiServers: () => servers };
  const api = new ApiServers({ node: "self", state, ownAddresses: () => own });
  expect(api.hostLabels().map(formatLabel)).toEqual(here.map((name) => `reserved:${name}`));
  const { labels, byAddress, prefixes } = api.saying();
  expect([...prefixes.keys()]).toEqual(outside);
  expect([labels.map(formatLabel), byAddress]).toEqual([["reserved:kube-apiserver"], true]);
});
