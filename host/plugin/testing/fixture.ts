/**
 * A node's plugins for tests: a real store, real files, real packages of plugins/l7-http under any
 * version, signed with a key that the node trusts, and a proxy whose numbers the test sets.
 */
import type { KeyObject } from "node:crypto";
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { pino } from "pino";
import type { ProxyStatus, TrialStatus, VersionStatus } from "../../../runtime/contract/control.ts";
import type { Manifest } from "../../../runtime/contract/manifest.ts";
import { assemblePackage, readPackage } from "../../../runtime/contract/package.ts";
import { builtComponent, ROOT } from "../../../runtime/testkit/built-plugin.ts";
import { readManifest } from "../../../runtime/testkit/run-vector.ts";
import { SqliteStore } from "../../store/sqlite.ts";
import { createPlugins, type Plugins, type PluginsDeps } from "../plugins.ts";
import { generateKey, type KeyPair, readPrivateKey, signPackage } from "../signing.ts";

/** For `beforeAll`: the first test of a state of the tree builds the component. */
export const BUILD_MS = 120_000;

export const L7_HTTP = join(ROOT, "plugins/l7-http");

/**
 * The component of plugins/l7-http with another manifest: another plugin as far as hosts can see.
 */
export async function packageOf(changes: Partial<Manifest>, vectors = ""): Promise<Uint8Array> {
  const manifest = { ...readManifest(L7_HTTP), ...changes };
  return assemblePackage(await builtComponent(L7_HTTP), manifest, vectors);
}

export interface PluginNode extends Plugins {
  folder: string;
  store: SqliteStore;
  /** Signs for `acme-*`; trusted as `acme` from the beginning. */
  acme: KeyPair & { key: KeyObject };
  /** What the proxy answers. */
  proxy: { status: ProxyStatus | undefined };
  /** Times the enforcer was told of a change; set `refuse` to let it fail. */
  enforcer: { changes: number; refuse: string | undefined };
  clock: { now: number };
  /** Signed by `acme`. */
  signed(name: string, version: string): Promise<Uint8Array>;
  /** The agent again, on the same state. */
  restart(): PluginNode;
  remove(): void;
}

export type NodeOptions = Partial<
  Pick<PluginsDeps, "compileAll" | "ruleSetsOf" | "references" | "proxyInstances" | "shippedDir">
>;

export function pluginNode(options: NodeOptions = {}): PluginNode {
  const folder = mkdtempSync(join(tmpdir(), "imker-plugins-"));
  const pair = generateKey();
  const acme = { ...pair, key: readPrivateKey(pair.privatePem) };
  const clock = { now: Date.parse("2026-06-01T00:00:00Z") };
  const made = openNode(folder, { ...options }, acme, clock);
  made.backend.keys.trust({ name: "acme", publicKey: pair.publicPem, plugins: ["acme-*"] });
  return made;
}

function openNode(
  folder: string,
  options: NodeOptions,
  acme: PluginNode["acme"],
  clock: PluginNode["clock"],
): PluginNode {
  const store = new SqliteStore(join(folder, "imker.db"));
  const proxy: PluginNode["proxy"] = { status: proxyStatus({}) };
  const enforcer: PluginNode["enforcer"] = { changes: 0, refuse: undefined };
  const shippedDir = join(folder, "shipped");
  mkdirSync(shippedDir, { recursive: true });
  const plugins = createPlugins({
    ...{ log: pino({ level: "silent" }), store, stateDir: folder, shippedDir },
    proxyStatus: async () => proxy.status,
    proxyInstances: async () => [],
    compileAll: () => {},
    ruleSetsOf: () => [],
    references: () => [],
    rulesOf: () => [],
    flowUuid: String,
    recordOf: () => undefined,
    applyRecordings: async () => {},
    now: () => clock.now,
    ...options,
  });
  plugins.view.onChange(async () => {
    enforcer.changes += 1;
    if (enforcer.refuse !== undefined) throw new Error(enforcer.refuse);
  });
  let open = true;
  const close = (): void => {
    if (!open) return;
    open = false;
    plugins.close();
    store.close();
  };
  return {
    ...plugins,
    ...{ folder, store, acme, proxy, enforcer, clock },
    signed: async (name, version) => signPackage(await packageOf({ name, version }), acme.key),
    restart: () => {
      close();
      return openNode(folder, options, acme, clock);
    },
    remove: () => {
      close();
      rmSync(folder, { recursive: true });
    },
  };
}

/** Puts a package where the plugins of the tree stand. */
export function ship(folder: string, name: string, file: Uint8Array): void {
  mkdirSync(join(folder, "shipped", name), { recursive: true });
  writeFileSync(join(folder, "shipped", name, "plugin.wasm"), file);
}

export function digestOfPackage(file: Uint8Array): string {
  return readPackage(file).digest;
}

export function proxyStatus(parts: {
  versions?: (Partial<VersionStatus> & { digest: string })[];
  trials?: (Partial<TrialStatus> & { id: string })[];
}): ProxyStatus {
  return {
    ...{ protocol: 2, build: "test", runtime: "node", runtimeVersion: "26", pid: 1, workers: 2 },
    ...{ startedAt: 0, revision: 1, connections: 0, instances: 0, rss: 0 },
    counters: { accepted: 7 },
    versions: (parts.versions ?? []).map((one) => ({
      ...{ connections: 0, instances: 0, memoryBytes: 0, calls: 0, bytes: 0, fuel: 0, faults: 0 },
      ...one,
    })),
    trials: (parts.trials ?? []).map((one) => ({
      ...{ connections: 0, compared: 0, skipped: {}, differences: 0, faults: 0, fuelActive: 0 },
      ...{ fuelTried: 0, callMicros: 0, samples: [], lastFault: "" },
      ...one,
    })),
  };
}
