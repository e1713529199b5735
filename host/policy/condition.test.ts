/** What is said of policies whose plugins are not there. */
import { expect, test } from "vitest";
import { type PluginState, policyConditions } from "./condition.ts";
import { formatPluginReference } from "./plugin-reference.ts";
import { cnp, port80, repositoryOf, visibility } from "./testing/small-world.ts";

const STATES: Record<string, PluginState> = {
  redis: { kind: "ready" },
  "redis@9.9.9": { kind: "version-missing" },
  broken: { kind: "unavailable", reason: "the signature is of a revoked key" },
};
const states = (reference: Parameters<typeof formatPluginReference>[0]): PluginState =>
  STATES[formatPluginReference(reference)] ?? { kind: "unknown" };

const policy = (name: string, rules: string, annotations = "{}") =>
  cnp(name, `ingress: [{${port80(rules)}}]`, annotations);

test("nothing is said of policies that are in force as written", () => {
  const repository = repositoryOf(policy("a", "l7proto: redis"), cnp("b", "ingress: [{}]"));
  expect(policyConditions(repository, states)).toEqual([]);
});

test("each missing plugin of a policy once, with what becomes of the traffic", () => {
  const repository = repositoryOf(
    policy("a", "l7proto: memcached"),
    policy("b", "l7proto: redis@9.9.9"),
    policy("c", "l7proto: broken", "{imker.io/l7-failure: open}"),
    cnp("d", `ingress: [{${port80("http: [{}]")}}], egress: [{${port80("http: [{}]")}}]`),
    visibility("e", 'endpointSelector: {}, ports: [{port: "1"}], plugin: memcached'),
  );
  const conditions = policyConditions(repository, states);
  expect(conditions.map(({ type, message }) => `${type}: ${message}`)).toEqual([
    "PluginUnknown: CiliumNetworkPolicy default/a: plugin memcached is not installed, or no version of it is active; the traffic it is for is denied",
    "PluginVersionMissing: CiliumNetworkPolicy default/b: this version of plugin redis@9.9.9 is not installed; the traffic it is for is denied",
    "PluginUnavailable: CiliumNetworkPolicy default/c: plugin broken cannot be used: the signature is of a revoked key; the traffic it is for passes unseen",
    "PluginUnknown: CiliumNetworkPolicy default/d: plugin l7-http is not installed, or no version of it is active; the traffic it is for is denied",
    "PluginUnknown: VisibilityPolicy default/e: plugin memcached is not installed, or no version of it is active; the traffic it is for passes unseen",
  ]);
  expect(conditions[0]).toMatchObject({
    policy: { kind: "CiliumNetworkPolicy", namespace: "default", name: "a" },
    plugin: "memcached",
  });
});
