/**
 * Takes Imker off a node: processes, endpoints, kernel objects, files, in that order. Stopping is
 * not uninstalling; this is the only thing that removes what enforces policy. It needs no running
 * agent: everything is found through the store, the pins and the process list.
 */
import { existsSync, rmSync } from "node:fs";
import { createDatapath, createPodNetwork } from "./datapath/index.ts";
import { ENDPOINTS_BEGUN } from "./endpoint/endpoints.ts";
import type { EndpointRecord, PodTraces } from "./endpoint/types.ts";
import { AGENT_DEFAULTS, databaseFile } from "./options.ts";
import { removePrefilter } from "./prefilter/pins.ts";
import { endProcess, findProcesses } from "./process-list.ts";
import { SqliteStore, StoreError } from "./store/sqlite.ts";

interface ProcessKind {
  name: string;
  program: string;
  /** First argument of the program, if it tells this kind from others. */
  command?: string;
}

const KINDS: ProcessKind[] = [
  { name: "agent", program: "host/cli/main.ts", command: "agent" },
  { name: "proxy", program: "runtime/main.ts" },
];

export interface UninstallOptions {
  runDir: string;
  stateDir: string;
  bpffs: string;
}

/** Removes everything and returns a line for each thing removed. */
export async function uninstall(options: UninstallOptions): Promise<string[]> {
  const removed = await stopProcesses(options.runDir);
  removed.push(...removeEndpoints(options.stateDir));
  removed.push(...removePrefilter(options.bpffs));
  const datapath = createDatapath({ bpffs: options.bpffs });
  try {
    // Before their programs go: nobody is set free whom the database has forgotten.
    removed.push(...removeInterfaces(datapath.podInterfaces()));
    removed.push(...datapath.uninstall());
  } finally {
    datapath.close();
  }
  for (const folder of [options.runDir, options.stateDir]) {
    if (!existsSync(folder)) continue;
    rmSync(folder, { recursive: true, force: true });
    removed.push(`folder ${folder}`);
  }
  return removed;
}

/**
 * The agent first, so that it starts no new proxy; a process is ours by its program and run-dir.
 */
async function stopProcesses(runDir: string): Promise<string[]> {
  const removed: string[] = [];
  for (const kind of KINDS) {
    for (const pid of processesOf(kind, runDir)) {
      await endProcess(pid);
      removed.push(`${kind.name} process ${pid}`);
    }
  }
  return removed;
}

function processesOf(kind: ProcessKind, runDir: string): number[] {
  return findProcesses((args) => {
    const program = args.findIndex((arg) => arg.endsWith(kind.program));
    if (program < 0) return false;
    const at = args.indexOf("--run-dir");
    const own = at < 0 ? AGENT_DEFAULTS.runDir : args[at + 1];
    return own === runDir && (kind.command === undefined || args[program + 1] === kind.command);
  });
}

function removeInterfaces(names: readonly string[]): string[] {
  const network = createPodNetwork();
  return names
    .filter((ifname) => network.find(ifname) !== undefined)
    .map((ifname) => {
      network.remove({ ifname, netns: "", ownsNetns: false });
      return `interface ${ifname}`;
    });
}

function removeEndpoints(stateDir: string): string[] {
  if (!existsSync(databaseFile(stateDir))) return [];
  const store = openStore(stateDir);
  if (store === undefined) return [];
  const network = createPodNetwork();
  try {
    const begun = store.list(ENDPOINTS_BEGUN).map((row) => {
      const traces = JSON.parse(row.value) as PodTraces;
      network.remove(traces);
      return `half an endpoint (interface ${traces.ifname})`;
    });
    const whole = store.list("endpoints/").map((row) => {
      const record = JSON.parse(row.value) as EndpointRecord;
      network.remove(record);
      return `endpoint ${record.namespace}/${record.name} (interface ${record.ifname})`;
    });
    return [...begun, ...whole];
  } finally {
    store.close();
  }
}

/** Undefined: it is damaged, and names nothing that could be removed. */
function openStore(stateDir: string): SqliteStore | undefined {
  try {
    return new SqliteStore(databaseFile(stateDir));
  } catch (error) {
    if (error instanceof StoreError) return undefined;
    throw error;
  }
}
