/**
 * The plugins' numbers in Prometheus' text format. The proxy counts; a scrape asks it once and
 * makes the metrics of that answer, so nothing here grows with time.
 */
import { Counter, Gauge, Registry } from "prom-client";
import type { ProxyStatus } from "../../runtime/contract/control.ts";
import type { CaseFiles } from "./case-files.ts";
import type { InstalledVersions } from "./installed-versions.ts";
import type { PluginLifecycle } from "./lifecycle.ts";
import type { Recordings } from "./recordings.ts";

export interface MetricsDeps {
  installed: InstalledVersions;
  lifecycle: PluginLifecycle;
  recordings: Pick<Recordings, "list">;
  cases: Pick<CaseFiles, "list">;
  /** Undefined while there is no proxy. */
  proxyStatus: () => Promise<ProxyStatus | undefined>;
}

type Labels = Record<string, string>;

export async function metricsText(deps: MetricsDeps): Promise<string> {
  const registry = new Registry();
  const status = await deps.proxyStatus().catch(() => undefined);
  const set = metricSetter(registry);
  set("gauge", "imker_agent_resident_bytes", "Memory of the agent", {}, process.memoryUsage.rss());
  set("gauge", "imker_proxy_up", "Whether a proxy serves", {}, status === undefined ? 0 : 1);
  addLifecycle(deps, set);
  addEvidence(deps, set);
  if (status !== undefined) {
    addProxy(status, set);
    addVersions(deps, status, set);
    addTrials(deps, status, set);
  }
  return registry.metrics();
}

type Set = (
  kind: "gauge" | "counter",
  name: string,
  help: string,
  labels: Labels,
  value: number,
) => void;

/** Metrics are made with the first value; all values of one have the same label names. */
function metricSetter(registry: Registry): Set {
  const made = new Map<string, Counter | Gauge>();
  return (kind, name, help, labels, value) => {
    const options = { name, help, labelNames: Object.keys(labels), registers: [registry] };
    const metric = made.get(name) ?? (kind === "gauge" ? new Gauge(options) : new Counter(options));
    made.set(name, metric);
    metric.inc(labels, value);
  };
}

function addLifecycle({ installed, lifecycle }: MetricsDeps, set: Set): void {
  for (const { name, version, digest } of installed.list()) {
    const serves = lifecycle.activationOf(name).active === digest ? 1 : 0;
    const labels = { plugin: name, version, digest };
    set("gauge", "imker_plugin_active", "1: serves NAME; 0: installed", labels, serves);
  }
}

/** What workers told of, and could not, is among their events: `cases`, `cases_dropped`. */
function addEvidence({ installed, recordings, cases }: MetricsDeps, set: Set): void {
  for (const plugin of new Set(installed.list().map(({ name }) => name))) {
    const running = recordings.list(plugin).length;
    set("gauge", "imker_plugin_recordings", "Recordings that run", { plugin }, running);
  }
  const kept = cases.list();
  const bytes = kept.reduce((sum, one) => sum + one.bytes, 0);
  set("gauge", "imker_cases", "Cases on disk", {}, kept.length);
  set("gauge", "imker_cases_bytes", "What they take", {}, bytes);
}

function addProxy(status: ProxyStatus, set: Set): void {
  set("gauge", "imker_proxy_resident_bytes", "Memory of the proxy", {}, status.rss);
  set("gauge", "imker_proxy_connections", "Open connections", {}, status.connections);
  set("gauge", "imker_proxy_instances", "Plugin instances", {}, status.instances);
  set("gauge", "imker_proxy_revision", "Revision confirmed by all workers", {}, status.revision);
  for (const [event, count] of Object.entries(status.counters)) {
    set("counter", "imker_proxy_events_total", "What workers counted", { event }, count);
  }
}

function addVersions({ installed }: MetricsDeps, status: ProxyStatus, set: Set): void {
  for (const one of status.versions) {
    const row = installed.byDigest(one.digest);
    const labels = { plugin: row?.name ?? "", version: row?.version ?? "", digest: one.digest };
    const up = one.unavailable === undefined ? 1 : 0;
    set("gauge", "imker_plugin_available", "0: the proxy cannot run it", labels, up);
    set("gauge", "imker_plugin_connections", "Open, served by it", labels, one.connections);
    set("gauge", "imker_plugin_instances", "Sandboxes", labels, one.instances);
    set("gauge", "imker_plugin_memory_bytes", "Memory of its sandboxes", labels, one.memoryBytes);
    set("counter", "imker_plugin_calls_total", "Calls of on-data", labels, one.calls);
    set("counter", "imker_plugin_bytes_total", "Bytes given to on-data", labels, one.bytes);
    set("counter", "imker_plugin_fuel_total", "Fuel used", labels, one.fuel);
    set("counter", "imker_plugin_faults_total", "Traps and broken contracts", labels, one.faults);
  }
}

function addTrials({ lifecycle }: MetricsDeps, status: ProxyStatus, set: Set): void {
  const running = lifecycle.runningTrials();
  for (const one of status.trials) {
    const trial = running.find(({ id }) => id === one.id);
    if (trial === undefined) continue;
    const { name, version, kind } = trial;
    const labels = { plugin: name, version, trial: one.id, kind };
    set("counter", "imker_trial_connections_total", "Tried on", labels, one.connections);
    set("counter", "imker_trial_compared_total", "Calls compared", labels, one.compared);
    set("counter", "imker_trial_differences_total", "Went apart", labels, one.differences);
    set("counter", "imker_trial_faults_total", "Of the tried version", labels, one.faults);
    for (const [reason, count] of Object.entries(one.skipped)) {
      const help = "Not compared, and why";
      set("counter", "imker_trial_skipped_total", help, { ...labels, reason }, count);
    }
  }
}
