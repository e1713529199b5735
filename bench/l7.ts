/**
 * The L7 benchmark: the same load through every proxy in turn, one at a time in a fresh topology,
 * for several interleaved rounds. It owns the order of things and what makes a round believable;
 * the rows own how their proxy is started.
 */
import { mkdirSync, mkdtempSync, rmSync } from "node:fs";
import { join } from "node:path";
import { Cgroup } from "./cgroup.ts";
import { RunError } from "./errors.ts";
import {
  type LoadReport,
  type Measurement,
  requireClean,
  runLoad,
  startServer,
  toMeasurement,
} from "./load.ts";
import type { BenchPaths, ProxyRow, RunningProxy } from "./proxies/proxy.ts";
import { ALLOWED_PATH, DENIED_PATH } from "./proxies/rules.ts";
import type { Shape } from "./shapes.ts";
import { rotate } from "./stats.ts";
import { ADDRESS, ownName, Topology } from "./topology.ts";

const LOAD_CPU = 0;
const PROXY_CPU = 1;
const SERVER_PORT = 8080;
const PROBE_WINDOW_MS = 5000;

export interface L7Options {
  rows: readonly ProxyRow[];
  shape: Shape;
  rounds: number;
  windowMs: number;
  warmupMs: number;
}

export interface RowResult {
  name: string;
  measurements: Measurement[];
  notes: string[];
}

export async function runL7(
  paths: BenchPaths,
  options: L7Options,
  signal: AbortSignal,
): Promise<RowResult[]> {
  const results = options.rows.map((row) => ({
    name: row.name,
    measurements: [] as Measurement[],
    notes: [] as string[],
  }));
  for (let round = 0; round < options.rounds; round++) {
    for (const row of rotate(options.rows, round)) {
      const result = results.find(({ name }) => name === row.name);
      const { measurement, notes } = await measureRow(paths, row, options, signal);
      result?.measurements.push(measurement);
      if (result !== undefined) result.notes = notes;
      paths.progress(
        `round ${round + 1}/${options.rounds}  ${row.name.padEnd(18)} ` +
          `${Math.round(measurement.rps)} requests/s  ` +
          `${measurement.cpuUsPerRequest.toFixed(2)} us CPU/request  ` +
          `core ${Math.round(measurement.coreBusy * 100)} % busy`,
      );
    }
  }
  return results;
}

/** One row of one round, in a topology, a cgroup and a folder that end with it. */
async function measureRow(
  paths: BenchPaths,
  row: ProxyRow,
  options: L7Options,
  signal: AbortSignal,
): Promise<{ measurement: Measurement; notes: string[] }> {
  signal.throwIfAborted();
  await using cleanup = new AsyncDisposableStack();
  mkdirSync(join(paths.build, "run"), { recursive: true });
  const folder = mkdtempSync(join(paths.build, "run", `${row.name}-`));
  cleanup.defer(() => rmSync(folder, { recursive: true, force: true }));
  const topology = cleanup.adopt(new Topology(), (made) => made.close());
  const cgroup = cleanup.adopt(new Cgroup(ownName("proxy")), (made) => made.close());
  const serverAt = {
    address: ADDRESS.server,
    port: SERVER_PORT,
    bodyBytes: options.shape.bodyBytes,
  };
  const server = cleanup.adopt(
    startServer({ cpu: LOAD_CPU, netns: topology.server }, join(paths.build, "server"), serverAt),
    (program) => program.stop(),
  );
  await server.waitForListener(SERVER_PORT);
  const proxy = cleanup.adopt(
    await row.start({
      paths,
      topology,
      placement: { cpu: PROXY_CPU, netns: topology.proxy, procsFiles: [cgroup.procsFile] },
      loadCpu: LOAD_CPU,
      folder,
      upstream: `${ADDRESS.server}:${SERVER_PORT}`,
      bodyBytes: options.shape.bodyBytes,
    }),
    (running) => running.stop(),
  );
  const load = {
    placement: { cpu: LOAD_CPU, netns: proxy.client ?? topology.client },
    binary: join(paths.build, "load"),
    to: proxy.target,
    shape: options.shape,
  };
  const probes = await probe(row, load, signal);
  const request = { ...load, path: ALLOWED_PATH, cgroupFile: cgroup.usageFile };
  const { warmupMs, windowMs } = options;
  const report = await runLoad({ ...request, warmupMs, windowMs }, signal);
  requireClean(row.name, report);
  await requireAccount(proxy, probes, report);
  return {
    measurement: toMeasurement(report, { proxyCpu: PROXY_CPU, cgroupFile: cgroup.usageFile }),
    notes: (await proxy.notes?.()) ?? [],
  };
}

interface ProbeLoad {
  placement: { cpu: number; netns: string };
  binary: string;
  to: string;
  shape: Shape;
}

interface Probes {
  allowed: number;
  denied: number;
}

/** A proxy that does not enforce the policy is not measured: one allowed and one denied request. */
async function probe(row: ProxyRow, load: ProbeLoad, signal: AbortSignal): Promise<Probes> {
  const shape = { ...load.shape, connections: 1 };
  const ask = async (path: string): Promise<string> => {
    const one = { ...load, shape, path, requestsMax: 1, warmupMs: 0, windowMs: PROBE_WINDOW_MS };
    const { statuses } = await runLoad(one, signal);
    return Object.keys(statuses).join(" ") || "no answer";
  };
  const allowed = await ask(ALLOWED_PATH);
  const denied = await ask(DENIED_PATH);
  const expected = row.enforces ? "403" : "200";
  if (allowed !== "200" || denied !== expected) {
    const state = `an allowed request got ${allowed}, a denied one ${denied} (not ${expected})`;
    throw new RunError(`Cannot measure ${row.name}: ${state}`);
  }
  return row.enforces ? { allowed: 1, denied: 1 } : { allowed: 2, denied: 0 };
}

async function requireAccount(
  proxy: RunningProxy,
  probes: Probes,
  report: LoadReport,
): Promise<void> {
  const allowed = probes.allowed + report.completed;
  await proxy.verify?.({ allowed, denied: probes.denied, report });
}
