/**
 * The proxy process, on Node and on Deno. The only place where its parts are constructed; what they
 * do is in proxy/, worker/ and engine/.
 */
import { createHash } from "node:crypto";
import { mkdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import process from "node:process";
import { destination, pino } from "pino";
import { ENGINE_PATH, type EngineAddon, loadEngine } from "./engine/index.ts";
import { prepareImage } from "./isolate/index.ts";
import { MemoryBack } from "./proxy/memory-back.ts";
import { HELP, OptionsError, type ProxyOptions, parseOptions } from "./proxy/options.ts";
import { preparePlugin } from "./proxy/prepare-plugin.ts";
import { connectionsMax, dropPrivileges } from "./proxy/privileges.ts";
import { ProxyProcess } from "./proxy/proxy-process.ts";
import { StateHistory } from "./proxy/state-change.ts";
import { readStateFile } from "./proxy/state-file.ts";
import { warmUp } from "./proxy/warm-up.ts";
import { Workers } from "./proxy/workers.ts";
import { createMatcher } from "./regex/index.ts";
import { exposedCollector } from "./worker/exposed-collector.ts";
import type { WorkerConfig } from "./worker/messages.ts";

const EXIT_USER_ERROR = 1;
const EXIT_ENVIRONMENT = 2;
/** After SIGTERM. The agent's own drain request says how long it waits. */
const SIGTERM_DRAIN_MS = 5_000;
/** Live wasm memories of one process; Node stopped at 12,885 (address space). */
const INSTANCES_MAX = 8_192;
/** Linear memory of all plugin instances; those that hold most go first. */
const PLUGIN_MEMORY_BYTES_MAX = 2 ** 31;

function workerConfigs(addon: EngineAddon, options: ProxyOptions): WorkerConfig[] {
  const { runDir, bpffs, workers, stateFile } = options;
  const first = stateFile === undefined ? 0 : (readStateFile(stateFile).ruleSets[0]?.id ?? 0);
  const listeners = options.listeners.map((listener) =>
    listener.egressRules === 0 && listener.ingressRules === 0
      ? { ...listener, egressRules: first }
      : listener,
  );
  const perWorker = {
    runDir,
    bpffs,
    listeners,
    connectionsMax: connectionsMax(addon, workers),
    instancesMax: Math.floor(INSTANCES_MAX / workers),
    memoryBytesMax: Math.floor(PLUGIN_MEMORY_BYTES_MAX / workers),
  };
  return Array.from({ length: workers }, (_, worker) => ({ worker, ...perWorker }));
}

/** Writes proxy_config (bpf/abi/abi.h): the datapath spreads connections over so many workers. */
function announce(addon: EngineAddon, bpffs: string | undefined, workers: number): void {
  if (bpffs === undefined) return;
  const map = addon.openMap(join(bpffs, "maps", "proxy_config@1"));
  try {
    const value = new Uint8Array(8);
    new DataView(value.buffer).setUint32(0, workers, true);
    addon.update(map, new Uint8Array(4), value);
  } finally {
    addon.closeFd(map);
  }
}

function describeSelf(): ConstructorParameters<typeof ProxyProcess>[0]["hello"] {
  const deno = "deno" in process.versions ? process.versions.deno : undefined;
  return {
    build: createHash("sha256").update(readFileSync(ENGINE_PATH)).digest("hex").slice(0, 12),
    runtime: deno === undefined ? "node" : "deno",
    runtimeVersion: deno ?? process.versions.node,
    pid: process.pid,
    startedAt: Date.now(),
  };
}

async function run(options: ProxyOptions): Promise<void> {
  const log = pino({ level: options.logLevel }, destination({ fd: 2, sync: true }));
  const exit = (code: number): void => process.exit(code);
  mkdirSync(options.runDir, { recursive: true, mode: 0o700 });
  mkdirSync(options.stateDir, { recursive: true, mode: 0o700 });
  const addon = loadEngine();
  const configs = workerConfigs(addon, options);
  dropPrivileges(addon, options.bpffs !== undefined);
  const workers = new Workers(configs, {
    log,
    wake: addon.wake,
    onDeath: (error) => {
      log.fatal(error.message);
      exit(EXIT_ENVIRONMENT);
    },
  });
  const proxy = new ProxyProcess({
    log,
    options,
    workers,
    history: new StateHistory({
      preparePlugin: (version) => preparePlugin({ prepareImage, warmUp }, version),
      createMatcher,
    }),
    memoryBack: new MemoryBack(exposedCollector()),
    announceWorkers: (count) => announce(addon, options.bpffs, count),
    hello: describeSelf(),
    exit,
  });
  let signals = 0;
  const onSignal = (): void => {
    if (++signals > 1) exit(EXIT_USER_ERROR);
    proxy.drain(SIGTERM_DRAIN_MS).catch((error: unknown) => {
      log.error({ error: String(error) }, "cannot drain");
      exit(EXIT_ENVIRONMENT);
    });
  };
  process.on("SIGTERM", onSignal);
  process.on("SIGINT", onSignal);
  await proxy.start();
}

try {
  const options = parseOptions(process.argv.slice(2));
  if (options === undefined) process.stdout.write(HELP);
  else await run(options);
} catch (error) {
  process.stderr.write(`${error instanceof Error ? error.message : error}\n`);
  process.exit(error instanceof OptionsError ? EXIT_USER_ERROR : EXIT_ENVIRONMENT);
}
