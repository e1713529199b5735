/** A plugin that takes its budget again and again for the same bytes, in the real sandbox. */
import { expect, test } from "vitest";
import { FIXTURE_MANIFEST, guestComponent } from "../isolate/guest-fixture.ts";
import { prepareImage } from "../isolate/index.ts";
import { nativeState, RULES } from "./testing/native-state.ts";
import { Rig } from "./testing/rig.ts";

const FUEL_BASE = 20_000_000;
/** Uses most of that in every call, and passes one byte. */
const SLOW = `(local $n i32)
  (local.set $n (i32.const 2000000))
  (loop $l (br_if $l (local.tee $n (i32.sub (local.get $n) (i32.const 1)))))
  (i32.store8 (i32.const 512) (i32.const 1)) (i64.store (i32.const 520) (i64.const 1))
  (i32.store (i32.const 16) (i32.const 512))
  (i32.store (i32.const 20) (i32.ne (local.get $length) (i32.const 0))) (i32.const 16)`;

test.each(["enforce", "observe"] as const)(
  "%s: a byte a call ends where a single call would",
  { timeout: 60_000 },
  async (mode) => {
    const limits = { memoryPagesMax: 1, fuelBase: FUEL_BASE, fuelPerByte: 0 };
    const manifest = { ...FIXTURE_MANIFEST, limits };
    const component = await guestComponent({ onData: SLOW });
    const image = prepareImage(component, { digest: "sha256:slow", manifest });
    const rig = await Rig.start();
    try {
      const digest = image.digest;
      rig.worker.apply({
        ...nativeState({ mode }),
        images: [image],
        forms: [{ ruleSet: RULES.line, digest, compiled: new ArrayBuffer(0), patterns: [] }],
        keepPlugins: [digest],
        services: [{ plugin: "line", active: digest }],
      });
      const peer = await rig.connect();
      const text = "x".repeat(10_000);
      peer.write(text);
      if (mode === "enforce") await peer.isReset();
      else await peer.receives(text);
      await rig.until("the fault", () => rig.log.some((line) => line.startsWith("error")));
      expect(rig.log.join("\n")).toMatch(/fuel: budget used up in \d+ calls for the same bytes/);
      expect(rig.worker.status().counters.plugin_calls ?? 0).toBeLessThan(40);
    } finally {
      await rig.close();
    }
  },
);
