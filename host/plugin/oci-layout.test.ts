import { execFileSync } from "node:child_process";
import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  symlinkSync,
  truncateSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeAll, beforeEach, describe, expect, it } from "vitest";
import { digestOf } from "../../runtime/contract/package.ts";
import { OciLayoutError } from "./layout-files.ts";
import { ARTIFACT_TYPE, exportPackage, importPackages } from "./oci-layout.ts";
import { BUILD_MS, packageOf } from "./testing/fixture.ts";

let folder: string;
let one: Uint8Array;
let two: Uint8Array;

beforeAll(async () => {
  one = await packageOf({ version: "1.0.0" });
  two = await packageOf({ version: "2.0.0" });
}, BUILD_MS);

beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), "imker-oci-"));
});

afterEach(() => rmSync(folder, { recursive: true }));

const readJson = (path: string) => JSON.parse(readFileSync(join(folder, path), "utf8"));
const blob = (digest: string): string => join("blobs", "sha256", digest.slice(7));

describe("exportPackage()", () => {
  it("writes what the image specification asks for", () => {
    expect(exportPackage(folder, one)).toBe("l7-http-1.0.0");
    expect(readJson("oci-layout")).toEqual({ imageLayoutVersion: "1.0.0" });
    const [entry] = readJson("index.json").manifests;
    expect(entry).toMatchObject({
      mediaType: "application/vnd.oci.image.manifest.v1+json",
      artifactType: ARTIFACT_TYPE,
      annotations: { "org.opencontainers.image.ref.name": "l7-http-1.0.0" },
    });
    const manifest = readJson(blob(entry.digest));
    expect(entry.size).toBe(readFileSync(join(folder, blob(entry.digest))).length);
    expect(manifest).toMatchObject({
      artifactType: ARTIFACT_TYPE,
      config: { mediaType: "application/vnd.oci.empty.v1+json", size: 2, data: "e30=" },
      layers: [{ mediaType: "application/wasm", digest: digestOf(one), size: one.length }],
      annotations: {
        "org.opencontainers.image.title": "l7-http",
        "org.opencontainers.image.version": "1.0.0",
      },
    });
    for (const name of readdirSync(join(folder, "blobs", "sha256"))) {
      expect(digestOf(readFileSync(join(folder, "blobs", "sha256", name)))).toBe(`sha256:${name}`);
    }
  });

  it("adds to a layout, once each, and importPackages() reads them all", () => {
    for (const file of [one, two, one]) exportPackage(folder, file);
    const found = importPackages(folder);
    expect(found.map(digestOf)).toEqual([digestOf(two), digestOf(one)]);
  });
});

describe("importPackages()", () => {
  const indexOf = (manifests: unknown[]): void => {
    writeFileSync(join(folder, "index.json"), JSON.stringify({ schemaVersion: 2, manifests }));
  };
  const entry = () => readJson("index.json").manifests[0];
  const layerFile = (): string => join(folder, blob(digestOf(one)));
  const hostile: [string, () => void, RegExp][] = [
    ["no layout", () => rmSync(join(folder, "oci-layout")), /oci-layout: ENOENT/],
    ["another version", () => writeFileSync(join(folder, "oci-layout"), "{}"), /imageLayout/],
    ["no JSON", () => writeFileSync(join(folder, "index.json"), "{"), /not JSON/],
    ["null", () => writeFileSync(join(folder, "index.json"), "null"), /expected object/],
    ["a path for a digest", () => indexOf([{ ...entry(), digest: "../../etc" }]), /digest/],
    ["a wrong size", () => indexOf([{ ...entry(), size: 1 }]), /not what its descriptor says/],
    ["a cut layer", () => truncateSync(layerFile(), 100), /not what its descriptor says/],
    ["other bytes", () => writeFileSync(layerFile(), two), /not what its descriptor says/],
    ["a huge layer", () => truncateSync(layerFile(), 9 << 20), /at most 8388608/],
    [
      "a link",
      () => {
        rmSync(layerFile());
        symlinkSync("/etc/passwd", layerFile());
      },
      /ELOOP/,
    ],
    ["nothing of ours", () => indexOf([]), /no application\/vnd\.imker/],
    ["too much", () => indexOf(Array.from({ length: 300 }, entry)), /manifests/],
  ];
  it.each(hostile)("refuses %s", (_, damage, message) => {
    exportPackage(folder, one);
    damage();
    expect(() => importPackages(folder)).toThrow(OciLayoutError);
    expect(() => importPackages(folder)).toThrow(message);
  });
});

