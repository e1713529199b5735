/** Plugins, versions, trials and keys as tables and lines for people. */
import type {
  ActivationView,
  InstanceView,
  KeyView,
  LogLineView,
  PluginView,
  TrialView,
  VersionView,
} from "../../admin/plugin-schema.ts";
import { table } from "../context.ts";

/** Enough of a digest to tell versions apart. */
export function shortDigest(digest: string): string {
  return digest.slice(0, "sha256:".length + 12);
}

export function pluginTable(all: PluginView[]): string {
  return table(
    ["NAME", "ACTIVE", "LAST GOOD", "TRIAL", "VERSIONS", "FLAGS"],
    all.map((one) => [
      one.name,
      one.active?.version ?? "-",
      one.lastKnownGood?.version ?? "-",
      one.trial ?? "-",
      one.versions.length,
      [
        ...new Set(one.versions.filter((row) => row.uses.length > 0).flatMap((row) => row.flags)),
      ].join(",") || "-",
    ]),
  );
}

export function versionTable({ versions }: PluginView): string {
  return table(
    ["VERSION", "DIGEST", "BYTES", "SIGNED BY", "UPLOADED", "USED AS", "FLAGS"],
    versions.map((one) => [
      one.version,
      shortDigest(one.digest),
      one.size,
      one.signedBy.name,
      one.uploadedAt,
      one.uses.join(", ") || "-",
      one.flags.join(", ") || "-",
    ]),
  );
}

export function versionText(one: VersionView): string {
  const { fuelBase, fuelPerByte, memoryPagesMax } = one.limits;
  return lines([
    ["plugin", `${one.name} ${one.version} (${one.status})`],
    ["digest", one.digest],
    ["signed by", `${one.signedBy.name} ${one.signedBy.id}`],
    ["imports", one.capabilities.join(", ") || "nothing"],
    [
      "budget",
      `${fuelBase} + ${fuelPerByte} a byte fuel a call, ${memoryPagesMax * 64} KiB memory`,
    ],
    ["used as", one.uses.join(", ") || "nothing"],
    ...one.flags.map((flag): [string, string] => ["flag", flag]),
  ]);
}

export function activationText(one: ActivationView): string {
  return lines([
    ["plugin", one.name],
    ["active", one.active?.version ?? "none"],
    ["last good", one.lastKnownGood?.version ?? "none"],
    ...one.draining.map((row): [string, string] => [
      "draining",
      `${row.version} until ${row.until}`,
    ]),
    ...(one.watchedUntil === null ? [] : [["watched", `until ${one.watchedUntil}`] as const]),
  ]);
}

export function trialTable(all: TrialView[]): string {
  return table(
    ["ID", "KIND", "VERSION", "PERCENT", "STATE", "CONNECTIONS", "COMPARED", "DIFFERENT", "FAULTS"],
    all.map((one) => [
      one.id,
      one.kind,
      one.version,
      one.percent,
      one.state,
      one.result?.connections ?? "-",
      one.result?.compared ?? "-",
      one.result?.differences ?? "-",
      one.result?.faults ?? "-",
    ]),
  );
}

export function trialText(one: TrialView): string {
  const { result } = one;
  const skipped = Object.entries(result?.skipped ?? {}).map(([why, count]) => `${why} ${count}`);
  const samples = result?.samples ?? [];
  return lines([
    ["trial", `${one.id}: ${one.kind} of ${one.plugin} ${one.version}, ${one.percent} %`],
    ["state", one.reason === undefined ? one.state : `${one.state}: ${one.reason}`],
    ["policies", one.policies.join(", ") || "all"],
    ["compared", `${result?.compared ?? 0} calls, skipped ${skipped.join(", ") || "none"}`],
    ["fuel", `${result?.fuelTried ?? 0} against ${result?.fuelActive ?? 0}`],
    ...samples.map((sample): [string, string] => [
      "different",
      `${sample.direction} byte ${sample.offset}, ${sample.what}: ` +
        `active ${sample.active}, tried ${sample.tried}`,
    ]),
  ]);
}

export function instanceTable(all: InstanceView[]): string {
  return table(
    ["WORKER", "PLUGIN", "VERSION", "TENANT", "CONNECTIONS", "KIB", "CALLS", "FUEL", "IDLE S"],
    all.map((one) => [
      one.worker,
      one.plugin || shortDigest(one.digest),
      one.version || "-",
      one.tenant,
      one.connections,
      Math.round(one.memoryBytes / 1024),
      one.calls,
      one.fuel,
      (one.idleMs / 1000).toFixed(1),
    ]),
  );
}

/** A plugin's own words must not steer the terminal. */
export function logText(one: LogLineView): string {
  const message = one.message.replace(/\p{Cc}/gu, "\u{fffd}");
  return `${one.time} ${one.level.padEnd(5)} ${one.plugin} ${one.version} ${message}\n`;
}

export function keyTable(all: KeyView[]): string {
  return table(
    ["NAME", "STATE", "PLUGINS", "UNTIL", "ID"],
    all.map((one) => [
      one.name,
      one.state,
      one.plugins.join(","),
      one.notAfter ?? "-",
      shortDigest(one.id),
    ]),
  );
}

export function lines(rows: readonly (readonly [string, string])[]): string {
  return rows.map(([name, value]) => `${name.padEnd(10)} ${value}\n`).join("");
}
