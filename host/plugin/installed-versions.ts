/**
 * The versions installed on this node: their packages (package-files.ts) and what is known of each,
 * kept in the store. An upload is checked as a whole before anything is written: signature,
 * manifest, imports, capabilities, and that it compiles. The same digest again changes nothing.
 */
import type { KeyObject } from "node:crypto";
import { existsSync, readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import type { Manifest } from "../../runtime/contract/manifest.ts";
import {
  addSignature,
  PACKAGE_BYTES_MAX,
  PackageError,
  type PluginPackage,
  readPackage,
} from "../../runtime/contract/package.ts";
import { instantiate, prepareImage } from "../../runtime/isolate/index.ts";
import type { PluginImage } from "../../runtime/isolate/types.ts";
import { ruleSchemaOf } from "../policy/rule-schema.ts";
import type { Store } from "../store/store.ts";
import { PluginRequestError } from "./errors.ts";
import type { PackageClaims, PackageFiles, StoredPackage } from "./package-files.ts";
import { compareVersions } from "./semver.ts";
import { signPackage } from "./signing.ts";
import { MACHINE_KEY, type Trust } from "./trust.ts";

export type Capability = Manifest["capabilities"][number];

/** What a version may import when the operator does not say: what the plugins of the tree need. */
export const GRANT_DEFAULT: readonly Capability[] = ["emit", "log", "match"];
/** Of all plugins together; the store and the folder are bounded by it. */
export const VERSIONS_MAX = 256;
/** Compiled modules kept ready; the least recently used is compiled again when it is needed. */
const IMAGES_MAX = 16;
const PREFIX = "plugin-versions/";
/** `GET /v1/plugins/instances` is something else. */
const RESERVED_NAMES: readonly string[] = ["instances"];

export interface InstalledVersion {
  name: string;
  version: string;
  digest: string;
  manifest: Manifest;
  /** Bytes of the file. */
  size: number;
  /** The key that vouched when it was uploaded. */
  signedBy: { name: string; id: string };
  /** Milliseconds since 1970. */
  uploadedAt: number;
  granted: Capability[];
  /** The tree has other bytes under this version now; gone once nothing uses it. */
  superseded?: true;
}

export interface InstalledVersionsDeps {
  store: Store;
  files: PackageFiles;
  trust: Trust;
  /** Milliseconds since 1970. */
  now: () => number;
}

export class InstalledVersions {
  readonly #deps: InstalledVersionsDeps;
  readonly #rows = new Map<string, InstalledVersion>();
  /** In order of use, the latest last. */
  readonly #images = new Map<string, PluginImage>();

  constructor(deps: InstalledVersionsDeps) {
    this.#deps = deps;
    for (const { value } of deps.store.list(PREFIX)) {
      const row = JSON.parse(value) as InstalledVersion;
      this.#rows.set(row.digest, row);
    }
    // A crash between file and row leaves a file that nothing names.
    for (const digest of deps.files.list()) {
      if (!this.#rows.has(digest)) deps.files.remove(digest);
    }
  }

  /** By name, then the highest version first; without superseded ones. */
  list(): InstalledVersion[] {
    return [...this.#rows.values()]
      .filter((row) => row.superseded === undefined)
      .sort((a, b) => a.name.localeCompare(b.name) || compareVersions(b.version, a.version));
  }

  superseded(): InstalledVersion[] {
    return [...this.#rows.values()].filter((row) => row.superseded !== undefined);
  }

  byDigest(digest: string): InstalledVersion | undefined {
    return this.#rows.get(digest);
  }

  find(name: string, version: string): InstalledVersion | undefined {
    return this.list().find((row) => row.name === name && row.version === version);
  }

  /** Throws PluginRequestError (404). */
  get(name: string, version: string): InstalledVersion {
    const row = this.find(name, version);
    if (row !== undefined) return row;
    const known = this.list().filter((one) => one.name === name);
    throw new PluginRequestError(
      404,
      `Cannot find ${name} ${version}: ${known.map((one) => one.version).join(", ") || "no version"} installed`,
    );
  }

  /** Throws PluginRequestError and UntrustedError; then nothing has changed. */
  install(
    file: Uint8Array,
    granted: readonly Capability[] = GRANT_DEFAULT,
  ): { row: InstalledVersion; created: boolean } {
    const content = readUpload(file);
    const known = this.#rows.get(content.digest);
    if (known !== undefined && known.superseded === undefined) {
      return { row: this.#uploadAgain(known, file, content), created: false };
    }
    const key = this.#deps.trust.check(content, this.#deps.now());
    const { name, version } = content.manifest;
    const other = this.find(name, version);
    if (other !== undefined) {
      throw new PluginRequestError(
        409,
        `Cannot install ${name} ${version}: it is installed with other content (${other.digest}); ` +
          "give the new one a version of its own",
      );
    }
    if (RESERVED_NAMES.includes(name)) {
      throw new PluginRequestError(422, `Cannot install a plugin called "${name}": choose another`);
    }
    this.#checkGrant(content.manifest, granted);
    if (this.#rows.size >= VERSIONS_MAX) {
      throw new PluginRequestError(
        409,
        `Cannot install ${name} ${version}: there are ${VERSIONS_MAX} versions; remove some`,
      );
    }
    this.#remember(content.digest, provedImage(content));
    this.#deps.files.write(content.digest, file);
    const row = this.#put({
      ...{ name, version, digest: content.digest, manifest: content.manifest },
      ...{ size: file.length, signedBy: { name: key.name, id: key.id } },
      ...{ uploadedAt: this.#deps.now(), granted: [...granted] },
    });
    return { row, created: true };
  }

  /**
   * Installs the plugins of the tree, `<folder>/<name>/plugin.wasm`, signed with the machine's key.
   * Other bytes under a version that the machine vouched for take its place: a tree that is worked
   * on keeps its version. Returns their rows. Throws when one cannot be installed, naming it.
   */
  installShipped(folder: string, machine: KeyObject): InstalledVersion[] {
    const paths = readdirSync(folder)
      .sort()
      .map((name) => join(folder, name, "plugin.wasm"))
      .filter((path) => existsSync(path));
    const shipped = paths.map((path) => {
      const file = readFileSync(path);
      return { path, file, content: naming(path, () => readUpload(file)) };
    });
    const names = shipped.map(({ content }) => content.manifest.name);
    this.#deps.trust.setMachineKey(machine, names, this.#deps.now());
    return shipped.map(({ path, file, content }) => {
      const { name, version } = content.manifest;
      const other = this.find(name, version);
      if (other !== undefined && other.digest !== content.digest) {
        if (other.signedBy.name === MACHINE_KEY) this.#put({ ...other, superseded: true });
      }
      return naming(path, () => this.install(signPackage(file, machine)).row);
    });
  }

  /** Does not ask whether it is in use. */
  remove(digest: string): void {
    this.#deps.store.delete(PREFIX + digest);
    this.#rows.delete(digest);
    this.#images.delete(digest);
    this.#deps.files.remove(digest);
  }

  pathOf(digest: string): string {
    return this.#deps.files.pathOf(digest);
  }

  /** The package as it stands on disk, checked. Throws when it is damaged. */
  package(digest: string): StoredPackage {
    return this.#deps.files.read(digest);
  }

  /** What its file says of itself, for looking on. Throws when it is damaged. */
  claims(digest: string): PackageClaims {
    return this.#deps.files.claims(digest);
  }

  /** Ready to be instantiated. Throws when its file is damaged or gone. */
  image(digest: string): PluginImage {
    const known = this.#images.get(digest);
    const image = known ?? preparedImage(this.package(digest).content);
    this.#remember(digest, image);
    return image;
  }

  #remember(digest: string, image: PluginImage): void {
    this.#images.delete(digest);
    this.#images.set(digest, image);
    const [oldest] = this.#images.keys();
    if (this.#images.size > IMAGES_MAX && oldest !== undefined) this.#images.delete(oldest);
  }

  #checkGrant({ name, version, capabilities }: Manifest, granted: readonly Capability[]): void {
    const missing = capabilities.filter((one) => !granted.includes(one));
    if (missing.length === 0) return;
    throw new PluginRequestError(
      422,
      `Cannot install ${name} ${version}: it wants ${missing.join(", ")}, ` +
        `granted is ${granted.join(", ") || "nothing"}`,
    );
  }

  /**
   * The content is here. A signature that this node trusts is added to the file, for example after
   * the key that vouched first was revoked; a damaged file is replaced.
   */
  #uploadAgain(row: InstalledVersion, file: Uint8Array, content: PluginPackage): InstalledVersion {
    const key = this.#deps.trust.check(content, this.#deps.now());
    const stored = this.#intact(row.digest);
    const signature = content.signatures.find((one) => one.key === key.id);
    const signed =
      stored === undefined || signature === undefined ? file : addSignature(stored, signature);
    if (signed.length === stored?.length) return row;
    readUpload(signed);
    this.#deps.files.write(row.digest, signed);
    return this.#put({
      ...row,
      size: signed.length,
      signedBy: { name: key.name, id: key.id },
    });
  }

  #intact(digest: string): Uint8Array | undefined {
    try {
      return this.package(digest).file;
    } catch {
      return undefined;
    }
  }

  #put(row: InstalledVersion): InstalledVersion {
    this.#deps.store.put(PREFIX + row.digest, JSON.stringify(row));
    this.#rows.set(row.digest, row);
    return row;
  }
}

