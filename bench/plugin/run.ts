/** The plugin benchmark: every figure in turn, those that need a node on one node. */
import { join } from "node:path";
import type { BenchPaths } from "../proxies/proxy.ts";
import { activation } from "./activation.ts";
import { coldInstance } from "./cold-instance.ts";
import { contractOverhead } from "./contract-overhead.ts";
import type { Figure } from "./figure.ts";
import { fuelShare } from "./fuel-share.ts";
import { hostileStop } from "./hostile-stop.ts";
import { idleTenants } from "./idle-tenants.ts";
import { interpreted } from "./interpreted.ts";
import { SwapNode } from "./node.ts";
import { largestPlugin } from "./package-size.ts";
import { loadSubject } from "./subject.ts";
import { swapsMemory } from "./swaps-memory.ts";

/** How often things are done. */
export interface PluginCounts {
  /** Interleaved rounds of what is compared. */
  rounds: number;
  hostileSamples: number;
  coldSamples: number;
  tenants: number;
  activations: number;
  /** Swaps of the memory figure, and those before its first look. */
  swaps: number;
  baseline: number;
}

export const FULL: PluginCounts = {
  ...{ rounds: 15, hostileSamples: 7, coldSamples: 300, tenants: 5_000 },
  ...{ activations: 30, swaps: 1_000, baseline: 100 },
};

/** Shows that everything runs; the numbers say little. */
export const QUICK: PluginCounts = {
  ...{ rounds: 3, hostileSamples: 1, coldSamples: 20, tenants: 100 },
  ...{ activations: 4, swaps: 20, baseline: 10 },
};

/** In the order of the table. @throws RunError: a figure could not be measured. */
export async function runPlugin(
  paths: BenchPaths,
  counts: PluginCounts,
  signal: AbortSignal,
): Promise<Figure[]> {
  const { progress, root } = paths;
  const figures: Figure[] = [];
  const note = (figure: Figure): void => {
    figures.push(figure);
    progress(`${figure.name}: ${figure.value} ${figure.unit}`);
    signal.throwIfAborted();
  };
  const subject = loadSubject(root);
  note(contractOverhead(subject, counts.rounds, progress));
  note(fuelShare(subject, counts.rounds, progress));
  note(coldInstance(subject, counts.coldSamples));
  const { limits } = subject.image.manifest;
  note(await hostileStop({ samples: counts.hostileSamples, limits }, progress));
  note(idleTenants(subject, counts.tenants, progress));
  note(largestPlugin(join(root, ".build", "plugins")));
  for (const figure of await interpreted(root, subject, counts.rounds, progress)) note(figure);
  const node = await SwapNode.start(root);
  try {
    const how = { progress, signal };
    for (const figure of await activation(node, counts.activations, how)) note(figure);
    note(await swapsMemory(node, counts, how));
  } finally {
    await node.close();
  }
  return figures;
}
