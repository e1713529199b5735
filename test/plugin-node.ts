/** What tests of a plugin's life need beside a rig: packages to upload, and load that goes on. */
import { spawn } from "node:child_process";
import { once } from "node:events";
import { cpSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { createInterface } from "node:readline";
import type { Endpoint } from "../host/endpoint/types.ts";
import { generateKey, readPrivateKey, signPackage } from "../host/plugin/signing.ts";
import { assemblePackage } from "../runtime/contract/package.ts";
import { builtComponent, ROOT } from "../runtime/testkit/built-plugin.ts";
import { readManifest } from "../runtime/testkit/run-vector.ts";

const LOAD_CLIENT = join(ROOT, "test", "load-client.ts");

export interface LoadResult {
  connections: number;
  lost: number;
  reasons: Record<string, number>;
  statuses: Record<string, number>;
}

/** A key pair of the test, and packages signed with it. */
export class Vendor {
  readonly publicKey: string;
  readonly #private: ReturnType<typeof readPrivateKey>;
  readonly #copies: string[] = [];

  constructor() {
    const pair = generateKey();
    this.publicKey = pair.publicPem;
    this.#private = readPrivateKey(pair.privatePem);
  }

  /** The plugin of a folder under another version. */
  async package(folder: string, version: string): Promise<Uint8Array> {
    const component = await builtComponent(folder);
    const manifest = { ...readManifest(folder), version };
    return signPackage(assemblePackage(component, manifest, ""), this.#private);
  }

  /** The same with a text of one of its sources replaced. */
  changed(
    folder: string,
    version: string,
    { file, from, to }: { file: string; from: string; to: string },
  ): Promise<Uint8Array> {
    // As deep as the plugin's own folder: it imports the SDK by relative path.
    const copy = join(ROOT, `.build/vendor-${process.pid}-${version}`);
    this.#copies.push(copy);
    cpSync(folder, copy, { recursive: true, filter: (path) => !path.endsWith(".test.ts") });
    const source = join(copy, file);
    const text = readFileSync(source, "utf8");
    if (!text.includes(from)) throw new Error(`Cannot change ${file}: it has no "${from}"`);
    writeFileSync(source, text.replaceAll(from, to));
    return this.package(copy, version);
  }

  close(): void {
    for (const copy of this.#copies) rmSync(copy, { recursive: true, force: true });
  }
}

export interface Load {
  stop(): Promise<LoadResult>;
}

/** `clients` ask for `path` on connections of `requests` requests, until it is stopped. */
export async function startLoad(
  from: Endpoint,
  to: Endpoint,
  options: { path: string; clients: number; requests: number },
): Promise<Load> {
  const { path, clients, requests } = options;
  const script = [LOAD_CLIENT, to.ipv4, "8080", String(clients), String(requests), path];
  const child = spawn("nsenter", [`--net=${from.netns}`, process.execPath, ...script], {
    stdio: ["pipe", "pipe", "inherit"],
  });
  const lines = createInterface({ input: child.stdout });
  await once(lines, "line");
  return {
    async stop() {
      child.stdin.end();
      const [line] = (await once(lines, "line")) as [string];
      return JSON.parse(line) as LoadResult;
    },
  };
}
