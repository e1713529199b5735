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

/** What trust in a package rests on. */
export type PackageClaims = Pick<PluginPackage, "digest" | "manifest" | "signatures">;

export class PackageFiles {
  readonly #folder: string;
  /** By digest, one for each file that is here. */
  readonly #claims = new Map<string, { state: string; claims: PackageClaims }>();

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

  /**
   * What the file says of itself, for looking on: it is read and hashed again only when it is
   * another than the last time. Any change shows in its times (nobody can set `ctime`), its size or
   * its number; that is enough for a list, while whatever runs comes from `read`. Throws as that
   * does.
   */
  claims(digest: string): PackageClaims {
    const state = fileState(this.pathOf(digest));
    const known = this.#claims.get(digest);
    if (known?.state === state) return known.claims;
    this.#claims.delete(digest);
    const { manifest, signatures } = this.read(digest).content;
    const claims = { digest, manifest, signatures };
    this.#claims.set(digest, { state, claims });
    return claims;
  }

  remove(digest: string): void {
    this.#claims.delete(digest);
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

/** Taken before the file is read: what changes afterwards shows in the next one. */
function fileState(path: string): string {
  const { dev, ino, size, mtimeNs, ctimeNs } = statSync(path, { bigint: true });
  return [dev, ino, size, mtimeNs, ctimeNs].join(" ");
}
