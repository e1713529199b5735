import { expect, test } from "vitest";
import { Recordings } from "./recordings.ts";

const MINUTE = { policies: [] as string[], forMs: 60_000, bytesMax: 1024 };

function some() {
  const world = { now: 1000, applied: 0, refuse: false };
  const recordings = new Recordings({
    now: () => world.now,
    ruleSetsOf: (name, policies) => (name === "acme" && policies[0] !== "none" ? [1, 2] : []),
    apply: async () => {
      world.applied++;
      if (world.refuse) throw new Error("no proxy");
    },
  });
  return { world, recordings };
}

test("a recording is in force until its end", async () => {
  const { world, recordings } = some();
  expect(recordings.forProxy()).toEqual([]);
  const one = await recordings.start("acme", MINUTE);
  expect(one).toEqual({ plugin: "acme", policies: [], bytesMax: 1024, until: 61_000 });
  expect(recordings.forProxy()).toEqual([{ ruleSets: [1, 2], until: 61_000, bytesMax: 1024 }]);
  world.now = 61_000;
  expect([recordings.list("acme"), recordings.forProxy()]).toEqual([[], []]);
});

test("stopping ends all of a plugin's, and tells the workers once", async () => {
  const { world, recordings } = some();
  await recordings.start("acme", MINUTE);
  await recordings.start("acme", { ...MINUTE, policies: ["a/b"] });
  await recordings.start("other", MINUTE);
  expect((await recordings.stop("acme")).length).toBe(2);
  expect((await recordings.stop("acme")).length).toBe(0);
  expect(world.applied).toBe(4);
  expect([recordings.list("acme"), recordings.list("other").length]).toEqual([[], 1]);
});

test("refused: policies without the plugin, too many, no proxy", async () => {
  const { world, recordings } = some();
  const none = recordings.start("acme", { ...MINUTE, policies: ["none"] });
  await expect(none).rejects.toMatchObject({ status: 422 });
  world.refuse = true;
  await expect(recordings.start("acme", MINUTE)).rejects.toMatchObject({ status: 503 });
  expect(recordings.list("acme")).toEqual([]);
  world.refuse = false;
  for (let i = 0; i < 16; i++) await recordings.start("acme", MINUTE);
  await expect(recordings.start("acme", MINUTE)).rejects.toMatchObject({ status: 409 });
});
