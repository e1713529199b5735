/** What is said of a prefix is said of the narrower ones in it; the labels are those of Cilium. */
import fc from "fast-check";
import { expect, test } from "vitest";
import { type Prefix, parsePrefix, prefixContains } from "./cidr.ts";
import { formatLabel, parseLabel } from "./label.ts";
import { PrefixLabels, type PrefixSaying, prefixesByText } from "./prefix-labels.ts";

function prefix(text: string): Prefix {
  const parsed = parsePrefix(text);
  if (!parsed) throw new Error(`Cannot read ${text}: not a prefix`);
  return parsed;
}

/** `labels` empty: known by the address. */
function saying(key: string, prefixes: string[], ...labels: string[]): PrefixSaying {
  return {
    ...{ key, labels: labels.map((text) => parseLabel(text)), byAddress: labels.length === 0 },
    prefixes: prefixesByText(prefixes.map(prefix)),
  };
}

function texts(labels: PrefixLabels): Record<string, string> {
  const entries = Array.from(labels.all(), ({ text, set }) => [
    text,
    set.labels.map(formatLabel).join(" "),
  ]);
  return Object.fromEntries(entries.sort());
}

const named = (...prefixes: string[]) => saying("policies", prefixes);
const group = (name: string, ...prefixes: string[]) =>
  saying(`group ${name}`, prefixes, `cidrgroup:${name}`);
const V4 = "reserved:world-ipv4";

test.each<[string, PrefixSaying[], Record<string, string>]>([
  [
    "a prefix that a policy names is its own address, however wide the others",
    [named("10.0.0.0/8", "10.1.0.0/16", "fd00:ef::/48")],
    {
      "10.0.0.0/8": `cidr:10.0.0.0/8 ${V4}`,
      "10.1.0.0/16": `cidr:10.1.0.0/16 ${V4}`,
      "fd00:ef::/48": "cidr:fd00-ef--0/48 reserved:world-ipv6",
    },
  ],
  [
    "groups are told apart by their labels only",
    [group("a", "10.0.0.0/8", "192.0.2.0/24", "2001:db8::/32")],
    {
      "10.0.0.0/8": `cidrgroup:a ${V4}`,
      "192.0.2.0/24": `cidrgroup:a ${V4}`,
      "2001:db8::/32": "cidrgroup:a reserved:world-ipv6",
    },
  ],
  [
    "groups, prefixes and names inside each other",
    [
      group("a", "10.0.0.0/8"),
      group("b", "10.0.0.0/16"),
      group("c", "10.0.0.0/24"),
      named("10.0.0.0/25", "10.0.0.0/26"),
      saying("name", ["10.0.0.0/27", "192.0.2.1/32"], "fqdn:*.example.com"),
    ],
    {
      "10.0.0.0/8": `cidrgroup:a ${V4}`,
      "10.0.0.0/16": `cidrgroup:a cidrgroup:b ${V4}`,
      "10.0.0.0/24": `cidrgroup:a cidrgroup:b cidrgroup:c ${V4}`,
      "10.0.0.0/25": `cidr:10.0.0.0/25 cidrgroup:a cidrgroup:b cidrgroup:c ${V4}`,
      "10.0.0.0/26": `cidr:10.0.0.0/26 cidrgroup:a cidrgroup:b cidrgroup:c ${V4}`,
      "10.0.0.0/27": `cidr:10.0.0.0/26 cidrgroup:a cidrgroup:b cidrgroup:c fqdn:*.example.com ${V4}`,
      "192.0.2.1/32": `fqdn:*.example.com ${V4}`,
    },
  ],
  [
    "one prefix in two groups, with other values of one key",
    [
      saying("x", ["10.0.0.0/8"], "cidrgroup:site=a"),
      saying("y", ["10.0.0.0/8"], "cidrgroup:site=b"),
    ],
    { "10.0.0.0/8": `cidrgroup:site=a cidrgroup:site=b ${V4}` },
  ],
  [
    "a group of everything",
    [group("all", "0.0.0.0/0", "::/0"), named("192.0.2.0/24")],
    {
      "0.0.0.0/0": `cidrgroup:all ${V4}`,
      "192.0.2.0/24": `cidr:192.0.2.0/24 cidrgroup:all ${V4}`,
      "::/0": "cidrgroup:all reserved:world-ipv6",
    },
  ],
  [
    "the API outside of the cluster, in a group",
    [
      group("a", "198.51.100.0/24"),
      { ...saying("api", ["198.51.100.1/32"], "reserved:kube-apiserver"), byAddress: true },
    ],
    {
      "198.51.100.0/24": `cidrgroup:a ${V4}`,
      "198.51.100.1/32": `cidr:198.51.100.1/32 cidrgroup:a reserved:kube-apiserver ${V4}`,
    },
  ],
])("%s", (_, sayings, expected) => {
  const labels = new PrefixLabels().with(sayings);
  expect(texts(labels)).toEqual(Object.fromEntries(Object.entries(expected).sort()));
  // In any order, all at once or one by one.
  let stepwise = new PrefixLabels();
  sayings.forEach((__, index) => {
    stepwise = stepwise.with(sayings.slice(sayings.length - 1 - index));
  });
  expect(texts(stepwise)).toEqual(texts(labels));
});

