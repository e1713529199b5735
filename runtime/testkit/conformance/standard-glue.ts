/**
 * The component as a component: through jco's generated glue, an implementation of the canonical
 * ABI that is not ours, its vectors must come to the same. That glue knows no fuel, so only
 * what has come to an end in the sandbox is run through it.
 */
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { pathToFileURL } from "node:url";
import { transpile } from "@bytecodealliance/jco";
import { randomCut, WHOLE } from "../cuts.ts";
import { expectedOutcome } from "../index.ts";
import { instantiateJco } from "../jco.ts";
import { seededRandom } from "../mutation.ts";
import { differences } from "../outcome-diff.ts";
import { SteadyRunner } from "../steady-runner.ts";
import type { Check } from "./types.ts";

export const sameThroughJco: Check = {
  name: "jco",
  async run({ package: { body }, image, vectors, options, instantiate }) {
    const folder = mkdtempSync(join(tmpdir(), "imker-jco-"));
    try {
      const glue = await load(body, folder);
      const compileCore = (name: string) =>
        new WebAssembly.Module(readFileSync(join(folder, name)));
      const runner = new SteadyRunner(image.manifest, (imports) =>
        instantiateJco(glue, compileCore, imports),
      );
      const metered = new SteadyRunner(image.manifest, instantiate);
      const random = seededRandom(options.seed);
      const findings = vectors.flatMap((vector) => {
        const lengths = vector.steps.map((step) => ("bytes" in step ? step.bytes.length : 0));
        return [WHOLE, randomCut(lengths, random)].flatMap((cut) => {
          const sandboxed = metered.run(vector, cut);
          const first = differences(expectedOutcome(vector), sandboxed);
          const lines = first.length > 0 ? first : differences(sandboxed, runner.run(vector, cut));
          return lines.length === 0 ? [] : [`${vector.name}, ${cut.name}: ${lines.join(" ")}`];
        });
      });
      return {
        ok: findings.length === 0,
        detail: `${vectors.length} vectors, whole and cut, through jco's glue`,
        findings: findings.slice(0, 3),
      };
    } catch (error) {
      return { ok: false, detail: error instanceof Error ? error.message : String(error) };
    } finally {
      rmSync(folder, { recursive: true, force: true });
    }
  },
};

async function load(component: Uint8Array, folder: string): Promise<unknown> {
  const { files } = await transpile(component, {
    name: "plugin",
    instantiation: "sync",
    noTypescript: true,
  });
  for (const [name, bytes] of Object.entries(files)) {
    if (dirname(name) === ".") writeFileSync(join(folder, name), bytes);
  }
  return import(pathToFileURL(join(folder, "plugin.js")).href);
}
