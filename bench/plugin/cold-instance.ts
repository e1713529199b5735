/**
 * What a tenant's first request waits for: an instance of a version that is warm is made, loads the
 * rules, opens a connection and judges its first request.
 */
import { instantiate } from "../../runtime/isolate/index.ts";
import { DIRECTION, END } from "../../runtime/isolate/types.ts";
import { warmUp } from "../../runtime/proxy/warm-up.ts";
import { RunError } from "../errors.ts";
import { summarize } from "../stats.ts";
import { atMost, type Figure } from "./figure.ts";
import { factsWith, RecordCount, request, type Subject } from "./subject.ts";

const GOAL_US = 1_000;
const US_PER_MS = 1_000;

export function coldInstance({ image, vectors, compiled }: Subject, samples: number): Figure {
  warmUp(image, { vectors });
  const bytes = request();
  const microseconds = Array.from({ length: samples }, () => {
    const host = new RecordCount();
    const started = performance.now();
    const instance = instantiate(image, host);
    const handle = instance.open(factsWith(instance.load(compiled)));
    instance.onData(handle, DIRECTION.request, bytes, 0, bytes.length, END.open, 0, 1);
    const spent = performance.now() - started;
    if (host.records !== 1) throw new RunError("Cannot measure: the first request has no record");
    return spent * US_PER_MS;
  });
  return atMost(GOAL_US, "cold_instance_us", summarize(microseconds).median, "us");
}
