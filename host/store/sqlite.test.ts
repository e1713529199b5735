/** The embedded store: versions, prefixes, and what a second opener of the same file sees. */
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { SqliteStore } from "./sqlite.ts";

describe("SqliteStore", () => {
  let folder: string;
  let store: SqliteStore;
  beforeEach(() => {
    folder = mkdtempSync(join(tmpdir(), "imker-store-"));
    store = new SqliteStore(join(folder, "state", "imker.db"));
  });
  afterEach(() => {
    store.close();
    rmSync(folder, { recursive: true });
  });

  it("compareAndSwap() writes only over the version it was told", () => {
    expect(store.compareAndSwap("a", 0, "1")).toBe(1);
    expect(store.compareAndSwap("a", 0, "2")).toBeUndefined();
    expect(store.compareAndSwap("a", 1, "2")).toBe(2);
    expect(store.compareAndSwap("a", 1, "3")).toBeUndefined();
    expect(store.get("a")).toMatchObject({ value: "2", version: 2 });
  });

  it("list() returns exactly the rows below a prefix, by key", () => {
    for (const key of ["p/b", "p/a", "p", "q/a", "p0"]) store.put(key, key);
    expect(store.list("p/").map((row) => row.key)).toEqual(["p/a", "p/b"]);
    expect(store.list("").length).toBe(5);
  });

  it("keeps rows for the next opener of the file", () => {
    store.put("k", "v1");
    store.put("k", "v2");
    store.delete("nothing");
    store.close();
    store = new SqliteStore(join(folder, "state", "imker.db"));
    expect(store.get("k")).toMatchObject({ value: "v2", version: 2 });
    store.delete("k");
    expect(store.get("k")).toBeUndefined();
  });
});
