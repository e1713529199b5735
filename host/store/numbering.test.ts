/** Numbers stay with their content over restarts and are never used twice. */
import { expect, it } from "vitest";
import { Numbering } from "./numbering.ts";
import { SqliteStore } from "./sqlite.ts";

it("numberOf() gives the same number for the same content, also after a restart", () => {
  const store = new SqliteStore(":memory:");
  const first = new Numbering(store, "rule-sets");
  expect([first.numberOf("a"), first.numberOf("b"), first.numberOf("a")]).toEqual([1, 2, 1]);
  const second = new Numbering(store, "rule-sets");
  expect([second.numberOf("c"), second.numberOf("b")]).toEqual([3, 2]);
  expect(second.contentOf(1)).toBe("a");
  expect(new Numbering(store, "cookies").numberOf("b")).toBe(1);
});
