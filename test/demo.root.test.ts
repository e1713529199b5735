/** The main job through its command, on both runtimes, and what it leaves behind: nothing. */
import { execFile } from "node:child_process";
import { readdirSync } from "node:fs";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import { describe, expect, it } from "vitest";
import type { DemoResult } from "../host/demo/run.ts";

const IMKER = join(dirname(dirname(fileURLToPath(import.meta.url))), "imker");
const run = promisify(execFile);
const DEMO_TIMEOUT_MS = 60_000;

/** Ids of every program, map and link in the kernel. */
async function kernelObjects(): Promise<string[]> {
  const kinds = ["prog", "map", "link"] as const;
  const lists = await Promise.all(
    kinds.map(async (kind) => {
      const { stdout } = await run("bpftool", ["--json", kind, "list"]);
      return (JSON.parse(stdout) as { id: number }[]).map(({ id }) => `${kind} ${id}`);
    }),
  );
  return lists.flat();
}

describe.each(["node", "deno"] as const)("imker demo --runtime %s", (runtime) => {
  it(
    "every request ends as the policies say, and nothing is left behind",
    async () => {
      const before = await kernelObjects();
      const args = ["demo", "--json", "--runtime", runtime];
      const { stdout } = await run(IMKER, args, { timeout: DEMO_TIMEOUT_MS });
      const { results } = JSON.parse(stdout) as { results: DemoResult[] };
      expect(results.filter((result) => !result.pass)).toEqual([]);
      expect(results.length).toBeGreaterThan(20);
      const after = await kernelObjects();
      expect(after.filter((object) => !before.includes(object))).toEqual([]);
      expect(readdirSync("/run").filter((name) => name.startsWith("imker-demo"))).toEqual([]);
      const { stdout: netns } = await run("ip", ["netns", "list"]);
      expect(netns).not.toContain("imker-demo");
    },
    DEMO_TIMEOUT_MS,
  );
});
