/**
 * Takes Imker off a node: processes, endpoints, kernel objects, files, in that order. Stopping is
 * not uninstalling; this is the only thing that removes what enforces policy. It needs no running
 * agent: everything is found through the store, the pins and the process list.
 */
import { existsSync, readdirSync, readFileSync, rmSync } from "node:fs";
import { createDatapath, createPodNetwork } from "./datapath/index.ts";
import type { EndpointRecord } from "./endpoint/types.ts";
import { AGENT_DEFAULTS, databaseFile } from "./options.ts";
import { SqliteStore } from "./store/sqlite.ts";

const EXIT_TIMEOUT_MS = 5_000;
const EXIT_POLL_MS = 20;

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
  const datapath = createDatapath({ bpffs: options.bpffs });
  try {
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

/** The agent first, so that it starts no new proxy; a process is ours by its program and run-dir. */
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
  return readdirSync("/proc")
    .filter((name) => /^\d+$/.test(name) && Number(name) !== process.pid)
    .filter((name) => {
      const args = commandLine(name);
      const at = args.indexOf("--run-dir");
      const own = at < 0 ? AGENT_DEFAULTS.runDir : args[at + 1];
      const program = args.findIndex((arg) => arg.endsWith(kind.program));
      return (
        program >= 0 && own === runDir && (kind.command ?? args[program + 1]) === args[program + 1]
      );
    })
    .map(Number);
}

function commandLine(pid: string): string[] {
  try {
    return readFileSync(`/proc/${pid}/cmdline`, "utf8").split("\0");
  } catch {
    return []; // It ended meanwhile.
  }
}

async function endProcess(pid: number): Promise<void> {
  const deadline = performance.now() + EXIT_TIMEOUT_MS;
  let signal: NodeJS.Signals = "SIGTERM";
  while (isRunning(pid)) {
    if (performance.now() > deadline) signal = "SIGKILL";
    try {
      process.kill(pid, signal);
    } catch {
      return;
    }
    await new Promise((resolve) => setTimeout(resolve, EXIT_POLL_MS));
  }
}

/** A zombie has ended: it only waits for its parent. */
function isRunning(pid: number): boolean {
  try {
    const stat = readFileSync(`/proc/${pid}/stat`, "utf8");
    return stat.slice(stat.lastIndexOf(")") + 2)[0] !== "Z";
  } catch {
    return false;
  }
}

function removeEndpoints(stateDir: string): string[] {
  if (!existsSync(databaseFile(stateDir))) return [];
  const store = new SqliteStore(databaseFile(stateDir));
  const network = createPodNetwork();
  try {
    return store.list("endpoints/").map((row) => {
      const record = JSON.parse(row.value) as EndpointRecord;
      network.remove(record);
      return `endpoint ${record.namespace}/${record.name} (interface ${record.ifname})`;
    });
  } finally {
    store.close();
  }
}
