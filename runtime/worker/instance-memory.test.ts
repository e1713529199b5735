/** Memory of plugins is bounded as a whole: who holds most goes, the others do not notice. */
import { expect, test } from "vitest";
import { FIXTURE_MANIFEST, guestComponent } from "../isolate/guest-fixture.ts";
import { prepareImage } from "../isolate/index.ts";
import { nativeState, RULES } from "./testing/native-state.ts";
import { Rig } from "./testing/rig.ts";

const MIB = 1 << 20;
/** Takes 4 MiB with every call for as long as there are any, and passes everything. */
const HOARDER = `(drop (memory.grow (i32.const 64)))
  (i32.store8 (i32.const 512) (i32.const 1))
  (i64.store (i32.const 520) (i64.extend_i32_u (local.get $length)))
  (i32.store (i32.const 16) (i32.const 512))
  (i32.store (i32.const 20) (i32.ne (local.get $length) (i32.const 0))) (i32.const 16)`;

test("an instance that hoards goes before all the memory is gone", async () => {
  const limits = { memoryPagesMax: 1024, fuelBase: 20_000_000, fuelPerByte: 0 };
  const manifest = { ...FIXTURE_MANIFEST, limits };
  const component = await guestComponent({ onData: HOARDER });
  const image = prepareImage(component, { digest: "sha256:hoarder", manifest });
  const rig = await Rig.start({ memoryBytesMax: 16 * MIB });
  try {
    const { digest } = image;
    const base = nativeState();
    rig.worker.apply({
      ...base,
      images: [...base.images, image],
      forms: [
        ...base.forms,
        { ruleSet: RULES.line, digest, compiled: new ArrayBuffer(0), patterns: [] },
      ],
      keepPlugins: [...base.keepPlugins, digest],
      services: [
        { plugin: "line", active: digest },
        { plugin: "pass", active: "pass" },
      ],
    });
    const other = await rig.connect(rig.listen({ sourceIdentity: 1001, egressRules: RULES.pass }));
    other.write("before");
    await other.receives("before");
    const hoarder = await rig.connect();
    for (let i = 0; i < 8 && hoarder.error === undefined; i++) {
      hoarder.write("x");
      await rig.turns(10);
      expect(rig.counter("plugin_memory_bytes")).toBeLessThan(16 * MIB);
    }
    await hoarder.isReset();
    expect(rig.log.join("\n")).toMatch(
      /memory: too much is in use on this worker; it held \d+ MiB/,
    );
    other.write(" and after");
    await other.receives("before and after");
  } finally {
    await rig.close();
  }
});
