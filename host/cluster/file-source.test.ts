/** Files on disk, written as editors and people write them. */
import { mkdtempSync, renameSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, expect, test, vi } from "vitest";
import { ClusterFiles } from "./file-source.ts";
import type { ClusterObject } from "./types.ts";

const namespace = (name: string, env: string) =>
  `{apiVersion: v1, kind: Namespace, metadata: {name: ${name}, labels: {env: ${env}}}}\n`;

let folder = "";
let seen: readonly ClusterObject[] = [];
let files: ClusterFiles | undefined;
const deps = {
  log: { error: () => {} },
  replace: (objects: readonly ClusterObject[]) => {
    seen = objects;
  },
};
const names = () =>
  seen.map((one) => (one.kind === "namespace" ? `${one.name}=${one.labels.env}` : one.kind));

beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), "imker-cluster-"));
  seen = [];
});
afterEach(() => {
  files?.close();
  rmSync(folder, { recursive: true });
});

test("a folder is read at once and followed; a file with an error keeps what it said", async () => {
  writeFileSync(join(folder, "a.yaml"), namespace("a", "x"));
  writeFileSync(join(folder, "b.yaml"), "kind: Namespace\n");
  writeFileSync(join(folder, "c.txt"), "not read");
  files = new ClusterFiles(folder, deps);
  expect(names()).toEqual(["a=x"]);
  expect(files.problems.map(({ file, path }) => [file, path])).toContainEqual([
    join(folder, "b.yaml"),
    "apiVersion",
  ]);

  writeFileSync(join(folder, "b.yaml"), namespace("b", "x"));
  writeFileSync(join(folder, "a.yaml"), "kind: Namespace\n");
  await vi.waitFor(() => expect(names().sort()).toEqual(["a=x", "b=x"]), 5_000);
  expect(files.problems.length).toBeGreaterThan(0);

  rmSync(join(folder, "a.yaml"));
  await vi.waitFor(() => expect(names()).toEqual(["b=x"]), 5_000);
  expect(files.problems).toEqual([]);
});

test("a single file is followed when it is replaced by another of its name", async () => {
  const file = join(folder, "state.yaml");
  writeFileSync(file, namespace("a", "x"));
  files = new ClusterFiles(file, deps);
  expect(names()).toEqual(["a=x"]);
  writeFileSync(`${file}.new`, namespace("a", "y"));
  renameSync(`${file}.new`, file);
  await vi.waitFor(() => expect(names()).toEqual(["a=y"]), 5_000);
});

test("a path that is not there is the caller's error", () => {
  expect(() => new ClusterFiles(join(folder, "none"), deps)).toThrow(/ENOENT/);
});
