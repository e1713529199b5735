import { expect, it } from "vitest";
import { sharedAsk } from "./shared-ask.ts";

/** Questions that are answered when the test says so. */
function questions() {
  const open: PromiseWithResolvers<number>[] = [];
  const asked = sharedAsk(() => {
    const question = Promise.withResolvers<number>();
    open.push(question);
    return question.promise;
  });
  return { open, asked };
}

const turn = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));

it("asks once for all that came meanwhile, and never answers with what was asked before", async () => {
  const { open, asked } = questions();
  const first = asked();
  const later = Array.from({ length: 100 }, asked);
  expect(open.length).toBe(1);
  open[0]?.resolve(1);
  expect(await first).toBe(1);
  await turn();
  expect(open.length).toBe(2);
  const third = asked();
  open[1]?.resolve(2);
  expect(new Set(await Promise.all(later))).toEqual(new Set([2]));
  await turn();
  open[2]?.resolve(3);
  expect(await third).toBe(3);
  await turn();
  void asked();
  expect(open.length).toBe(4);
});

it("goes on behind a question that failed", async () => {
  const { open, asked } = questions();
  const first = asked();
  const second = asked();
  open[0]?.reject(new Error("gone"));
  await expect(first).rejects.toThrow("gone");
  await turn();
  open[1]?.resolve(2);
  expect(await second).toBe(2);
});
