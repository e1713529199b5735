/**
 * What the contract costs: a request of 670 bytes given to the shipped component (lowered into the
 * sandbox, metered, lifted out again), less the same source run natively.
 */
import { createPlugin } from "../../plugins/l7-http/plugin.ts";
import { instantiate } from "../../runtime/isolate/index.ts";
import { instantiateNative } from "../../runtime/testkit/native.ts";
import { atMost, type Figure } from "./figure.ts";
import { compareInTurn } from "./interleaved.ts";
import { BusyConnection, RecordCount, type Subject } from "./subject.ts";

const GOAL_NS = 1_000;

export function contractOverhead(
  { image, compiled }: Subject,
  rounds: number,
  progress: (line: string) => void,
): Figure {
  const [sandboxHost, nativeHost] = [new RecordCount(), new RecordCount()];
  const sandbox = new BusyConnection(instantiate(image, sandboxHost), sandboxHost, compiled);
  const plain = instantiateNative(createPlugin, nativeHost);
  const native = new BusyConnection(plain, nativeHost, compiled);
  const { first, second, compared } = compareInTurn(
    [() => sandbox.batch(), () => native.batch()],
    rounds,
    (sandboxNs, nativeNs) => sandboxNs - nativeNs,
  );
  progress(`a request: ${first.toFixed(0)} ns sandboxed, ${second.toFixed(0)} ns natively`);
  return atMost(GOAL_NS, "contract_overhead_ns", compared, "ns");
}
