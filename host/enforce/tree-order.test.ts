/** Identities in the order of their bytes in memory, each with its own value. */
import { expect, test } from "vitest";
import { TreeOrder } from "./tree-order.ts";

test("identities are in the order of their bytes, each with its value", () => {
  const all = [0, 1, 2, 256, 257, 65_536, (1 << 24) + 1, 0xffff_ffff, 513];
  const labelOf = (identity: number): string => (identity < 300 ? "low" : `of ${identity}`);
  const order = new TreeOrder<string>(all.length);
  for (const identity of all) order.add(identity, labelOf(identity));
  const bytes = (identity: number): string =>
    Buffer.from(new Uint32Array([identity]).buffer).toString("hex");
  const seen: number[] = [];
  order.sort().each((identity, value) => {
    expect(value).toBe(labelOf(identity));
    seen.push(identity);
  });
  expect(seen.map(bytes)).toEqual(all.map(bytes).sort());
  expect(() => order.add(7, "more")).toThrow("Cannot order more than 9 identities");
});
