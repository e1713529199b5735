/** One at a time, in order, and no more than may wait. */
import { expect, test } from "vitest";
import { WaitingLine } from "./waiting-line.ts";

test("serves one after the other and sends away who would wait too long", async () => {
  const line = new WaitingLine(1);
  const steps: string[] = [];
  const enter = (name: string, fails = false): Promise<void> =>
    line.run(async () => {
      steps.push(`${name} begins`);
      await new Promise((resolve) => setImmediate(resolve));
      steps.push(`${name} ends`);
      if (fails) throw new Error(`${name} failed`);
    });
  const [first, second] = [enter("first", true), enter("second")];
  await expect(enter("third")).rejects.toThrow("Cannot begin: 1 others wait; try again later");
  await expect(first).rejects.toThrow("first failed");
  await second;
  await enter("fourth");
  expect(steps).toEqual(
    ["first", "second", "fourth"].flatMap((name) => [`${name} begins`, `${name} ends`]),
  );
});