describe("a layout in a tar archive", () => {
  const tar = (): string => join(folder, "layout.tar");
  const run = (...args: string[]): string => execFileSync("tar", args).toString();

  it("is unpacked by GNU tar to what stands in a folder", () => {
    const [plain, unpacked] = [join(folder, "plain"), join(folder, "unpacked")];
    for (const file of [one, two, one]) {
      exportPackage(tar(), file);
      exportPackage(plain, file);
    }
    expect(importPackages(tar()).map(digestOf)).toEqual([digestOf(two), digestOf(one)]);
    mkdirSync(unpacked);
    run("-C", unpacked, "-xf", tar());
    expect(execFileSync("diff", ["-r", plain, unpacked]).toString()).toBe("");
  });

  it.each(["gnu", "posix", "ustar"])("is read as GNU tar packs a folder (%s)", (format) => {
    exportPackage(join(folder, "plain"), one);
    run(`--format=${format}`, "-C", join(folder, "plain"), "-cf", tar(), ".");
    expect(importPackages(tar()).map(digestOf)).toEqual([digestOf(one)]);
    exportPackage(tar(), two);
    expect(importPackages(tar()).map(digestOf)).toEqual([digestOf(one), digestOf(two)]);
  });

  const pack = (...args: string[]): void => {
    exportPackage(join(folder, "plain"), one);
    run("-C", join(folder, "plain"), "-cf", tar(), ...args);
  };
  it.each<[string, () => void, RegExp]>([
    ["nothing", () => {}, /layout\.tar:oci-layout: no such file/],
    ["no archive", () => writeFileSync(tar(), "x".repeat(2000)), /no tar archive/],
    ["an empty file", () => writeFileSync(tar(), ""), /no archive/],
    ["a compressed one", () => pack("-z", "."), /it is compressed/],
    ["a folder", () => mkdirSync(tar()), /not a regular file/],
    ["a layout below its top", () => pack("--transform=s,^,up/,", "."), /not in the archive/],
    [
      "a link to a blob",
      () => {
        exportPackage(join(folder, "plain"), one);
        const file = join(folder, "plain", blob(digestOf(one)));
        renameSync(file, join(folder, "away"));
        symlinkSync(join(folder, "away"), file);
        run("-C", join(folder, "plain"), "-cf", tar(), ".");
      },
      /is a link/,
    ],
    [
      "a cut one",
      () => {
        pack(".");
        truncateSync(tar(), 20_000);
      },
      /cut short/,
    ],
    [
      "other bytes",
      () => {
        exportPackage(join(folder, "plain"), one);
        writeFileSync(join(folder, "plain", blob(digestOf(one))), two);
        run("-C", join(folder, "plain"), "-cf", tar(), ".");
      },
      /not what its descriptor says/,
    ],
  ])("is refused: %s", (_, make, message) => {
    make();
    expect(() => importPackages(tar())).toThrow(OciLayoutError);
    expect(() => importPackages(tar())).toThrow(message);
  });

  it("an archive of something else is left alone", () => {
    writeFileSync(join(folder, "mine"), "mine");
    run("-C", folder, "-cf", tar(), "mine");
    const before = readFileSync(tar());
    expect(() => exportPackage(tar(), one)).toThrow(/archive of something else/);
    expect(readFileSync(tar()).equals(before)).toBe(true);
    expect(existsSync(`${tar()}.part`)).toBe(false);
  });
});
