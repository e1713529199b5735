/**
 * Pod to pod: what the datapath costs. Client and server share one core, so the rate is bound by
 * CPU and not by wake-ups across cores; plain routing over the same two veth pairs is the measure.
 * With an HTTP policy the proxy has the other core to itself.
 */
import { mkdirSync, mkdtempSync, rmSync } from "node:fs";
import { join } from "node:path";
import { AgentNode, type NodePolicy } from "./agent-node.ts";
import { type Measurement, requireClean, runLoad, startServer, toMeasurement } from "./load.ts";
import type { BenchPaths } from "./proxies/proxy.ts";
import { ALLOWED_PATH } from "./proxies/rules.ts";
import type { Shape } from "./shapes.ts";
import { rotate, significant, summarize } from "./stats.ts";
import { ADDRESS, Topology } from "./topology.ts";

const LOAD_CPU = 0;
const PROXY_CPU = 1;
const SERVER_PORT = 8080;

export const POD_ROWS = ["plain", "no-policy", "l4-policy", "http-policy"] as const;
export type PodRowName = (typeof POD_ROWS)[number];

export interface PodRow {
  name: PodRowName;
  rps: number;
  p50_us: number;
  /** Rate divided by that of `plain`; null when that was not measured. */
  ratio_to_plain: number | null;
  /** (max - min) / median of the rate, in percent. */
  spread_percent: number;
}

export interface PodOptions {
  rows: readonly PodRowName[];
  shape: Shape;
  rounds: number;
  windowMs: number;
  warmupMs: number;
}

const POLICY = {
  "no-policy": "none",
  "l4-policy": "l4",
  "http-policy": "http",
} as const satisfies Record<Exclude<PodRowName, "plain">, NodePolicy>;

/** Two pods that can reach each other, however they are joined. */
interface Pods {
  client: string;
  server: string;
  address: string;
}

export async function runPods(
  paths: BenchPaths,
  options: PodOptions,
  signal: AbortSignal,
): Promise<PodRow[]> {
  const measured = new Map<PodRowName, Measurement[]>(options.rows.map((name) => [name, []]));
  for (let round = 0; round < options.rounds; round++) {
    for (const name of rotate(options.rows, round)) {
      const measurement = await measurePods(paths, name, options, signal);
      measured.get(name)?.push(measurement);
      paths.progress(
        `round ${round + 1}/${options.rounds}  ${name.padEnd(18)} ` +
          `${Math.round(measurement.rps)} requests/s`,
      );
    }
  }
  return toPodRows(measured);
}

export function toPodRows(measured: ReadonlyMap<PodRowName, Measurement[]>): PodRow[] {
  const rate = (name: PodRowName) => {
    const values = measured.get(name)?.map((m) => m.rps);
    return values === undefined || values.length === 0 ? undefined : summarize(values);
  };
  const plain = rate("plain");
  return [...measured].flatMap(([name, measurements]) => {
    const rps = rate(name);
    if (rps === undefined) return [];
    return [
      {
        name,
        rps: Math.round(rps.median),
        p50_us: significant(summarize(measurements.map((m) => m.p50Us)).median),
        ratio_to_plain: plain === undefined ? null : significant(rps.median / plain.median, 3),
        spread_percent: significant(rps.spreadPercent, 2),
      },
    ];
  });
}

async function measurePods(
  paths: BenchPaths,
  name: PodRowName,
  options: PodOptions,
  signal: AbortSignal,
): Promise<Measurement> {
  signal.throwIfAborted();
  await using cleanup = new AsyncDisposableStack();
  const pods = await makePods(paths, name, cleanup);
  const at = { address: pods.address, port: SERVER_PORT, bodyBytes: options.shape.bodyBytes };
  const server = cleanup.adopt(
    startServer({ cpu: LOAD_CPU, netns: pods.server }, join(paths.build, "server"), at),
    (program) => program.stop(),
  );
  await server.waitForListener(SERVER_PORT);
  const report = await runLoad(
    {
      placement: { cpu: LOAD_CPU, netns: pods.client },
      binary: join(paths.build, "load"),
      to: `${pods.address}:${SERVER_PORT}`,
      path: ALLOWED_PATH,
      shape: options.shape,
      warmupMs: options.warmupMs,
      windowMs: options.windowMs,
    },
    signal,
  );
  requireClean(name, report);
  return toMeasurement(report, { proxyCpu: PROXY_CPU });
}

async function makePods(
  paths: BenchPaths,
  name: PodRowName,
  cleanup: AsyncDisposableStack,
): Promise<Pods> {
  if (name === "plain") {
    const { client, server } = cleanup.adopt(new Topology(), (made) => made.close());
    return { client, server, address: ADDRESS.server };
  }
  mkdirSync(join(paths.build, "run"), { recursive: true });
  const folder = mkdtempSync(join(paths.build, "run", "pods-"));
  cleanup.defer(() => rmSync(folder, { recursive: true, force: true }));
  const node = cleanup.adopt(
    new AgentNode(paths, {
      policy: POLICY[name],
      runtime: "node",
      agentCpu: LOAD_CPU,
      proxyCpu: PROXY_CPU,
      folder,
    }),
    (made) => made.close(),
  );
  await node.open();
  return { client: node.client, server: node.server, address: node.serverAddress };
}
