/**
 * Packages on disk, each under its digest: `<stateDir>/plugins/sha256-<hex>.wasm`. A file appears
 * whole or not at all, and is checked whenever it is read, so that neither a crash nor a change
 * from outside puts other bytes in force.
 */
import {
  closeSync,
  fsyncSync,
  mkdirSync,
  openSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  statSync,
  writeSync,
} from "node:fs";
import { join, resolve } from "node:path";
import {
  PACKAGE_BYTES_MAX,
  type PluginPackage,
  readPackage,
} from "../../runtime/contract/package.ts";

const PART = ".part";

export interface StoredPackage {
  /** The file, with its signatures. */
  file: Uint8Array;
  content: PluginPackage;
}

export class PackageFiles {
  readonly #folder: string;

  /** @param folder Made if it is not there; what an interrupted write left in it goes. */
  constructor(folder: string) {
    // The proxy reads the same files from a folder of its own.
    this.#folder = resolve(folder);
    mkdirSync(folder, { recursive: true, mode: 0o700 });
    for (const name of readdirSync(folder)) {
      if (name.endsWith(PART)) rmSync(join(folder, name), { force: true });
    }
  }

  pathOf(digest: string): string {
    return join(this.#folder, `${digest.replace(":", "-")}.wasm`);
  }

  /** Durable when it returns. Replaces the file of that digest: only signatures can differ. */
  write(digest: string, file: Uint8Array): void {
    const path = this.pathOf(digest);
    const part = `${path}${PART}`;
    const fd = openSync(part, "w", 0o600);
    try {
      for (let at = 0; at < file.length; ) at += writeSync(fd, file, at);
      fsyncSync(fd);
    } finally {
      closeSync(fd);
    }
    renameSync(part, path);
    this.#syncFolder();
  }

  /** Throws what reading throws, PackageError, or an error that names the digest it found. */
  read(digest: string): StoredPackage {
    const path = this.pathOf(digest);
    const { size } = statSync(path);
    if (size > PACKAGE_BYTES_MAX) {
      throw new Error(`Cannot use ${path}: ${size} bytes, at most ${PACKAGE_BYTES_MAX}`);
    }
    const file = readFileSync(path);
    const content = readPackage(file);
    if (content.digest === digest) return { file, content };
    throw new Error(`Cannot use ${path}: its content has digest ${content.digest}`);
  }

  remove(digest: string): void {
    rmSync(this.pathOf(digest), { force: true });
  }

  /** Digests of all files. */
  list(): string[] {
    return readdirSync(this.#folder)
      .filter((name) => /^sha256-[0-9a-f]{64}\.wasm$/.test(name))
      .map((name) => name.slice(0, -".wasm".length).replace("-", ":"));
  }

  #syncFolder(): void {
    const fd = openSync(this.#folder, "r");
    try {
      fsyncSync(fd);
    } finally {
      closeSync(fd);
    }
  }
}
