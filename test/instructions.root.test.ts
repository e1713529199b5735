/** The programs stay as easy to verify as they were recorded to be. */
import { describe, expect, test } from "vitest";
import { countInstructions, readInstructionRecord } from "./instructions.ts";

const GROWTH_MAX = 1.05;
/** Half of what the kernel goes through before it gives up. */
const VERIFIED_MAX = 500_000;
const ADVICE = "grew by more than 5 %: is it worth it? then record it with 'make instructions'";

describe("instructions", () => {
  const record = readInstructionRecord();
  const now = countInstructions();
  test("every program is recorded", () => {
    expect(Object.keys(record.programs)).toEqual(Object.keys(now.programs));
  });

  test.each(Object.entries(now.programs))("%s", (name, { verified, bytes }) => {
    expect(verified).toBeLessThan(VERIFIED_MAX);
    const before = record.programs[name];
    // Another kernel counts otherwise.
    if (record.kernel !== now.kernel) return;
    expect(verified, `${name} ${ADVICE}`).toBeLessThanOrEqual((before?.verified ?? 0) * GROWTH_MAX);
    expect(bytes, `${name} ${ADVICE}`).toBeLessThanOrEqual((before?.bytes ?? 0) * GROWTH_MAX);
  });
});
