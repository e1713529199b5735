/**
 * Runs the load generator (load.c) and the server (server.c) and turns what the generator prints
 * into a measurement: requests, latencies and CPU over exactly the same window.
 */
import { z } from "zod";
import { busyNs, busyShare, parseCgroupNs } from "./cpu.ts";
import { RunError } from "./errors.ts";
import { type Placement, type Program, start } from "./process.ts";
import type { Shape } from "./shapes.ts";

const PROC_STAT = "/proc/stat";

const loadReportSchema = z.object({
  elapsedNs: z.number().positive(),
  requests: z.number(),
  bytes: z.number(),
  sent: z.number(),
  completed: z.number(),
  connectErrors: z.number(),
  resetErrors: z.number(),
  malformed: z.number(),
  statuses: z.record(z.string(), z.number()),
  p50Ns: z.number(),
  p90Ns: z.number(),
  p99Ns: z.number(),
  snapshots: z.array(z.object({ path: z.string(), before: z.string(), after: z.string() })),
});

export type LoadReport = z.infer<typeof loadReportSchema>;

/** One window of load through one proxy. */
export interface Measurement {
  rps: number;
  p50Us: number;
  p99Us: number;
  /** CPU of the proxy's cgroup; NaN when there was none. */
  cpuUsPerRequest: number;
  /** Busy time of all cores: proxy, client, server and whatever else ran. */
  machineUsPerRequest: number;
  /** CPU of the proxy's cgroup for the bytes the client received, in ms per 10^9 bytes. */
  cpuMsPerGb: number;
  /** Share of the window that the proxy's core was busy, and that the proxy itself used of it. */
  coreBusy: number;
  coreProxy: number;
}

export interface LoadRequest {
  placement: Placement;
  binary: string;
  /** ADDRESS:PORT. */
  to: string;
  path: string;
  shape: Shape;
  warmupMs: number;
  windowMs: number;
  /** Ends after so many requests, whatever the window. */
  requestsMax?: number;
  cgroupFile?: string;
}

export function startServer(
  placement: Placement,
  binary: string,
  at: { address: string; port: number; bodyBytes: number },
): Program {
  return start("server", placement, [binary, at.address, String(at.port), String(at.bodyBytes)]);
}

/** Resolves when the load is over; an abort ends it early and rejects. */
export async function runLoad(request: LoadRequest, signal: AbortSignal): Promise<LoadReport> {
  signal.throwIfAborted();
  const { shape } = request;
  const files = [PROC_STAT, ...(request.cgroupFile === undefined ? [] : [request.cgroupFile])];
  const program = start("load", request.placement, [
    request.binary,
    ...["--to", request.to, "--path", request.path],
    ...["--connections", String(shape.connections), "--head-bytes", String(shape.headBytes)],
    ...["--warmup-ms", String(request.warmupMs), "--window-ms", String(request.windowMs)],
    ...["--requests", String(request.requestsMax ?? 0)],
    ...(shape.reconnect ? ["--reconnect"] : []),
    ...files.flatMap((file) => ["--snapshot", file]),
  ]);
  const abort = (): void => void program.stop();
  signal.addEventListener("abort", abort);
  try {
    return parseLoadReport(await program.output());
  } catch (error) {
    // That it was stopped is the cause; what it says of its end is only how.
    signal.throwIfAborted();
    throw error;
  } finally {
    signal.removeEventListener("abort", abort);
    await program.stop();
  }
}

export function parseLoadReport(text: string): LoadReport {
  try {
    return loadReportSchema.parse(JSON.parse(text));
  } catch (cause) {
    throw new RunError("Cannot read the load generator's report: it is malformed", { cause });
  }
}

/** Throws unless every request got its 200: a proxy that refuses work is fast and worthless. */
export function requireClean(name: string, report: LoadReport): void {
  const ok = report.statuses["200"] ?? 0;
  const errors = report.connectErrors + report.resetErrors + report.malformed;
  if (errors > 0 || ok !== report.completed || report.sent !== report.completed) {
    const { sent, completed, statuses, connectErrors, resetErrors, malformed } = report;
    const state = { sent, completed, statuses, connectErrors, resetErrors, malformed };
    throw new RunError(`Cannot believe row ${name}: ${JSON.stringify(state)}`);
  }
  if (report.requests === 0) throw new RunError(`Cannot believe row ${name}: no request ended`);
}

export function toMeasurement(
  report: LoadReport,
  from: { proxyCpu: number; cgroupFile?: string },
): Measurement {
  const snapshot = (path: string | undefined) => report.snapshots.find((s) => s.path === path);
  const stat = snapshot(PROC_STAT);
  if (stat === undefined) throw new RunError("Cannot count CPU: no snapshot of /proc/stat");
  const group = snapshot(from.cgroupFile);
  const cpuNs =
    group === undefined ? Number.NaN : parseCgroupNs(group.after) - parseCgroupNs(group.before);
  return {
    rps: (report.requests * 1e9) / report.elapsedNs,
    p50Us: report.p50Ns / 1000,
    p99Us: report.p99Ns / 1000,
    cpuUsPerRequest: cpuNs / 1000 / report.requests,
    machineUsPerRequest: busyNs(stat.before, stat.after) / 1000 / report.requests,
    cpuMsPerGb: (cpuNs * 1000) / report.bytes,
    coreBusy: busyShare(stat.before, stat.after, from.proxyCpu),
    coreProxy: cpuNs / report.elapsedNs,
  };
}
