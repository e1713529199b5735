/**
 * The audit log: one JSON line for every request that could have changed something, in a file only
 * root may read. A full file is renamed to `.1`, `.1` to `.2` and so on; the oldest goes. A line
 * that cannot be written does not undo what it tells of: `trouble` says so until one can.
 */
import {
  closeSync,
  fchmodSync,
  fstatSync,
  openSync,
  readFileSync,
  renameSync,
  writeSync,
} from "node:fs";
import type { AuditEntry } from "./token-schema.ts";

const FILE_BYTES_MAX = 4 << 20;
/** Of one file and its predecessors together. */
const FILES_MAX = 5;

export class AuditLog {
  readonly #file: string;
  readonly #fileBytesMax: number;
  #fd: number;
  #bytes: number;
  #trouble: string | undefined;

  /** Makes the file, 0600. Throws when it cannot. */
  constructor(file: string, fileBytesMax = FILE_BYTES_MAX) {
    this.#file = file;
    this.#fileBytesMax = fileBytesMax;
    [this.#fd, this.#bytes] = open(file);
    // What a crash cut off must not swallow the next line.
    if (this.#bytes > 0 && !readFileSync(file).subarray(-1).equals(NEWLINE)) {
      this.#bytes += writeSync(this.#fd, NEWLINE);
    }
  }

  /** Why the newest entry is not in the file; undefined when all is well. */
  get trouble(): string | undefined {
    return this.#trouble;
  }

  append(entry: AuditEntry): void {
    const line = Buffer.from(`${JSON.stringify(entry)}\n`);
    try {
      if (this.#bytes > 0 && this.#bytes + line.length > this.#fileBytesMax) this.#rotate();
      this.#bytes += writeSync(this.#fd, line);
      this.#trouble = undefined;
    } catch (error) {
      this.#trouble = `Cannot write ${this.#file}: ${(error as Error).message}`;
    }
  }

  /** The newest `count`, oldest first. */
  last(count: number): AuditEntry[] {
    const found: AuditEntry[][] = [];
    let missing = count;
    for (let index = 0; index < FILES_MAX && missing > 0; index++) {
      const entries = entriesOf(this.#name(index)).slice(-missing);
      found.push(entries);
      missing -= entries.length;
    }
    return found.reverse().flat();
  }

  close(): void {
    closeSync(this.#fd);
  }

  #name(index: number): string {
    return index === 0 ? this.#file : `${this.#file}.${index}`;
  }

  #rotate(): void {
    for (let index = FILES_MAX - 1; index > 0; index--) {
      rename(this.#name(index - 1), this.#name(index));
    }
    const [fd, bytes] = open(this.#file);
    closeSync(this.#fd);
    this.#fd = fd;
    this.#bytes = bytes;
  }
}

const NEWLINE = Buffer.from("\n");

function open(file: string): [fd: number, bytes: number] {
  const fd = openSync(file, "a", 0o600);
  fchmodSync(fd, 0o600);
  return [fd, fstatSync(fd).size];
}

/** What is not there yet needs no new name. */
function rename(from: string, to: string): void {
  try {
    renameSync(from, to);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== "ENOENT") throw error;
  }
}

/** Lines that are none (cut off by a crash) are left out. */
function entriesOf(file: string): AuditEntry[] {
  let text: string;
  try {
    text = readFileSync(file, "utf8");
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "ENOENT") return [];
    throw error;
  }
  return text.split("\n").flatMap((line) => {
    try {
      return [JSON.parse(line) as AuditEntry];
    } catch {
      return [];
    }
  });
}
