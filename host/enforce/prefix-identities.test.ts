/** Identities of prefixes are shared by those with equal labels, and held while in force. */
import { expect, test } from "vitest";
import { parsePrefix } from "../identity/cidr.ts";
import { formatLabel, parseLabel } from "../identity/label.ts";
import { type PrefixSaying, prefixesByText } from "../identity/prefix-labels.ts";
import { PrefixIdentities } from "./prefix-identities.ts";

function saying(key: string, prefixes: string[], label?: string): PrefixSaying {
  const parsed = prefixes.map(parsePrefix).filter((one) => one !== undefined);
  const labels = label === undefined ? [] : [parseLabel(label)];
  return { key, labels, byAddress: label === undefined, prefixes: prefixesByText(parsed) };
}

function world() {
  const users = new Map<string, number>();
  const texts: string[] = [];
  const prefixes = new PrefixIdentities({
    acquire: async (labels) => {
      const list = [...labels];
      const text = list.map(formatLabel).join(" ");
      if (!texts.includes(text)) texts.push(text);
      users.set(text, (users.get(text) ?? 0) + 1);
      return { id: texts.indexOf(text), labels: list };
    },
    release: async (id) => {
      users.set(texts[id] ?? "", (users.get(texts[id] ?? "") ?? 0) - 1);
    },
  });
  const held = () => [...users].flatMap(([text, times]) => (times > 0 ? [text] : []));
  return { prefixes, users, held };
}

const NET_10 = "cidr:10.0.0.0/8 reserved:world-ipv4";
const NET_10_1 = "cidr:10.1.0.0/16 reserved:world-ipv4";

test("holds what is in force, gives back what is not", async () => {
  const { prefixes, users, held } = world();
  const a = saying("policies", ["10.0.0.0/8"]);
  const both = saying("policies", ["10.0.0.0/8", "10.1.0.0/16"]);
  await prefixes.during([a], async (identities) => {
    expect([...identities]).toEqual([["10.0.0.0/8", 0]]);
    return true;
  });
  expect(held()).toEqual([NET_10]);
  await prefixes.during([both], async () => false);
  expect(held()).toEqual([NET_10]);
  await expect(
    prefixes.during([both], async () => {
      throw new Error("not in force");
    }),
  ).rejects.toThrow("not in force");
  expect(held()).toEqual([NET_10]);
  await prefixes.during([saying("policies", ["10.1.0.0/16"])], async () => true);
  expect(held()).toEqual([NET_10_1]);
  expect([...users.values()].every((times) => times <= 1)).toBe(true);
});

test("prefixes of a group have one identity, and what stays the same is the same map", async () => {
  const { prefixes, held } = world();
  const many = Array.from({ length: 20 }, (_, index) => `192.0.2.${index}/32`);
  const sayings = [saying("policies", []), saying("group g", many, "cidrgroup:a=b")];
  const maps: ReadonlyMap<string, number>[] = [];
  for (const said of [sayings, sayings, [saying("policies", []), ...sayings.slice(1)]]) {
    await prefixes.during(said, async (identities) => maps.push(identities) > 0);
  }
  expect(held()).toEqual(["cidrgroup:a=b reserved:world-ipv4"]);
  expect([maps[0]?.size, new Set(maps[0]?.values()).size]).toEqual([20, 1]);
  expect(maps.every((one) => one === maps[0])).toBe(true);
});
