/**
 * Every vector of vectors.md and testdata/, natively and sandboxed, at many cuts: the outcome is
 * always the same.
 */
import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { expect, test } from "vitest";
import { builtImage, instantiateImage } from "../../runtime/testkit/built-plugin.ts";
import { instantiateNative } from "../../runtime/testkit/native.ts";
import { readManifest, VectorRunner } from "../../runtime/testkit/run-vector.ts";
import { readVectors, type VectorStep } from "../../runtime/testkit/vectors.ts";
import { createPlugin } from "./plugin.ts";

const FOLDER = import.meta.dirname;
const FILES = [
  "vectors.md",
  ...readdirSync(join(FOLDER, "testdata"))
    .filter((name) => name.endsWith(".md"))
    .map((name) => `testdata/${name}`),
];
/** Every size up to this, then few: long bodies are cut where it matters by the small ones. */
const PIECES_DENSE = 64;
const PIECES_SPARSE = [97, 256, 1000, 4096, 16384, 1_000_000];

const manifest = readManifest(FOLDER);
const image = await builtImage(FOLDER);
const runners = {
  native: new VectorRunner(manifest, (imports) => instantiateNative(createPlugin, imports)),
  wasm: new VectorRunner(manifest, (imports) => instantiateImage(image, imports)),
};

for (const file of FILES) {
  for (const vector of readVectors(readFileSync(join(FOLDER, file), "utf8"))) {
    for (const [way, runner] of Object.entries(runners)) {
      test(`${file}: ${vector.name} (${way})`, () => {
        const { upstream, client, records, close } = vector;
        for (const piece of pieces(vector.steps)) {
          expect(runner.run(vector, piece), `in pieces of ${piece}`).toEqual({
            upstream,
            client,
            records,
            close,
          });
        }
      });
    }
  }
}

function pieces(steps: readonly VectorStep[]): number[] {
  const longest = Math.max(1, ...steps.map((step) => ("bytes" in step ? step.bytes.length : 0)));
  const dense = Array.from({ length: Math.min(longest, PIECES_DENSE) }, (_, index) => index + 1);
  return [
    ...dense,
    ...PIECES_SPARSE.filter((piece) => piece > PIECES_DENSE && piece < longest),
    longest,
  ];
}
