/** The collector of built plugins: everything dead goes, no call pays for all of it. */
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { expect, test } from "vitest";
import { FUEL_BASE_MIN, manifestSchema } from "../contract/manifest.ts";
import { instantiate, prepareImage } from "../isolate/index.ts";
import { builtComponent, ROOT } from "../testkit/built-plugin.ts";
import { changeCollector } from "./collector.ts";

const LOADS = 15_000;

test("a plugin that allocates with every call stays small, and cheap in every call", {
  timeout: 120_000,
}, async () => {
  const folder = join(ROOT, "plugins", "l7-http");
  const read = manifestSchema.parse(JSON.parse(readFileSync(join(folder, "plugin.json"), "utf8")));
  // With the least a manifest can give: a collection must fit in it.
  const manifest = {
    ...read,
    limits: { ...read.limits, fuelBase: FUEL_BASE_MIN, fuelPerByte: 40 },
  };
  const image = prepareImage(await builtComponent(folder), { digest: "sha256:0", manifest });
  const instance = instantiate(image, { emit() {}, log() {}, match: () => false });
  const compiled = instance.compile([]);
  let [rested, dearest, used] = [0, 0, instance.fuelUsed];
  for (let count = 0; count < LOADS; count++) {
    instance.unload(instance.load(compiled));
    dearest = Math.max(dearest, instance.fuelUsed - used);
    used = instance.fuelUsed;
    if (count === LOADS / 3) rested = instance.memoryBytes;
  }
  expect(instance.memoryBytes).toBe(rested);
  expect(dearest).toBeLessThan(FUEL_BASE_MIN);
});

/** As the compiler has it before anything is changed. */
function library(): Record<string, string> {
  const folder = join(ROOT, "node_modules/assemblyscript/std/assembly");
  const names = ["rt/index-minimal", "rt/itcms", "rt/tlsf"];
  return Object.fromEntries(
    names.map((name) => [name, readFileSync(join(folder, `${name}.ts`), "utf8")]),
  );
}

test("the library is changed once", () => {
  const files = library();
  expect(changeCollector(files)).toBeUndefined();
  const once = { ...files };
  expect(changeCollector(files)).toBeUndefined();
  expect(files).toEqual(once);
  expect(files["rt/itcms"]).toContain("export function advance");
});

test("a library that is not as expected is named, and left alone", () => {
  const files = { ...library(), "rt/tlsf": "export {};\n" };
  const before = { ...files };
  expect(changeCollector(files)).toBe("rt/tlsf");
  expect(files).toEqual(before);
});