test("what comes to the same is the same object, and others are not touched", () => {
  const first = new PrefixLabels().with([named("10.0.0.0/8"), group("a", "192.0.2.0/24")]);
  expect(first.with([group("a", "192.0.2.0/24"), named("10.9.9.9/8")])).toBe(first);
  const second = first.with([named("10.0.0.0/8"), group("a", "192.0.2.0/24", "10.1.0.0/16")]);
  expect(texts(second)["10.1.0.0/16"]).toBe(`cidr:10.0.0.0/8 cidrgroup:a ${V4}`);
  expect(second.at(prefix("192.0.2.0/24"))).toBe(first.at(prefix("192.0.2.0/24")));
  expect(texts(first)).not.toHaveProperty("10.1.0.0/16");
});

test("says of a prefix what it would be, and of an address where it is", () => {
  const labels = new PrefixLabels().with([named("10.0.0.0/8"), group("a", "10.1.0.0/16")]);
  expect(labels.labelsOf(prefix("10.1.2.0/24")).map(formatLabel)).toEqual([
    ...["cidr:10.1.2.0/24", "cidrgroup:a", V4],
  ]);
  expect(labels.labelsOf(prefix("0.0.0.0/0")).map(formatLabel)).toEqual([V4]);
  expect(labels.at(prefix("10.1.2.3/32"))?.text).toBe("10.1.0.0/16");
  expect(labels.at(prefix("192.0.2.1/32"))).toBeUndefined();
});

test("changes one after the other come to what all of them come to at once", () => {
  const some = fc.subarray([
    ...["10.0.0.0/8", "10.1.0.0/16", "10.1.2.0/24", "10.1.2.3/32", "10.2.0.0/16", "0.0.0.0/0"],
    ...["fd00::/8", "fd00:1::/32", "::/0"],
  ]);
  const sayings = fc.record({ policies: some, a: some, b: some, label: fc.constantFrom("x", "y") });
  fc.assert(
    fc.property(fc.array(sayings, { minLength: 1, maxLength: 6 }), (states) => {
      let labels = new PrefixLabels();
      for (const { policies, a, b, label } of states) {
        const said = [
          named(...policies),
          group("a", ...a),
          saying("group b", b, `cidrgroup:${label}`),
        ];
        labels = labels.with(said);
        expect(texts(labels)).toEqual(texts(new PrefixLabels().with(said)));
        for (const { prefix: own, set } of labels.all()) {
          const around = said.filter(({ prefixes }) =>
            [...prefixes.values()].some((one) => prefixContains(one, own)),
          );
          const wanted = around.flatMap((one) => one.labels.map(formatLabel));
          const found = set.labels.map(formatLabel).filter((text) => text.startsWith("cidrgroup:"));
          expect(found).toEqual([...new Set(wanted)].sort());
        }
      }
    }),
    { numRuns: 200 },
  );
});

test("a group of 20,000 prefixes is one identity, and a change of it costs what it changes", () => {
  const all = prefixesByText(
    Array.from({ length: 20_000 }, (_, index) => ({
      ...({ family: 4, length: 17 + (index % 16) } as const),
      address: ((BigInt(index) * 214_013n) << 15n) & 0xffff_8000n,
    })),
  );
  const big = {
    ...group("big"),
    byAddress: false,
    prefixes: all,
    labels: [parseLabel("cidrgroup:x")],
  };
  const more = {
    ...big,
    prefixes: new Map([...all, ["203.0.113.7/32", prefix("203.0.113.7/32")]]),
  };
  const measure = <T>(work: () => T): [T, number] => {
    const started = process.threadCpuUsage();
    const result = work();
    const { user, system } = process.threadCpuUsage(started);
    return [result, (user + system) / 1_000];
  };
  const [labels, firstMs] = measure(() => new PrefixLabels().with([big]));
  expect(new Set(Array.from(labels.all(), ({ set }) => set.key)).size).toBe(1);
  const [next, changeMs] = measure(() => labels.with([more]));
  expect(next.at(prefix("203.0.113.7/32"))?.set.key).toBe(
    labels.at([...all.values()][0] as Prefix)?.set.key,
  );
  const [same, sameMs] = measure(() => next.with([more, named()]));
  expect(same).toBe(next);
  console.log(`20,000 prefixes: ${firstMs} ms, one more: ${changeMs} ms, the same: ${sameMs} ms`);
  // Generous: the machine may be busy with others.
  expect([firstMs < 2_000, changeMs < 500, sameMs < 50]).toEqual([true, true, true]);
});
