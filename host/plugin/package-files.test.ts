/** When what a file says of itself is read again. */
import {
  copyFileSync,
  mkdtempSync,
  readFileSync,
  renameSync,
  rmSync,
  statSync,
  utimesSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeAll, beforeEach, describe, expect, it } from "vitest";
import { PackageFiles } from "./package-files.ts";
import { BUILD_MS, digestOfPackage, packageOf } from "./testing/fixture.ts";

let folder: string;
let file: Uint8Array;
let digest: string;
let files: PackageFiles;

beforeAll(async () => {
  file = await packageOf({ version: "1.0.0" });
  digest = digestOfPackage(file);
}, BUILD_MS);
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), "imker-packages-"));
  files = new PackageFiles(folder);
  files.write(digest, file);
});
afterEach(() => rmSync(folder, { recursive: true }));

describe("claims()", () => {
  it("are read once for a file that stays as it is, and again when it is replaced", () => {
    const first = files.claims(digest);
    expect(first).toMatchObject({ digest, manifest: { version: "1.0.0" }, signatures: [] });
    expect(files.claims(digest)).toBe(first);
    files.write(digest, file);
    expect(files.claims(digest)).not.toBe(first);
    expect(files.claims(digest)).toEqual(first);
  });

  const damaged = (): Buffer => {
    const bytes = readFileSync(files.pathOf(digest));
    bytes.writeUInt8((bytes[bytes.length >> 1] ?? 0) ^ 1, bytes.length >> 1);
    return bytes;
  };
  it.each<[string, (path: string) => void]>([
    ["a byte changed in place", (path) => writeFileSync(path, damaged())],
    [
      "a byte changed in place, its time set back",
      (path) => {
        const { atime, mtime } = statSync(path);
        writeFileSync(path, damaged());
        utimesSync(path, atime, mtime);
      },
    ],
    [
      "another file renamed over it",
      (path) => {
        writeFileSync(`${path}.other`, damaged());
        renameSync(`${path}.other`, path);
      },
    ],
    ["it is gone", (path) => rmSync(path)],
  ])("see that %s", (_, change) => {
    files.claims(digest);
    const path = files.pathOf(digest);
    copyFileSync(path, `${path}.good`);
    change(path);
    expect(() => files.claims(digest)).toThrow(/Cannot use|Cannot read|ENOENT/);
    expect(() => files.claims(digest)).toThrow(/Cannot use|Cannot read|ENOENT/);
    renameSync(`${path}.good`, path);
    expect(files.claims(digest).digest).toBe(digest);
  });
});
