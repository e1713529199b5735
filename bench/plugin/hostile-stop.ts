/**
 * How much CPU time a plugin that means harm gets out of one call before the default budget stops
 * it, with as many bytes as a call can be given. Every sample is code that nobody ever ran: a name
 * in it is new, so nothing is compiled yet but what the image is made with.
 */
import { parse } from "@bytecodealliance/jco";
import type { Manifest } from "../../runtime/contract/manifest.ts";
import { componentOf, FIXTURE_MANIFEST, guestText } from "../../runtime/isolate/guest-fixture.ts";
import { instantiate, PluginFault, prepareImage } from "../../runtime/isolate/index.ts";
import { DIRECTION, END } from "../../runtime/isolate/types.ts";
import { RunError } from "../errors.ts";
import { summarize } from "../stats.ts";
import { atMost, type Figure } from "./figure.ts";
import { type HostileCode, hostileCode } from "./hostile-code.ts";
import { factsWith, RecordCount } from "./subject.ts";
import { threadCpuUs } from "./thread-clock.ts";

const GOAL_MS = 20;
const US_PER_MS = 1_000;
/** What a direction of a connection may hold unconsumed: the most bytes of one call. */
const CALL_BYTES_MAX = 192 * 1024;

export interface HostileStop {
  /** Of each hostile plugin. */
  samples: number;
  /** The default budget: as the shipped plugin has it. */
  limits: Manifest["limits"];
}

/** The worst of the hostile plugins, each by the median of its samples. */
export async function hostileStop(
  { samples, limits }: HostileStop,
  progress: (line: string) => void,
): Promise<Figure> {
  let worst = 0;
  for (const code of hostileCode(limits.memoryPagesMax)) {
    const spent: number[] = [];
    for (let i = 0; i < samples; i++) spent.push(await stopOf(code, i, limits));
    const { median, max } = summarize(spent);
    progress(`${code.name}: ${median.toFixed(1)} ms, at most ${max.toFixed(1)} ms`);
    worst = Math.max(worst, median);
  }
  return atMost(GOAL_MS, "hostile_stop_ms", worst, "ms");
}

/** Milliseconds of this thread for the call that is stopped; if it is the first, from the start. */
async function stopOf(
  { name, text, calls = 0 }: HostileCode,
  sample: number,
  limits: Manifest["limits"],
): Promise<number> {
  const unseen = `(data (i32.const 2048) "${name} ${sample}")`;
  const core = await parse(guestText({ ...text, fields: `${text.fields ?? ""} ${unseen}` }));
  const manifest = { ...FIXTURE_MANIFEST, limits };
  const image = prepareImage(await componentOf(core), { digest: name, manifest });
  const bytes = new Uint8Array(CALL_BYTES_MAX);
  let started = threadCpuUs();
  const instance = instantiate(image, new RecordCount());
  const handle = instance.open(factsWith(0));
  for (let call = 0; call <= calls; call++) {
    if (call > 0) started = threadCpuUs();
    try {
      instance.onData(handle, DIRECTION.request, bytes, 0, bytes.length, END.open, 0, 1);
    } catch (error) {
      if (error instanceof PluginFault) return threadCpuUs(started) / US_PER_MS;
      throw error;
    }
  }
  throw new RunError(`Cannot measure a hostile plugin: nothing stopped ${name}`);
}
