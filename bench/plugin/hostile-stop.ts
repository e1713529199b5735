/**
 * How much CPU time a plugin that means harm gets out of one call before the default budget stops
 * it. Every sample is code that nobody ever ran: a name in it is new, so nothing is compiled yet.
 */
import {
  FIXTURE_MANIFEST,
  type GuestText,
  guestComponent,
} from "../../runtime/isolate/guest-fixture.ts";
import { instantiate, PluginFault, prepareImage } from "../../runtime/isolate/index.ts";
import { DIRECTION, END } from "../../runtime/isolate/types.ts";
import { RunError } from "../errors.ts";
import { summarize } from "../stats.ts";
import { atMost, type Figure } from "./figure.ts";
import { factsWith, RecordCount } from "./subject.ts";
import { threadCpuUs } from "./thread-clock.ts";

const GOAL_MS = 20;
const US_PER_MS = 1_000;
/** As the shipped plugin has it. */
const LIMITS = { memoryPagesMax: 512, fuelBase: 20_000_000, fuelPerByte: 1_000 };

const HOSTILE: readonly { name: string; text: GuestText }[] = [
  { name: "infinite loop", text: { onData: "(loop $again (br $again)) unreachable" } },
  {
    name: "deep recursion",
    text: {
      fields: `(func $deep (param $n i32) (result i32)
        (i32.add (call $deep (i32.add (local.get $n) (i32.const 1))) (i32.const 1)))`,
      onData: "(call $deep (i32.const 0))",
    },
  },
  {
    // Takes a page and writes to all of it, until there is none; then to all there are, for ever.
    name: "memory bomb",
    text: {
      onData: `(local $page i32)
        (loop $grow
          (local.set $page (memory.grow (i32.const 1)))
          (if (i32.ne (local.get $page) (i32.const -1)) (then
            (memory.fill (i32.shl (local.get $page) (i32.const 16)) (i32.const 1)
              (i32.const 65536))
            (br $grow))))
        (loop $again
          (memory.fill (i32.const 0) (i32.const 1) (i32.shl (memory.size) (i32.const 16)))
          (br $again))
        unreachable`,
    },
  },
  {
    // Takes all pages, has the kernel make each with a single byte, and goes on without end.
    name: "memory touched",
    text: {
      memory: "64",
      onData: `(local $at i32)
        (drop (memory.grow (i32.const 448)))
        (loop $again
          (i32.store8 (local.get $at) (i32.const 1))
          (local.set $at (i32.and
            (i32.add (local.get $at) (i32.const 4096)) (i32.const 33554431)))
          (br $again))
        unreachable`,
    },
  },
];

/** The worst of the hostile plugins, each by the median of its samples. */
export async function hostileStop(
  samples: number,
  progress: (line: string) => void,
): Promise<Figure> {
  let worst = 0;
  for (const { name, text } of HOSTILE) {
    const spent: number[] = [];
    for (let i = 0; i < samples; i++) spent.push(await stopOf(`${name} ${i}`, text));
    const { median, max } = summarize(spent);
    progress(`${name}: ${median.toFixed(1)} ms, at most ${max.toFixed(1)} ms`);
    worst = Math.max(worst, median);
  }
  return atMost(GOAL_MS, "hostile_stop_ms", worst, "ms");
}

/** Milliseconds of this thread, instance and compiling of what the call reaches included. */
async function stopOf(name: string, text: GuestText): Promise<number> {
  const unseen = `(data (i32.const 2048) "${name}")`;
  const component = await guestComponent({ ...text, fields: `${text.fields ?? ""} ${unseen}` });
  const plugin = { digest: name, manifest: { ...FIXTURE_MANIFEST, limits: LIMITS } };
  const image = prepareImage(component, plugin);
  const bytes = new Uint8Array(1);
  const started = threadCpuUs();
  const instance = instantiate(image, new RecordCount());
  const handle = instance.open(factsWith(0));
  try {
    instance.onData(handle, DIRECTION.request, bytes, 0, bytes.length, END.open, 0, 1);
  } catch (error) {
    if (error instanceof PluginFault) return threadCpuUs(started) / US_PER_MS;
    throw error;
  }
  throw new RunError(`Cannot measure a hostile plugin: nothing stopped ${name}`);
}
