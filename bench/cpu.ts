/**
 * Reads CPU time: of the machine from /proc/stat, of a group of processes from its cgroup. Both are
 * given as the text of two snapshots that the load generator took at the ends of its window.
 */
import { RunError } from "./errors.ts";

/** Linux reports /proc/stat in USER_HZ, which is 100 on every architecture we run on (proc(5)). */
const TICK_NS = 10_000_000;

export interface CpuTicks {
  busy: number;
  idle: number;
  /** Of `busy`: spent in softirq context outside any process. */
  softirq: number;
  /** Taken by the hypervisor; in neither of the others. */
  steal: number;
}

/** `cpu` is a CPU number, or undefined for the whole machine. */
export function parseProcStat(text: string, cpu?: number): CpuTicks {
  const label = `cpu${cpu ?? ""}`;
  const line = text.split("\n").find((candidate) => candidate.split(" ", 1)[0] === label);
  if (line === undefined) throw new RunError(`Cannot read CPU time: /proc/stat has no ${label}`);
  const [user = 0, nice = 0, system = 0, idle = 0, iowait = 0, irq = 0, softirq = 0, steal = 0] =
    line.trim().split(/\s+/).slice(1).map(Number);
  return { busy: user + nice + system + irq + softirq, idle: idle + iowait, softirq, steal };
}

/** Busy nanoseconds between two snapshots of /proc/stat. */
export function busyNs(before: string, after: string, cpu?: number): number {
  return (parseProcStat(after, cpu).busy - parseProcStat(before, cpu).busy) * TICK_NS;
}

/**
 * Share of the time between two snapshots that `cpu` was not idle, 0 to 1; steal counts as busy.
 */
export function busyShare(before: string, after: string, cpu: number): number {
  const a = parseProcStat(before, cpu);
  const b = parseProcStat(after, cpu);
  const busy = b.busy + b.steal - a.busy - a.steal;
  const total = busy + b.idle - a.idle;
  return total === 0 ? 0 : busy / total;
}

/** CPU nanoseconds of a cgroup: v1 `cpuacct.usage` is one number, v2 `cpu.stat` has usage_usec. */
export function parseCgroupNs(text: string): number {
  const usage = /^usage_usec (\d+)$/m.exec(text);
  const ns = usage === null ? Number(text.trim()) : Number(usage[1]) * 1000;
  if (text.trim() === "" || !Number.isFinite(ns)) {
    throw new RunError(`Cannot read CPU time: "${text.trim()}" is not a cgroup's usage`);
  }
  return ns;
}
