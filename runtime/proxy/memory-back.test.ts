/** When memory is given back: once, after the last of several changes. */
import { setTimeout as pause } from "node:timers/promises";
import { expect, test } from "vitest";
import { MemoryBack } from "./memory-back.ts";

test("collects once after changes have come to rest, and again after the next", async () => {
  let collected = 0;
  const back = new MemoryBack(() => {
    collected++;
  }, 30);
  back.changed();
  await pause(10);
  back.changed();
  expect(collected).toBe(0);
  await pause(80);
  expect(collected).toBe(1);
  back.changed();
  await pause(80);
  expect(collected).toBe(2);
});
