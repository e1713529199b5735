/** Finds processes by their command line and ends them; for those that outlive who started them. */
import { readdirSync, readFileSync } from "node:fs";

const EXIT_TIMEOUT_MS = 5_000;
const EXIT_POLL_MS = 20;

/** Pids of other processes whose arguments (program first) satisfy `matches`. */
export function findProcesses(matches: (args: string[]) => boolean): number[] {
  return readdirSync("/proc")
    .filter((name) => /^\d+$/.test(name) && Number(name) !== process.pid)
    .filter((name) => matches(commandLine(name)))
    .map(Number);
}

/** SIGTERM, then SIGKILL after a while; returns when the process is gone. */
export async function endProcess(pid: number): Promise<void> {
  const deadline = performance.now() + EXIT_TIMEOUT_MS;
  let sent: NodeJS.Signals | undefined;
  while (isRunning(pid)) {
    const signal = performance.now() > deadline ? "SIGKILL" : "SIGTERM";
    try {
      if (sent !== signal) process.kill(pid, signal);
      sent = signal;
    } catch {
      return;
    }
    await new Promise((resolve) => setTimeout(resolve, EXIT_POLL_MS));
  }
}

/** A zombie has ended: it only waits for its parent. */
export function isRunning(pid: number): boolean {
  try {
    const stat = readFileSync(`/proc/${pid}/stat`, "utf8");
    return stat.slice(stat.lastIndexOf(")") + 2)[0] !== "Z";
  } catch {
    return false;
  }
}

function commandLine(pid: string): string[] {
  try {
    return readFileSync(`/proc/${pid}/cmdline`, "utf8").split("\0");
  } catch {
    return []; // It ended meanwhile.
  }
}
