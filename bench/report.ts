/**
 * What a reader gets of the L7 benchmark: rows and ratios as JSON in the fields the project's goals
 * are stated in, and the same as a table with the spread and what to make of it.
 */

import type { RowResult } from "./l7.ts";
import type { Measurement } from "./load.ts";
import type { PodRow } from "./pods.ts";
import { significant, summarize } from "./stats.ts";

/**
 * Below this the proxy was waiting for its client, so its rate says little; its CPU still counts.
 */
const CORE_BUSY_MIN = 0.95;
/** More of the proxy's core than this used by others: the machine was not quiet. */
const CORE_FOREIGN_MAX = 0.08;

export interface ReportRow {
  name: string;
  rps: number;
  p50_us: number;
  p99_us: number;
  cpu_us_per_request: number;
  machine_us_per_request: number;
  client_bound: boolean;
  /** Proxy CPU in ms for each 10^9 bytes to the client; tells something with large bodies only. */
  cpu_ms_per_gb: number;
  /** Share of the window the proxy's core was busy, 0 to 1. */
  core_busy: number;
  /** Other work took part of the proxy's core. */
  disturbed: boolean;
  rounds: number;
  /** (max - min) / median over the rounds, in percent. */
  spread_percent: { rps: number; cpu_us_per_request: number };
  notes: string[];
}

export interface Ratios {
  cpu_vs_envoy: number | null;
  cpu_vs_haproxy: number | null;
  cpu_vs_relay: number | null;
  deno_vs_node: number | null;
}

export const RATIO_GOALS: Ratios = {
  cpu_vs_envoy: 0.3,
  cpu_vs_haproxy: 0.9,
  cpu_vs_relay: 1.25,
  deno_vs_node: 1.15,
};

/** Ratio to plain routing that an L4 policy must keep. */
export const L4_RATIO_GOAL = 0.95;

export interface Report {
  shape: string;
  machine: string;
  rows: ReportRow[];
  ratios: Ratios;
  pod_to_pod: PodRow[];
}

export function toReportRow(result: RowResult): ReportRow {
  const summary = (pick: (m: Measurement) => number) => summarize(result.measurements.map(pick));
  const rps = summary((m) => m.rps);
  const cpu = summary((m) => m.cpuUsPerRequest);
  const coreBusy = summary((m) => m.coreBusy).median;
  const foreign = summary((m) => m.coreBusy - m.coreProxy).median;
  return {
    name: result.name,
    rps: Math.round(rps.median),
    p50_us: significant(summary((m) => m.p50Us).median),
    p99_us: significant(summary((m) => m.p99Us).median),
    cpu_us_per_request: significant(cpu.median),
    machine_us_per_request: significant(summary((m) => m.machineUsPerRequest).median),
    client_bound: coreBusy < CORE_BUSY_MIN,
    cpu_ms_per_gb: significant(summary((m) => m.cpuMsPerGb).median),
    core_busy: significant(coreBusy, 3),
    disturbed: foreign > CORE_FOREIGN_MAX,
    rounds: result.measurements.length,
    spread_percent: {
      rps: significant(rps.spreadPercent, 2),
      cpu_us_per_request: significant(cpu.spreadPercent, 2),
    },
    notes: result.notes,
  };
}

/** Ratios of the rows' medians, so that a reader can check them against the rows. */
export function toRatios(rows: readonly ReportRow[]): Ratios {
  const cpu = (name: string) => rows.find((row) => row.name === name)?.cpu_us_per_request;
  const ratio = (part: string, whole: string): number | null => {
    const a = cpu(part);
    const b = cpu(whole);
    return a === undefined || b === undefined ? null : significant(a / b, 3);
  };
  return {
    cpu_vs_envoy: ratio("imker-node", "envoy"),
    cpu_vs_haproxy: ratio("imker-node", "haproxy"),
    cpu_vs_relay: ratio("imker-node", "relay"),
    deno_vs_node: ratio("imker-deno", "imker-node"),
  };
}

export function formatReport(report: Report): string {
  const parts = [`${report.machine}\nload shape: ${report.shape}`];
  if (report.rows.length > 0) parts.push(formatRows(report), formatRatios(report.ratios));
  if (report.pod_to_pod.length > 0) parts.push(formatPods(report.pod_to_pod));
  const notes = report.rows.flatMap((row) => row.notes.map((note) => `${row.name}: ${note}`));
  if (notes.length > 0) parts.push(notes.join("\n"));
  return `${parts.join("\n\n")}\n`;
}

function formatRows(report: Report): string {
  const header = [
    "proxy",
    "requests/s",
    "p50 us",
    "p99 us",
    "CPU us/req",
    "+-",
    "machine us/req",
    "core busy",
    "",
  ];
  const lines = report.rows.map((row) => [
    row.name,
    String(row.rps),
    row.p50_us.toFixed(0),
    row.p99_us.toFixed(0),
    row.cpu_us_per_request.toFixed(2),
    `${row.spread_percent.cpu_us_per_request.toFixed(0)} %`,
    row.machine_us_per_request.toFixed(2),
    `${(row.core_busy * 100).toFixed(0)} %`,
    [row.client_bound ? "client-bound" : "", row.disturbed ? "disturbed" : ""].join(" ").trim(),
  ]);
  return alignColumns([header, ...lines]);
}

function formatRatios(ratios: Ratios): string {
  const names = ["cpu_vs_envoy", "cpu_vs_haproxy", "cpu_vs_relay", "deno_vs_node"] as const;
  const lines = names.map((name) => {
    const value = ratios[name];
    const goal = RATIO_GOALS[name] ?? 0;
    const met = value === null ? "not measured" : value <= goal ? "met" : "MISSED";
    return [name, value === null ? "-" : value.toFixed(3), `goal <= ${goal}`, met];
  });
  return alignColumns(lines);
}

function formatPods(rows: readonly PodRow[]): string {
  const header = ["pod to pod", "requests/s", "p50 us", "to plain", "+-"];
  const lines = rows.map((row) => [
    row.name,
    String(row.rps),
    row.p50_us.toFixed(1),
    row.ratio_to_plain?.toFixed(3) ?? "-",
    `${row.spread_percent.toFixed(0)} %`,
  ]);
  return alignColumns([header, ...lines]);
}

/** The first column to the left, the others to the right. */
export function alignColumns(lines: readonly (readonly string[])[]): string {
  const columns = Math.max(...lines.map((line) => line.length));
  const widths = Array.from({ length: columns }, (_, column) =>
    Math.max(...lines.map((line) => line[column]?.length ?? 0)),
  );
  return lines
    .map((line) =>
      line
        .map((cell, column) => {
          const width = widths[column] ?? 0;
          return column === 0 ? cell.padEnd(width) : cell.padStart(width);
        })
        .join("  ")
        .trimEnd(),
    )
    .join("\n");
}
