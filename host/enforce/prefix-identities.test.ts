/** Identities of prefixes are held exactly while a policy in force names them. */
import { expect, test } from "vitest";
import { parsePrefix } from "../identity/cidr.ts";
import type { Rule } from "../policy/rule.ts";
import { cidrSelector, labelSelector } from "../policy/selector.ts";
import { PrefixIdentities } from "./prefix-identities.ts";

function rule(text: string): Rule {
  const prefix = parsePrefix(text);
  if (!prefix) throw new Error("not a prefix");
  return {
    origin: { kind: "NetworkPolicy", name: "a", namespace: "b", labels: [], revision: 1 },
    subject: labelSelector([]),
    defaultDeny: { ingress: true, egress: false },
    items: [
      { direction: "ingress", verdict: "allow", peers: [cidrSelector(prefix)], ports: undefined },
    ],
  };
}

test("holds what is in force, gives back what is not", async () => {
  const users = new Map<string, number>();
  const ids = ["10.0.0.0/8", "10.1.0.0/16"];
  const count = (prefix: string, by: number): void => {
    users.set(prefix, (users.get(prefix) ?? 0) + by);
  };
  const prefixes = new PrefixIdentities({
    acquireCidr: async (prefix) => {
      count(prefix, 1);
      return { id: ids.indexOf(prefix), labels: [] };
    },
    release: async (id) => count(ids[id] ?? "", -1),
  });
  const [a, c, b] = [rule("10.0.0.0/8"), rule("10.0.0.0/8"), rule("10.1.0.0/16")];
  const held = () => [...users].filter(([, times]) => times > 0).map(([prefix]) => prefix);

  await prefixes.during([a, c], async (identities) => {
    expect([...identities]).toEqual([["10.0.0.0/8", 0]]);
    return true;
  });
  expect(held()).toEqual(["10.0.0.0/8"]);
  await prefixes.during([a, b], async () => false);
  expect(held()).toEqual(["10.0.0.0/8"]);
  await expect(
    prefixes.during([a, b], async () => {
      throw new Error("not in force");
    }),
  ).rejects.toThrow("not in force");
  expect(held()).toEqual(["10.0.0.0/8"]);
  await prefixes.during([b], async () => true);
  expect(held()).toEqual(["10.1.0.0/16"]);
  expect([...users.values()].every((times) => times <= 1)).toBe(true);
});
