/** Vectors come with a package nobody may have looked at: they must not hold up or end a proxy. */
import { beforeAll, describe, expect, test } from "vitest";
import { FIXTURE_MANIFEST, guestComponent } from "../isolate/guest-fixture.ts";
import { prepareImage } from "../isolate/index.ts";
import type { PluginImage } from "../isolate/types.ts";
import { warmUp } from "./warm-up.ts";

/** Passes what it is given, a few milliseconds after. */
const SLOW = `(local $n i32)
  (local.set $n (i32.const 2000000))
  (loop $l (br_if $l (local.tee $n (i32.sub (local.get $n) (i32.const 1)))))
  (i32.store8 (i32.const 512) (i32.const 1))
  (i64.store (i32.const 520) (i64.extend_i32_u (local.get $length)))
  (i32.store (i32.const 16) (i32.const 512))
  (i32.store (i32.const 20) (i32.ne (local.get $length) (i32.const 0))) (i32.const 16)`;
const MS_MAX = 2_000;

let image: PluginImage;
beforeAll(async () => {
  const limits = { memoryPagesMax: 16, fuelBase: 50_000_000, fuelPerByte: 0 };
  const rules = { fields: { path: { description: "", match: "regex" as const } } };
  const manifest = { ...FIXTURE_MANIFEST, limits, rules };
  image = prepareImage(await guestComponent({ onData: SLOW }), { digest: "sha256:0", manifest });
});

const vectorOf = (lines: string): string => `# V\n\n\`\`\`vector\n${lines}\n\`\`\`\n`;
const heavy = Array.from({ length: 5_000 }, (_, i) => ({ path: `(a|b|c)*a(a|b|c){11}${i}` }));

describe("warmUp() ends in time", () => {
  test.each([
    ["one long vector", "> {a*4000000}\\"],
    ["many steps", "> a\n< b\n".repeat(50_000)],
    ["bytes in many lines", "> aaaaaaaa\n".repeat(80_000)],
    ["braces without end", `> ${"{".repeat(200_000)}`],
    ["many rule sets", heavy.map((rule) => `stage ${JSON.stringify([rule])}`).join("\n")],
    ["many patterns", `stage ${JSON.stringify(heavy)}\n> a`],
  ])("with %s", (_name, lines) => {
    const began = performance.now();
    warmUp(image, { vectors: vectorOf(lines) });
    expect(performance.now() - began).toBeLessThan(MS_MAX);
  });

  test.each([
    ["a text that grows", "> {a*500000000}\\"],
    ["many texts that grow", "> {a*9000000}\\\n".repeat(50)],
    ["what the other side sent, repeated", `> {a*100000}\n${"^ same\n".repeat(100_000)}`],
  ])("and refuses %s", (_name, lines) => {
    const began = performance.now();
    expect(() => warmUp(image, { vectors: vectorOf(lines) })).toThrow(/more than 16 MiB of text/);
    expect(performance.now() - began).toBeLessThan(MS_MAX);
  });
});
