/**
 * A CPU-accounting cgroup for one proxy: made beside the others, removed again with whatever is
 * still in it. cgroup v1 `cpuacct` is preferred for its nanoseconds; v2 counts in microseconds.
 */
import { existsSync, mkdirSync, readdirSync, readFileSync, rmdirSync } from "node:fs";
import { join } from "node:path";
import { EnvironmentError, RunError } from "./errors.ts";

const REMOVE_TRIES_MAX = 100;
const REMOVE_RETRY_MS = 20;

export interface CgroupRoot {
  folder: string;
  /** File that holds the CPU time. */
  usage: string;
}

/** Finds where to account CPU in the text of /proc/mounts. */
export function findCgroupRoot(mounts: string): CgroupRoot | undefined {
  const entries = mounts.split("\n").map((line) => line.split(" "));
  const v1 = entries.find(
    ([, , type, options = ""]) => type === "cgroup" && options.split(",").includes("cpuacct"),
  );
  if (v1?.[1] !== undefined) return { folder: v1[1], usage: "cpuacct.usage" };
  const v2 = entries.find(([, , type]) => type === "cgroup2");
  return v2?.[1] === undefined ? undefined : { folder: v2[1], usage: "cpu.stat" };
}

export class Cgroup {
  readonly folder: string;
  readonly usageFile: string;

  constructor(name: string, root = findCgroupRoot(readFileSync("/proc/mounts", "utf8"))) {
    if (root === undefined) {
      throw new EnvironmentError(
        "Cannot count CPU: no cgroup is mounted (mount -t cgroup2 none /sys/fs/cgroup)",
      );
    }
    this.folder = join(root.folder, name);
    this.usageFile = join(this.folder, root.usage);
    mkdirSync(this.folder, { recursive: true });
  }

  get procsFile(): string {
    return join(this.folder, "cgroup.procs");
  }

  /** Ends what is still inside and removes the group. */
  async close(): Promise<void> {
    await removeCgroup(this.folder);
  }
}

async function removeCgroup(folder: string): Promise<void> {
  for (let tries = 0; tries < REMOVE_TRIES_MAX && existsSync(folder); tries++) {
    const pids = readFileSync(join(folder, "cgroup.procs"), "utf8").split("\n").filter(Boolean);
    for (const pid of pids) killQuietly(Number(pid));
    if (pids.length === 0 && removeQuietly(folder)) return;
    await new Promise((resolve) => setTimeout(resolve, REMOVE_RETRY_MS));
  }
  if (existsSync(folder)) throw new RunError(`Cannot remove the cgroup ${folder}: it is in use`);
}

/** Removes what an earlier run left: groups of the prefix whose owner is gone. */
export async function sweepCgroups(isStale: (name: string) => boolean): Promise<void> {
  const root = findCgroupRoot(readFileSync("/proc/mounts", "utf8"));
  if (root === undefined) return;
  for (const name of readdirSync(root.folder)) {
    if (isStale(name)) await removeCgroup(join(root.folder, name));
  }
}

function killQuietly(pid: number): void {
  try {
    process.kill(pid, "SIGKILL");
  } catch {
    // It ended by itself.
  }
}

function removeQuietly(folder: string): boolean {
  try {
    rmdirSync(folder);
    return true;
  } catch {
    return false;
  }
}
