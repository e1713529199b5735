/** Archives of GNU tar in its formats, and archives that somebody bent. */
import { execFileSync } from "node:child_process";
import {
  closeSync,
  mkdirSync,
  mkdtempSync,
  openSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { paddedSize, readAt, readTar, TAR_END, TarError, tarHeader } from "./tar.ts";

let folder: string;

beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), "imker-tar-"));
});
afterEach(() => rmSync(folder, { recursive: true }));

/** Path → content. */
function contentOf(file: string): Record<string, string> {
  const fd = openSync(file, "r");
  try {
    const { size } = statSync(file);
    const entries = [...readTar(fd, size)];
    return Object.fromEntries(
      entries.map(([path, entry]) => [path, readAt(fd, entry, size).toString("latin1")]),
    );
  } finally {
    closeSync(fd);
  }
}

function archive(...parts: Uint8Array[]): string {
  const file = join(folder, "made.tar");
  writeFileSync(file, Buffer.concat(parts));
  return file;
}

/** A file of an archive, its header changed and summed up again. */
function entry(path: string, content = "", change: (header: Buffer) => void = () => {}): Buffer {
  const header = tarHeader(path, content.length);
  change(header);
  header.fill(" ", 148, 156);
  const sum = header.reduce((total, byte) => total + byte, 0);
  header.write(`${sum.toString(8).padStart(6, "0")}\0 `, 148, "latin1");
  return Buffer.concat([header, Buffer.from(content), Buffer.alloc(padding(content))]);
}

const padding = (content: string): number => paddedSize(content.length) - content.length;
const ofType = (type: string) => (header: Buffer) => void header.write(type, 156, "latin1");
/** The length counts itself; all of these have two digits. */
const pax = (record: string): string => `${record.length + 4} ${record}\n`;

describe("readTar()", () => {
  const long = `deep/${"n".repeat(120)}`;
  it.each([
    ["gnu", long],
    ["posix", long],
    ["ustar", long.slice(0, 90)],
    ["oldgnu", long],
  ])("reads what GNU tar writes as %s", (format, path) => {
    mkdirSync(join(folder, "in", "deep"), { recursive: true });
    writeFileSync(join(folder, "in", "a"), "one");
    writeFileSync(join(folder, "in", path), "x".repeat(1000));
    const file = join(folder, "gnu.tar");
    execFileSync("tar", [`--format=${format}`, "-C", join(folder, "in"), "-cf", file, "."]);
    expect(contentOf(file)).toEqual({ a: "one", [path]: "x".repeat(1000) });
  });

  it("what tarHeader() makes is listed by GNU tar", () => {
    const file = archive(entry("blobs/a", "abc"), entry("b"), TAR_END);
    expect(String(execFileSync("tar", ["-tf", file]))).toBe("blobs/a\nb\n");
    expect(contentOf(file)).toEqual({ "blobs/a": "abc", b: "" });
  });

  it("takes the path that pax says, and nothing else of it", () => {
    const extended = pax("mtime=1.5") + pax("path=c/./d");
    const file = archive(
      entry("g", pax("comment=hello"), ofType("g")),
      entry("x", extended, ofType("x")),
      entry("other", "1"),
      entry("next", "2"),
      TAR_END,
    );
    expect(contentOf(file)).toEqual({ "c/d": "1", next: "2" });
  });

  const end = TAR_END;
  it.each<[string, () => Uint8Array[], RegExp]>([
    ["nothing", () => [], /no archive/],
    ["another file", () => [Buffer.alloc(1024, "a")], /no tar archive/],
    ["no end", () => [entry("a", "1")], /cut short/],
    ["a cut file", () => [entry("a", "1".repeat(600)).subarray(0, 1024)], /a is cut short/],
    ["a path up", () => [entry("a/../../b"), end], /"a\/..\/..\/b" leads out/],
    ["an absolute path", () => [entry("/etc/passwd"), end], /leads out/],
    [
      "a path up in pax",
      () => [entry("x", pax("path=../b"), ofType("x")), entry("a"), end],
      /leads out/,
    ],
    ["a symbolic link", () => [entry("a", "", ofType("2")), end], /a is a link/],
    ["a hard link", () => [entry("a", "", ofType("1")), end], /a is a link/],
    ["a device", () => [entry("a", "", ofType("3")), end], /a is of type "3"/],
    ["a sparse file", () => [entry("a", "", ofType("S")), end], /a is of type "S"/],
    ["a path twice", () => [entry("a", "1"), entry("./a", "2"), end], /a is in it twice/],
    [
      "another size in pax",
      () => [entry("x", pax("size=1234"), ofType("x")), entry("a", "22"), end],
      /pax header with size/,
    ],
    [
      "a path for all in pax",
      () => [entry("x", pax("path=bbbb"), ofType("g")), entry("a", "22"), end],
      /pax header with path/,
    ],
    ["no pax", () => [entry("x", "99 path=a\n", ofType("x")), entry("a"), end], /that is none/],
    [
      "a size in binary",
      () => [entry("a", "", (header) => header.fill(0x80, 124, 125)), end],
      /no octal number/,
    ],
    ["a huge size", () => [entry("a", "", (h) => h.write("77777777777", 124)), end], /cut short/],
    ["a damaged header", () => [tarHeader("a", 0).fill("b", 3, 4), end], /damaged header/],
    [
      "a huge extended header",
      () => [entry("x", "1".repeat(70_000), ofType("L")), end],
      /header of 70000 bytes/,
    ],
    [
      "files without end",
      () => [...Array.from({ length: 5000 }, (_, i) => tarHeader(String(i), 0)), end],
      /more than 4096/,
    ],
  ])("refuses %s", (_, parts, message) => {
    const file = archive(...parts());
    expect(() => contentOf(file)).toThrow(TarError);
    expect(() => contentOf(file)).toThrow(message);
  });

  it("refuses a link that GNU tar packed", () => {
    symlinkSync("/etc/passwd", join(folder, "oci-layout"));
    const file = join(folder, "link.tar");
    execFileSync("tar", ["-C", folder, "-cf", file, "oci-layout"]);
    expect(() => contentOf(file)).toThrow(/oci-layout is a link/);
  });
});
