/**
 * How long an activation takes under load, from the request to the answer (which comes when the
 * last worker has the version), and what it costs the connections that are open meanwhile.
 */
import { pause } from "../../test/rig.ts";
import { RunError } from "../errors.ts";
import { summarize } from "../stats.ts";
import { atMost, type Figure } from "./figure.ts";
import type { SwapNode } from "./node.ts";

const GOAL_MS = 50;
const CLIENTS = 8;
/** Between swaps: the connections that are open are then some of each version. */
const PAUSE_MS = 250;

export async function activation(
  node: SwapNode,
  swaps: number,
  { progress, signal }: { progress: (line: string) => void; signal: AbortSignal },
): Promise<Figure[]> {
  const load = await node.load(CLIENTS);
  const milliseconds: number[] = [];
  for (let i = 0; i < swaps; i++) {
    signal.throwIfAborted();
    await pause(PAUSE_MS);
    milliseconds.push(await node.swap());
  }
  await pause(PAUSE_MS);
  const { connections, lost, statuses, reasons } = await load.stop();
  const { median, max } = summarize(milliseconds);
  progress(
    `${swaps} activations: ${median.toFixed(1)} ms, at most ${max.toFixed(1)} ms; ` +
      `${connections} connections, ${lost} lost ${JSON.stringify(reasons)}`,
  );
  if (connections === 0 || Object.keys(statuses).join() !== "200") {
    throw new RunError(`Cannot measure activations: the load got ${JSON.stringify(statuses)}`);
  }
  return [
    atMost(GOAL_MS, "activation_ms", median, "ms"),
    atMost(0, "activation_lost_connections", lost, "connections"),
  ];
}