function readUpload(file: Uint8Array): PluginPackage {
  if (file.length > PACKAGE_BYTES_MAX) {
    throw new PluginRequestError(
      413,
      `Cannot install the package: ${file.length} bytes, at most ${PACKAGE_BYTES_MAX}`,
    );
  }
  try {
    return readPackage(file);
  } catch (cause) {
    if (!(cause instanceof PackageError)) throw cause;
    throw new PluginRequestError(422, cause.message, { cause });
  }
}

/**
 * Proves that an upload is of use: its rules can be checked, and it can be started. What was
 * installed once is not asked again: the answer must not change with the host's version.
 */
function provedImage(content: PluginPackage): PluginImage {
  const image = preparedImage(content);
  const { name, version } = content.manifest;
  try {
    ruleSchemaOf(content.manifest);
    instantiate(image, { emit: () => {}, log: () => {}, match: () => false });
  } catch (cause) {
    const reason = cause instanceof Error ? cause.message : String(cause);
    throw new PluginRequestError(422, `Cannot install ${name} ${version}: ${reason}`, { cause });
  }
  return image;
}

/** Proves that the component is one of this world, imports what it may, and compiles. */
function preparedImage({ digest, manifest, body }: PluginPackage): PluginImage {
  try {
    return prepareImage(body, { digest, manifest });
  } catch (cause) {
    const reason = cause instanceof Error ? cause.message : String(cause);
    const what = `Cannot install ${manifest.name} ${manifest.version}`;
    throw new PluginRequestError(422, `${what}: ${reason}`, { cause });
  }
}

function naming<T>(subject: string, action: () => T): T {
  try {
    return action();
  } catch (cause) {
    const reason = cause instanceof Error ? cause.message : String(cause);
    throw new PluginRequestError(422, `Cannot use ${subject}: ${reason}`, { cause });
  }
}
