/** That the image measured against differs from the real one in the meter and in nothing else. */
import { join } from "node:path";
import { expect, test } from "vitest";
import { instantiate } from "../../runtime/isolate/index.ts";
import { builtComponent, builtImage, ROOT } from "../../runtime/testkit/built-plugin.ts";
import { vectorsOf } from "../../runtime/testkit/index.ts";
import { readManifest, VectorRunner } from "../../runtime/testkit/run-vector.ts";
import { prepareUnmetered } from "./unmetered-image.ts";

const FOLDER = join(ROOT, "plugins/l7-http");

test("without the meter every vector comes out the same, and no fuel is used", async () => {
  const manifest = readManifest(FOLDER);
  const image = await builtImage(FOLDER);
  const plain = prepareUnmetered(await builtComponent(FOLDER), { digest: image.digest, manifest });
  const [metered, unmetered] = [image, plain].map(
    (one) => new VectorRunner(manifest, (imports) => instantiate(one, imports)),
  );
  const vectors = vectorsOf(FOLDER);
  expect(vectors.length).toBeGreaterThan(10);
  for (const vector of vectors) {
    expect(unmetered?.run(vector, 1_000_000)).toEqual(metered?.run(vector, 1_000_000));
  }
  expect(metered?.instance.fuelUsed).toBeGreaterThan(0);
  expect(unmetered?.instance.fuelUsed).toBe(0);
});
