/**
 * Whether swapping leaves anything behind: the proxy's resident memory after very many activations
 * under light traffic, against what it was after the first of them.
 */
import { pause } from "../../test/rig.ts";
import { RunError } from "../errors.ts";
import { summarize } from "../stats.ts";
import { atMost, type Figure } from "./figure.ts";
import type { SwapNode } from "./node.ts";

const GOAL_PERCENT = 2;
const CLIENTS = 2;
/** Garbage goes when the collector wants: the median of the time after the swaps counts. */
const SETTLE_SAMPLES = 20;
const SETTLE_PAUSE_MS = 200;
const BYTES_PER_MIB = 1 << 20;

export async function swapsMemory(
  node: SwapNode,
  { swaps, baseline }: { swaps: number; baseline: number },
  { progress, signal }: { progress: (line: string) => void; signal: AbortSignal },
): Promise<Figure> {
  const load = await node.load(CLIENTS);
  const swapTimes = async (count: number): Promise<void> => {
    for (let i = 0; i < count; i++) {
      signal.throwIfAborted();
      await node.swap();
    }
  };
  await swapTimes(baseline);
  const before = await settledBytes(node);
  progress(`after ${baseline} swaps: ${(before / BYTES_PER_MIB).toFixed(1)} MiB`);
  await swapTimes(swaps - baseline);
  const after = await settledBytes(node);
  progress(`after ${swaps} swaps: ${(after / BYTES_PER_MIB).toFixed(1)} MiB`);
  const { connections, lost } = await load.stop();
  if (connections === 0 || lost > 0) {
    throw new RunError(`Cannot swap under load: ${lost} of ${connections} connections lost`);
  }
  const growth = (after / before - 1) * 100;
  return atMost(GOAL_PERCENT, "swaps_memory_growth_percent", growth, "%");
}

async function settledBytes(node: SwapNode): Promise<number> {
  const samples: number[] = [];
  for (let i = 0; i < SETTLE_SAMPLES; i++) {
    await pause(SETTLE_PAUSE_MS);
    samples.push(await node.residentBytes());
  }
  return summarize(samples).median;
}
