/**
 * The files of an OCI image layout, wherever it stands: in a folder, or in a tar archive (a name
 * that ends in `.tar`). Reading is bounded and follows nothing out of the layout; what is written
 * replaces files whole. Knows nothing of what the files mean.
 */
import assert from "node:assert/strict";
import {
  closeSync,
  constants,
  existsSync,
  fstatSync,
  mkdirSync,
  openSync,
  readFileSync,
  renameSync,
  rmSync,
  writeFileSync,
  writeSync,
} from "node:fs";
import { dirname, join } from "node:path";
import { paddedSize, readAt, readTar, TAR_END, type TarEntry, tarHeader } from "./tar.ts";

const COPY_BYTES = 1 << 20;
/** First bytes of what `tar -z` and `tar --zstd` write. */
const COMPRESSED = ["1f8b", "28b52ffd", "fd377a58", "425a68"];

/** There is no layout, or one that does not hold what it says. */
export class OciLayoutError extends Error {
  override readonly name = "OciLayoutError";
}

/** Paths are relative to the layout, with slashes. */
export interface LayoutFiles {
  has(path: string): boolean;
  /** Throws OciLayoutError when it is not there, is no file or has more bytes. */
  read(path: string, bytesMax: number): Uint8Array;
  /** What an error calls the file. */
  nameOf(path: string): string;
  /** Adds files or replaces them, in this order. Throws what writing throws. */
  write(files: ReadonlyMap<string, Uint8Array>): void;
  close(): void;
}

/**
 * The layout at `place`: a folder, or an archive if its name ends in `.tar`. Neither needs to be
 * there to be written to. Throws OciLayoutError.
 */
export function openLayout(place: string): LayoutFiles {
  return place.endsWith(".tar") ? new ArchiveFiles(place) : new FolderFiles(place);
}

class FolderFiles implements LayoutFiles {
  readonly #folder: string;

  constructor(folder: string) {
    this.#folder = folder;
  }

  has(path: string): boolean {
    return existsSync(this.nameOf(path));
  }

  /** Regular files only: a layout from elsewhere must not read others' files through links. */
  read(path: string, bytesMax: number): Uint8Array {
    const name = this.nameOf(path);
    const fd = open(name, constants.O_NOFOLLOW);
    try {
      const stat = fstatSync(fd);
      if (!stat.isFile()) throw new OciLayoutError(`Cannot read ${name}: not a regular file`);
      refuseLarge(name, stat.size, bytesMax);
      return readFileSync(fd);
    } finally {
      closeSync(fd);
    }
  }

  nameOf(path: string): string {
    return join(this.#folder, path);
  }

  write(files: ReadonlyMap<string, Uint8Array>): void {
    for (const [path, content] of files) {
      const name = this.nameOf(path);
      mkdirSync(dirname(name), { recursive: true });
      writeFileSync(`${name}.part`, content);
      renameSync(`${name}.part`, name);
    }
  }

  close(): void {}
}

class ArchiveFiles implements LayoutFiles {
  readonly #file: string;
  /** Undefined: the archive is not there yet. */
  readonly #fd: number | undefined;
  readonly #bytes: number = 0;
  readonly #entries: ReadonlyMap<string, TarEntry> = new Map();

  constructor(file: string) {
    this.#file = file;
    if (!existsSync(file)) return;
    this.#fd = open(file, 0);
    try {
      const stat = fstatSync(this.#fd);
      if (!stat.isFile()) throw new OciLayoutError(`Cannot read ${file}: not a regular file`);
      this.#bytes = stat.size;
      this.#entries = this.#index(this.#fd);
    } catch (error) {
      this.close();
      throw error;
    }
  }

  #index(fd: number): ReadonlyMap<string, TarEntry> {
    return this.#telling(() => {
      const head = readAt(fd, { offset: 0, size: Math.min(4, this.#bytes) }, this.#bytes);
      if (COMPRESSED.some((magic) => head.toString("hex").startsWith(magic))) {
        throw new Error("it is compressed; uncompress it first");
      }
      return readTar(fd, this.#bytes);
    });
  }

  has(path: string): boolean {
    return this.#entries.has(path);
  }

  read(path: string, bytesMax: number): Uint8Array {
    const entry = this.#entries.get(path);
    if (this.#fd === undefined || entry === undefined) {
      const why = this.#fd === undefined ? "no such file" : "it is not in the archive";
      throw new OciLayoutError(`Cannot read ${this.nameOf(path)}: ${why}`);
    }
    refuseLarge(this.nameOf(path), entry.size, bytesMax);
    const fd = this.#fd;
    return this.#telling(() => readAt(fd, entry, this.#bytes));
  }

  nameOf(path: string): string {
    return `${this.#file}:${path}`;
  }

  /**
   * The archive is the old one or the new one, never half of it. One that holds something else
   * altogether is not touched.
   */
  write(files: ReadonlyMap<string, Uint8Array>): void {
    const others = [...this.#entries.keys()];
    if (others.length > 0 && !others.some((path) => files.has(path))) {
      throw new OciLayoutError(`Cannot add to ${this.#file}: it is an archive of something else`);
    }
    const part = `${this.#file}.part`;
    const out = openSync(part, "w");
    try {
      this.#telling(() => {
        for (const [path, entry] of this.#entries) {
          if (!files.has(path)) this.#copy(out, path, entry);
        }
        for (const [path, content] of files) {
          writeWhole(out, tarHeader(path, content.length));
          writeWhole(out, content);
          writeWhole(out, paddingOf(content.length));
        }
        writeWhole(out, TAR_END);
      });
    } catch (error) {
      rmSync(part, { force: true });
      throw error;
    } finally {
      closeSync(out);
    }
    renameSync(part, this.#file);
  }

  #copy(out: number, path: string, { offset, size }: TarEntry): void {
    const fd = this.#fd;
    assert(fd !== undefined, "an entry without its archive");
    writeWhole(out, tarHeader(path, size));
    for (let at = 0; at < size; at += COPY_BYTES) {
      const piece = { offset: offset + at, size: Math.min(COPY_BYTES, size - at) };
      writeWhole(out, readAt(fd, piece, this.#bytes));
    }
    writeWhole(out, paddingOf(size));
  }

  #telling<T>(action: () => T): T {
    try {
      return action();
    } catch (cause) {
      throw new OciLayoutError(`Cannot use ${this.#file}: ${(cause as Error).message}`, { cause });
    }
  }

  close(): void {
    if (this.#fd !== undefined) closeSync(this.#fd);
  }
}

function open(path: string, flags: number): number {
  try {
    return openSync(path, constants.O_RDONLY | constants.O_NONBLOCK | flags);
  } catch (cause) {
    throw new OciLayoutError(`Cannot read ${path}: ${(cause as Error).message}`, { cause });
  }
}

function refuseLarge(name: string, bytes: number, bytesMax: number): void {
  if (bytes <= bytesMax) return;
  throw new OciLayoutError(`Cannot read ${name}: ${bytes} bytes, at most ${bytesMax}`);
}

function paddingOf(size: number): Uint8Array {
  return new Uint8Array(paddedSize(size) - size);
}

function writeWhole(fd: number, bytes: Uint8Array): void {
  for (let at = 0; at < bytes.length; ) at += writeSync(fd, bytes, at);
}
