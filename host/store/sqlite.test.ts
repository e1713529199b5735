/** The embedded store: versions, prefixes, and what a second opener of the same file sees. */
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
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

  it.each([
    ["is none", 0, /Cannot use the database .*imker.db: file is not a database/],
    ["is damaged inside", 4096, /Cannot use the database .*imker.db: .*; put a copy/],
  ])("a file that %s is refused by name", (_name, from, message) => {
    for (let at = 0; at < 200; at++) store.put(`endpoints/${at}`, "x".repeat(100));
    store.close();
    const file = join(folder, "state", "imker.db");
    const bytes = readFileSync(file);
    writeFileSync(file, bytes.fill(0x5a, from));
    expect(() => new SqliteStore(file)).toThrow(message);
    rmSync(file);
    store = new SqliteStore(file);
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
