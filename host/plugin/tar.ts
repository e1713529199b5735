/**
 * Tar archives, as much of them as image layouts need (POSIX.1-2017 pax, "ustar Interchange
 * Format"; GNU's long names). An archive may come from anywhere: only regular files count, links,
 * devices and sparse files are refused by name, paths cannot lead out, and nothing is unpacked: a
 * file is found and read where it stands. Knows nothing of layouts.
 */
import { readSync } from "node:fs";

const BLOCK_BYTES = 512;
/** Of one archive, folders and extended headers with it; one more is refused. */
const ENTRIES_MAX = 4096;
/** Of an extended header, which holds a long name or what pax says of the next file. */
const EXTENDED_BYTES_MAX = 64 << 10;
const NAME_BYTES_MAX = 100;

const FIELD = {
  name: [0, 100],
  size: [124, 136],
  checksum: [148, 156],
  magic: [257, 263],
  prefix: [345, 500],
} as const;
const TYPE_OFFSET = 156;

/** What pax may say of a file and counts here is `path`; with these it would be another file. */
const PAX_REFUSED = /^(size|linkpath|hdrcharset|GNU\.sparse\..*)$/;

/** Where the content of a regular file stands in its archive. */
export interface TarEntry {
  offset: number;
  size: number;
}

/** The bytes are no archive, or one with something in it that is refused. */
export class TarError extends Error {
  override readonly name = "TarError";
}

/**
 * Regular files of an archive by their path, which has no `.`, no `..` and no slash in front.
 * @param length Bytes of the whole file.
 * @throws TarError saying what is wrong and where, and what reading throws.
 */
export function readTar(fd: number, length: number): Map<string, TarEntry> {
  const found = new Map<string, TarEntry>();
  let at = 0;
  /** Of the next file, from an extended header. */
  let longName: string | undefined;
  for (let entries = 0; entries < ENTRIES_MAX; entries++) {
    const block = readAt(fd, { offset: at, size: BLOCK_BYTES }, length);
    if (block.every((byte) => byte === 0)) return found;
    const { type, name, size } = readHeader(block, at);
    const content = { offset: at + BLOCK_BYTES, size };
    if (content.offset + size > length) throw new TarError(`${name} is cut short`);
    at = content.offset + paddedSize(size);
    if (type === "x" || type === "g" || type === "L" || type === "K") {
      if (size > EXTENDED_BYTES_MAX) throw new TarError(`an extended header of ${size} bytes`);
      const extended = readAt(fd, content, length);
      if (type === "L") longName = untilNul(extended.toString("utf8"));
      if (type === "x" || type === "g") longName = paxPath(extended, type) ?? longName;
      continue;
    }
    const path = cleanPath(longName ?? name);
    const isFolder = type === "5" || (longName ?? name).endsWith("/");
    longName = undefined;
    if (isFolder) continue;
    if (type !== "0" && type !== "\0" && type !== "7") {
      const what = type === "1" || type === "2" ? "a link" : `of type "${type}"`;
      throw new TarError(`${path} is ${what}; only files and folders may be in it`);
    }
    if (found.has(path)) throw new TarError(`${path} is in it twice`);
    found.set(path, content);
  }
  throw new TarError(`more than ${ENTRIES_MAX} entries`);
}

/** Bytes of the archive. @throws TarError when it ends before. */
export function readAt(fd: number, { offset, size }: TarEntry, length: number): Buffer {
  if (offset + size > length) throw new TarError("no archive, or cut short");
  const bytes = Buffer.alloc(size);
  for (let at = 0; at < size; ) {
    const count = readSync(fd, bytes, at, size - at, offset + at);
    if (count === 0) throw new TarError("cut short while it was read");
    at += count;
  }
  return bytes;
}

/**
 * What stands before a file's content. Behind it come zeros up to `paddedSize`.
 * @throws TarError when the path is longer than 100 bytes.
 */
