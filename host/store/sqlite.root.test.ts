/** The embedded store on a disk that is full: a small file system of its own. */
import { execFileSync } from "node:child_process";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, expect, it } from "vitest";
import { SqliteStore } from "./sqlite.ts";

let folder: string;
beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), "imker-full-"));
  execFileSync("mount", ["-t", "tmpfs", "-o", "size=256k", "tmpfs", folder]);
});
afterAll(() => {
  execFileSync("umount", [folder]);
  rmSync(folder, { recursive: true });
});

it("says that there is no room, has written nothing, and goes on when there is", () => {
  const file = join(folder, "imker.db");
  const store = new SqliteStore(file);
  const value = "x".repeat(10_000);
  const rows = Array.from({ length: 100 }, (_, at) => ({ key: `k${at}`, value }));
  const message = `Cannot write to the database ${file}: database or disk is full`;
  expect(() => store.putAll(rows)).toThrow(message);
  expect(store.list("k")).toEqual([]);
  store.put("k", "small");
  expect(store.list("k")).toHaveLength(1);
  store.close();
});
