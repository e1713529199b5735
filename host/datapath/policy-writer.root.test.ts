/** Policy maps written in bulk, on the kernel's own. */
import { join } from "node:path";
import { afterAll, beforeAll, expect, test } from "vitest";
import { type BpfObject, loadNative } from "../native/index.ts";
import { POLICY_ENTRIES_CHOICE, POLICY_ENTRIES_MAX, readPolicy } from "./policy-map.ts";
import { RowPacker, RowTemplate } from "./policy-rows.ts";
import { changePolicy, fillPolicy, placePolicies } from "./policy-writer.ts";
import { packPolicy } from "./testdata/policy.ts";
import type { PolicyMapEntry } from "./types.ts";

const native = loadNative();
let object: BpfObject;
let policies: number;

beforeAll(() => {
  object = new native.BpfObject(join(import.meta.dirname, "..", "..", ".build", "bpf", "pod.o"));
  object.load();
  policies = object.mapFd("policies");
});

afterAll(() => object.close());

const entry = (identity: number, changes: Partial<PolicyMapEntry> = {}): PolicyMapEntry => ({
  ...{ identity, direction: "ingress", protocol: 6, port: 80, portPrefix: 16 },
  ...{ precedence: 0x201, deny: false, redirect: false, ruleSet: 0, cookie: identity },
  ...changes,
});

const identities = (endpoint: number): number[] =>
  readPolicy(native, policies, endpoint)
    .map(({ identity }) => identity)
    .toSorted((a, b) => a - b);

test("maps are filled and put in place together", async () => {
  const all = Array.from({ length: POLICY_ENTRIES_MAX }, (_, index) => entry(256 + index));
  const placements = await Promise.all(
    [[], [entry(7)], all].map(async (entries, index) => {
      return { endpoint: 10 + index, filled: await fillPolicy(native, packPolicy(entries)) };
    }),
  );
  expect(identities(12)).toEqual([]);
  await placePolicies(native, policies, placements);
  expect([identities(10), identities(11), identities(12).length]).toEqual([[], [7], all.length]);
});

test.each([256, POLICY_ENTRIES_CHOICE.max])(
  "a map of %i entries is as good",
  async (entriesMax) => {
    const all = Array.from({ length: entriesMax }, (_, index) => entry(256 + index));
    const filled = await fillPolicy(native, packPolicy(all), entriesMax);
    await placePolicies(native, policies, [{ endpoint: 20, filled }]);
    expect(identities(20)).toHaveLength(entriesMax);
    const upserts = packPolicy([entry(0)]);
    const more = changePolicy(native, policies, 20, { upserts, deletes: packPolicy([]) });
    await expect(more).rejects.toThrow(/ENOSPC|no space/i);
    await expect(fillPolicy(native, packPolicy([...all, entry(0)]), entriesMax)).rejects.toThrow(
      `Cannot write policy: ${entriesMax + 1} entries, the map holds ${entriesMax}`,
    );
  },
);

test("a template's rows read back as its entries, for each identity", async () => {
  const entries = [
    entry(0, { protocol: 0, port: 0, portPrefix: 0, deny: true, precedence: 0x2ff }),
    entry(0, { direction: "egress", port: 64, portPrefix: 10, redirect: true, ruleSet: 9 }),
    entry(0, { protocol: 17, precedence: 0xfffffe_00 }),
  ];
  const packer = new RowPacker(6);
  const template = new RowTemplate(entries);
  for (const identity of [1, 0x01ff_ffff]) packer.addAll(identity, template);
  await placePolicies(native, policies, [
    { endpoint: 20, filled: await fillPolicy(native, packer.rows()) },
  ]);
  const expected = [1, 0x01ff_ffff].flatMap((identity) =>
    entries.map((one) => expect.objectContaining({ ...one, identity })),
  );
  const rows = readPolicy(native, policies, 20);
  expect(rows).toHaveLength(6);
  expect(rows).toEqual(expect.arrayContaining(expected));
});

test.each([1, 1_000])("%d rows are changed in place, upserts before deletes", async (many) => {
  const filled = await fillPolicy(native, packPolicy([entry(1), entry(2)]));
  await placePolicies(native, policies, [{ endpoint: 30, filled }]);
  const added = Array.from({ length: many }, (_, index) => entry(100 + index));
  const upserts = packPolicy([entry(2, { cookie: 9 }), ...added]);
  // What is not there any more is no error, and does not keep the rest.
  await changePolicy(native, policies, 30, { upserts, deletes: packPolicy([entry(5), entry(1)]) });
  expect(identities(30)).toEqual([2, ...added.map(({ identity }) => identity)]);
  const changed = readPolicy(native, policies, 30).find(({ identity }) => identity === 2);
  expect(changed?.cookie).toBe(9);
});

test("refuses what cannot be", async () => {
  const nothing = packPolicy([]);
  const change = { upserts: packPolicy([entry(1)]), deletes: nothing };
  await expect(changePolicy(native, policies, 99, change)).rejects.toThrow(
    "Cannot change policy: endpoint 99 has none",
  );
  const rows = { ...nothing, count: POLICY_ENTRIES_MAX + 1 };
  await expect(fillPolicy(native, rows)).rejects.toThrow("16385 entries, the map holds 16384");
  const full = Array.from({ length: POLICY_ENTRIES_MAX }, (_, index) => entry(256 + index));
  await placePolicies(native, policies, [
    { endpoint: 40, filled: await fillPolicy(native, packPolicy(full)) },
  ]);
  const more = { upserts: packPolicy([entry(1)]), deletes: nothing };
  await expect(changePolicy(native, policies, 40, more)).rejects.toMatchObject({ code: "ENOSPC" });
});
