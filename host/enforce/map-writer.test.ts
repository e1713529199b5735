/** How a map comes to what it is to hold: in place, as a whole, or not at all. */
import { beforeEach, describe, expect, it } from "vitest";
import { ENDPOINT_HOST } from "../datapath/layout.ts";
import { POLICY_ENTRIES_MAX } from "../datapath/policy-map.ts";
import type { PolicyRows } from "../datapath/policy-rows.ts";
import { MapWriter } from "./map-writer.ts";
import type { EndpointPlan, PolicyContent } from "./types.ts";

const rows = (count: number): PolicyRows => {
  return { keys: new Uint8Array(), values: new Uint8Array(), count };
};

/** Changes in place from its last settled version, if `change` says how many rows. */
class Content implements PolicyContent {
  count = 5;
  readonly lineage: object = Content;
  version = 1;
  change: number | undefined = 1;
  deletes = 0;
  #settled = 0;

  pack(): PolicyRows {
    return rows(this.count);
  }

  changeFrom(version: number) {
    if (version !== this.#settled || this.change === undefined) return undefined;
    return { upserts: rows(this.change), deletes: rows(this.deletes) };
  }

  settle(): void {
    this.#settled = this.version;
  }
}

describe("MapWriter", () => {
  let steps: string[];
  let fail: boolean;
  let content: Content;

  beforeEach(() => {
    steps = [];
    fail = false;
    content = new Content();
  });

  function create(lockdownOnOverflow = false, entriesMax = POLICY_ENTRIES_MAX): MapWriter {
    const kernel = {
      fillPolicy: async ({ count }: PolicyRows) => ({ map: count }),
      placePolicies: async (all: readonly { endpoint: number; filled: { map: number } }[]) => {
        if (fail) throw new Error("no memory");
        steps.push(`place ${all.map(({ endpoint, filled }) => `${endpoint}:${filled.map}`)}`);
      },
      removePolicy: (endpoint: number) => steps.push(`remove ${endpoint}`),
      changePolicy: async (endpoint: number) => {
        if (fail) throw new Error("no memory");
        steps.push(`change ${endpoint}`);
      },
    };
    return new MapWriter(kernel, { lockdownOnOverflow, entriesMax });
  }

  const plan = (...endpoints: number[]): EndpointPlan[] =>
    endpoints.map((endpoint) => ({ endpoint, content, ruleSets: new Set([endpoint]) }));

  it("places first maps together, changes them in place, and leaves them alone", async () => {
    const writer = create();
    await writer.write(plan(1, 2), []);
    content.version++;
    await writer.write(plan(1, 2), []);
    await writer.write(plan(1, 2), []);
    expect(steps).toEqual(["place 1:5,2:5", "change 1", "change 2"]);
  });

  it("replaces the map when the change says so, and of an endpoint that comes later", async () => {
    const writer = create();
    await writer.write(plan(1), []);
    content.version++;
    content.change = undefined;
    await writer.write(plan(1), []);
    await writer.write(plan(1, 2), []);
    expect(steps).toEqual(["place 1:5", "place 1:5", "place 2:5"]);
  });

  it("replaces the map where versions cannot be compared, and only there", async () => {
    const writer = create();
    await writer.write(plan(1), []);
    const before = content;
    content = new Content();
    await writer.write(plan(1), []);
    content = Object.assign(new Content(), { lineage: {} });
    await writer.write(plan(1), []);
    expect(before.version).toBe(content.version);
    expect(steps).toEqual(["place 1:5", "place 1:5"]);
  });

  it("writes nothing when rules changed and rows did not", async () => {
    const writer = create();
    await writer.write(plan(1), []);
    content.version++;
    content.change = 0;
    const changed: number[] = [];
    await writer.write(plan(1), changed);
    expect([steps, changed]).toEqual([["place 1:5"], []]);
  });

  it("replaces a map that a failed change may have left half done", async () => {
    const writer = create();
    await writer.write(plan(1), []);
    content.version++;
    fail = true;
    const changed: number[] = [];
    await expect(writer.write(plan(1), changed)).rejects.toThrow("no memory");
    expect(changed).toEqual([1]);
    expect(writer.isCurrent(1)).toBe(false);
    fail = false;
    await writer.write(plan(1), []);
    expect(steps).toEqual(["place 1:5", "place 1:5"]);
  });

  it("keeps the last map of a policy that does not fit, and its rule sets", async () => {
    const writer = create();
    await writer.write(plan(1), []);
    content.version++;
    content.count = POLICY_ENTRIES_MAX + 1;
    await writer.write(plan(1), []);
    expect(writer.overflows).toEqual([
      { endpoint: 1, entries: 16_385, entriesMax: 16_384, isLockedDown: false },
    ]);
    expect([writer.isCurrent(1), [...writer.keptRuleSets(plan(1))]]).toEqual([false, [1]]);
    content.version++;
    content.count = 7;
    await writer.write(plan(1), []);
    expect([writer.overflows, writer.isCurrent(1)]).toEqual([[], true]);
    expect(steps).toEqual(["place 1:5", "place 1:7"]);
  });

  it("replaces the map when the old rows and the new would not fit beside each other", async () => {
    const writer = create(false, 8);
    await writer.write(plan(1), []);
    for (const deletes of [3, 4]) {
      content.version++;
      content.deletes = deletes;
      await writer.write(plan(1), []);
    }
    content.version++;
    content.count = 9;
    await writer.write(plan(1), []);
    expect(steps).toEqual(["place 1:5", "change 1", "place 1:5"]);
    expect(writer.overflows).toMatchObject([{ entries: 9, entriesMax: 8 }]);
  });

  it("or closes the endpoint, once, if the node wants that", async () => {
    const writer = create(true);
    content.count = POLICY_ENTRIES_MAX + 1;
    await writer.write(plan(1), []);
    await writer.write(plan(1), []);
    expect(writer.overflows.map(({ isLockedDown }) => isLockedDown)).toEqual([true]);
    content.count = 3;
    await writer.write(plan(1), []);
    expect(steps).toEqual(["place 1:0", "place 1:3"]);
  });

  it("but never the node, and takes its map away once", async () => {
    const writer = create(true);
    const changed: number[] = [];
    content.count = POLICY_ENTRIES_MAX + 1;
    await writer.write(plan(ENDPOINT_HOST), changed);
    expect([writer.isCurrent(ENDPOINT_HOST), steps]).toEqual([false, []]);
    writer.remove([ENDPOINT_HOST], changed);
    writer.remove([ENDPOINT_HOST], changed);
    expect([writer.overflows, writer.isCurrent(ENDPOINT_HOST)]).toEqual([[], true]);
    content.count = 3;
    await writer.write(plan(ENDPOINT_HOST), changed);
    expect(steps).toEqual([`remove ${ENDPOINT_HOST}`, `place ${ENDPOINT_HOST}:3`]);
    expect(changed).toEqual([ENDPOINT_HOST, ENDPOINT_HOST]);
  });

  it("knows nothing of an endpoint that it forgot", async () => {
    const writer = create();
    await writer.write(plan(1), []);
    writer.forget(1);
    await writer.write(plan(1), []);
    expect(steps).toEqual(["place 1:5", "place 1:5"]);
  });
});
