/**
 * One run of `imker plugin dev`: every change of a project is built, signed with a key that is
 * valid for this plugin and a day, uploaded and activated in the running agent. The key goes when
 * the session ends; what it activated stays until somebody activates another version.
 */
import { createHash, randomBytes } from "node:crypto";
import { type FSWatcher, readdirSync, readFileSync, watch } from "node:fs";
import { join } from "node:path";
import { type BuiltPlugin, buildPlugin, refreshKeys } from "../../../runtime/build/build.ts";
import { generateKey, readPrivateKey, signPackage } from "../../plugin/signing.ts";
import type { ApiClient } from "../client.ts";

const KEY_VALID_MS = 24 * 3600 * 1000;
/** Editors write a file in several steps. */
const SETTLE_MS = 40;
const DRAIN_SECONDS = 5;
const SOURCE = /\.(ts|json|md)$/;

export interface DevReload {
  version: string;
  /** Of the package. */
  bytes: number;
  /** Milliseconds to build, and from there to serving. */
  buildMs: number;
  activateMs: number;
  /** Files that changed since the last build. */
  changed: string[];
}

export interface DevListener {
  reloaded(reload: DevReload): void;
  /** Building, uploading or activating went wrong; the session goes on. */
  failed(message: string): void;
}

export interface DevOptions {
  /** Root of the installation. */
  root: string;
  folder: string;
  /** Name of the plugin. */
  name: string;
  /**
   * Runs `action` with a client of its own: while a build keeps this process busy, the agent ends
   * connections that idle.
   */
  withClient: <T>(action: (client: ApiClient) => Promise<T>) => Promise<T>;
  listener: DevListener;
}

export class DevSession {
  readonly #options: DevOptions;
  readonly #pair = generateKey();
  readonly #keyName: string;
  #sources = new Map<string, string>();
  #watcher: FSWatcher | undefined;
  #timer: NodeJS.Timeout | undefined;
  #running: Promise<void> = Promise.resolve();
  #lastNumber = 0;

  constructor(options: DevOptions) {
    this.#options = options;
    this.#keyName = `dev-${options.name.slice(0, 40)}-${randomBytes(4).toString("hex")}`;
  }

  /** Trusts the session's key, builds once and watches. */
  async start(): Promise<void> {
    const { withClient, folder, name } = this.#options;
    await withClient((client) =>
      client.call("POST", "/v1/keys", {
        name: this.#keyName,
        publicKey: this.#pair.publicPem,
        plugins: [name],
        notAfter: new Date(Date.now() + KEY_VALID_MS).toISOString(),
      }),
    );
    await this.#reload();
    this.#watcher = watch(folder, (_event, file) => {
      if (file !== null && SOURCE.test(file)) this.#soon();
    });
  }

  /** Ends watching and takes the key back. */
  async stop(): Promise<void> {
    this.#watcher?.close();
    clearTimeout(this.#timer);
    await this.#running;
    await this.#options.withClient((client) => client.call("DELETE", `/v1/keys/${this.#keyName}`));
  }

  /** One build at a time; changes meanwhile make one more. */
  #soon(): void {
    clearTimeout(this.#timer);
    this.#timer = setTimeout(() => {
      this.#running = this.#running.then(() => this.#reload());
    }, SETTLE_MS);
  }

  async #reload(): Promise<void> {
    const { root, folder, listener } = this.#options;
    try {
      refreshKeys(folder);
      const changed = this.#changedSources();
      if (changed.length === 0) return;
      const start = performance.now();
      const built = await buildPlugin(root, folder, { quick: true, version: this.#nextVersion() });
      const builtAt = performance.now();
      await this.#activate(built);
      listener.reloaded({
        version: built.manifest.version,
        bytes: built.file.length,
        buildMs: builtAt - start,
        activateMs: performance.now() - builtAt,
        changed,
      });
    } catch (error) {
      listener.failed(error instanceof Error ? error.message : String(error));
    }
  }

  async #activate(built: BuiltPlugin): Promise<void> {
    const { withClient, name } = this.#options;
    const { version, capabilities } = built.manifest;
    const file = signPackage(built.file, readPrivateKey(this.#pair.privatePem));
    const path = `/v1/plugins?grant=${capabilities.join(",")}`;
    await withClient(async (client) => {
      await client.upload(path, file, "application/wasm");
      await client.call("PUT", `/v1/plugins/${name}/activation`, {
        version,
        allowDowngrade: true,
        drainSeconds: DRAIN_SECONDS,
      });
    });
  }

  /** `0.1.0-dev.N`; N rises over sessions too, because a version is never used for other bytes. */
  #nextVersion(): string {
    const manifest: unknown = JSON.parse(
      readFileSync(join(this.#options.folder, "plugin.json"), "utf8"),
    );
    const { version } = manifest as { version: string };
    this.#lastNumber = Math.max(this.#lastNumber + 1, Date.now());
    return `${version}${version.includes("-") ? "." : "-"}dev.${this.#lastNumber}`;
  }

  #changedSources(): string[] {
    const now = new Map<string, string>();
    for (const file of readdirSync(this.#options.folder)) {
      if (!SOURCE.test(file) || file.endsWith(".test.ts")) continue;
      const bytes = readFileSync(join(this.#options.folder, file));
      now.set(file, createHash("sha256").update(bytes).digest("hex"));
    }
    const names = new Set([...now.keys(), ...this.#sources.keys()]);
    const changed = [...names].filter((file) => now.get(file) !== this.#sources.get(file));
    this.#sources = now;
    return changed.sort();
  }
}