export function tarHeader(path: string, size: number): Buffer {
  const name = Buffer.from(path);
  if (name.length > NAME_BYTES_MAX) throw new TarError(`${path}: over ${NAME_BYTES_MAX} bytes`);
  const block = Buffer.alloc(BLOCK_BYTES);
  block.set(name);
  // mode, uid, gid; no time, so that the same files make the same archive.
  block.write("0000644\x000000000\x000000000\0", 100, "latin1");
  block.write(`${octal(size, 11)}\0${octal(0, 11)}\0`, FIELD.size[0], "latin1");
  block.write("0", TYPE_OFFSET, "latin1");
  block.write("ustar\x0000", FIELD.magic[0], "latin1");
  block.write(`${octal(checksumOf(block), 6)}\0 `, FIELD.checksum[0], "latin1");
  return block;
}

/** Two blocks of zeros. */
export const TAR_END = Buffer.alloc(2 * BLOCK_BYTES);

export function paddedSize(size: number): number {
  return Math.ceil(size / BLOCK_BYTES) * BLOCK_BYTES;
}

function readHeader(block: Buffer, at: number): { type: string; name: string; size: number } {
  const text = ([from, to]: readonly [number, number]): string =>
    untilNul(block.toString("utf8", from, to));
  const magic = block.toString("latin1", ...FIELD.magic);
  if (magic !== "ustar\0" && magic !== "ustar ") {
    throw new TarError(at === 0 ? "no tar archive" : `no header at byte ${at}`);
  }
  if (octalOf(block, FIELD.checksum) !== checksumOf(block)) {
    throw new TarError(`a damaged header at byte ${at}`);
  }
  // GNU's own format keeps other things where POSIX has the prefix.
  const prefix = magic === "ustar\0" ? text(FIELD.prefix) : "";
  const name = prefix === "" ? text(FIELD.name) : `${prefix}/${text(FIELD.name)}`;
  const size = octalOf(block, FIELD.size);
  if (size === undefined) throw new TarError(`${name} has a size that is no octal number`);
  return { type: String.fromCharCode(block[TYPE_OFFSET] ?? 0), name, size };
}

/** Undefined: it is none, or a binary one, which only files over 8 GiB need. */
function octalOf(block: Buffer, [from, to]: readonly [number, number]): number | undefined {
  const digits = /^ *([0-7]{1,12})[ \0]*$/.exec(block.toString("latin1", from, to))?.[1];
  return digits === undefined ? undefined : Number.parseInt(digits, 8);
}

function octal(value: number, digits: number): string {
  return value.toString(8).padStart(digits, "0");
}

/** Sum of the header's bytes, its own field counted as spaces. */
function checksumOf(block: Buffer): number {
  const [from, to] = FIELD.checksum;
  return block.reduce((sum, byte, i) => sum + (i >= from && i < to ? 0x20 : byte), 0);
}

/** `path` of pax records, each `LENGTH KEY=VALUE\n`. @throws TarError. */
function paxPath(bytes: Buffer, type: "x" | "g"): string | undefined {
  let path: string | undefined;
  for (let at = 0; at < bytes.length; ) {
    const digits = /^(\d{1,5}) /.exec(bytes.toString("latin1", at, at + 6))?.[1];
    const length = Number(digits ?? 0);
    const record = bytes.toString("utf8", at + (digits?.length ?? 0) + 1, at + length);
    const key = /^([^=]+)=/.exec(record)?.[1];
    if (key === undefined || !record.endsWith("\n") || at + length > bytes.length) {
      throw new TarError("a pax header that is none");
    }
    if (PAX_REFUSED.test(key) || (key === "path" && type === "g")) {
      throw new TarError(`a pax header with ${key}, which is not supported`);
    }
    if (key === "path") path = record.slice("path=".length, -1);
    at += length;
  }
  return path;
}

function cleanPath(name: string): string {
  const parts = name.split("/");
  if (name.startsWith("/") || parts.includes("..") || name.includes("\0")) {
    throw new TarError(`${JSON.stringify(name)} leads out of it`);
  }
  return parts.filter((part) => part !== "" && part !== ".").join("/");
}

function untilNul(text: string): string {
  const end = text.indexOf("\0");
  return end < 0 ? text : text.slice(0, end);
}
