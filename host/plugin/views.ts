/** Versions, activations, trials and keys as the admin API shows them. */
import type { InstanceStatus } from "../../runtime/contract/control.ts";
import type { CaseView, RecordingView } from "../admin/case-schema.ts";
import type {
  ActivationView,
  InstanceView,
  KeyView,
  TrialView,
  VersionView,
} from "../admin/plugin-schema.ts";
import type { Activation } from "./activations.ts";
import type { CaseEntry } from "./case-files.ts";
import { UntrustedError } from "./errors.ts";
import type { InstalledVersion, InstalledVersions } from "./installed-versions.ts";
import type { RecordingEntry } from "./recordings.ts";
import type { TrialRecord } from "./trials.ts";
import type { Trust, TrustedKey } from "./trust.ts";

export const timeText = (time: number): string => new Date(time).toISOString();

export function versionView(
  row: InstalledVersion,
  parts: { uses: string[]; flags: string[] },
): VersionView {
  const { description, status, securityPosture, contract, capabilities, limits } = row.manifest;
  return {
    ...{ name: row.name, version: row.version, digest: row.digest, size: row.size },
    ...{ description, status, securityPosture, contract, capabilities, limits },
    ...{ granted: row.granted, signedBy: row.signedBy, uploadedAt: timeText(row.uploadedAt) },
    ...parts,
  };
}

/** What an operator should look at: running versions are flagged, not stopped. */
export function flagsOf(
  row: InstalledVersion,
  { installed, trust, now }: { installed: InstalledVersions; trust: Trust; now: number },
): string[] {
  try {
    trust.check(installed.claims(row.digest), now);
    return [];
  } catch (error) {
    if (!(error instanceof UntrustedError)) return ["damaged"];
    if (error.reason === "revoked") return ["key-revoked"];
    return [error.reason === "no-longer-valid" ? "key-expired" : "untrusted"];
  }
}

export function activationView(row: Activation, installed: InstalledVersions): ActivationView {
  const named = (digest: string): { version: string; digest: string } => ({
    version: installed.byDigest(digest)?.version ?? "removed",
    digest,
  });
  const good = row.good.at(-1);
  return {
    name: row.name,
    active: row.active === undefined ? null : named(row.active),
    lastKnownGood: good === undefined ? null : named(good),
    draining: row.draining.map(({ digest, until }) => ({
      ...named(digest),
      until: timeText(until),
    })),
    watchedUntil: row.watch === undefined ? null : timeText(row.watch.until),
    history: row.history.map((entry) => ({ ...entry, time: timeText(entry.time) })),
  };
}

export function trialView(row: TrialRecord): TrialView {
  const { id, name, kind, version, digest, against, policies, stopOn, state } = row;
  return {
    ...{ id, plugin: name, kind, version, digest, against, policies, stopOn, state },
    percent: row.share / 10,
    startedAt: timeText(row.startedAt),
    ...(row.endedAt === undefined ? {} : { endedAt: timeText(row.endedAt) }),
    ...(row.reason === undefined ? {} : { reason: row.reason }),
    result: row.status === undefined ? null : resultView(row.status),
  };
}

function resultView(status: NonNullable<TrialRecord["status"]>): TrialView["result"] {
  const { id: _, stopped: __, samples, ...numbers } = status;
  return {
    ...numbers,
    samples: samples.map((sample) => ({ ...sample, time: timeText(sample.time) })),
  };
}

export function keyView(row: TrustedKey, now: number): KeyView {
  const { name, id, publicPem, plugins, addedAt, notBefore, notAfter, revokedAt } = row;
  const state = (): KeyView["state"] => {
    if (revokedAt !== undefined) return "revoked";
    if (notBefore !== undefined && now < notBefore) return "not-yet-valid";
    return notAfter !== undefined && now > notAfter ? "no-longer-valid" : "valid";
  };
  return {
    ...{ name, id, publicKey: publicPem, plugins, addedAt: timeText(addedAt) },
    ...(notBefore === undefined ? {} : { notBefore: timeText(notBefore) }),
    ...(notAfter === undefined ? {} : { notAfter: timeText(notAfter) }),
    ...(revokedAt === undefined ? {} : { revokedAt: timeText(revokedAt) }),
    state: state(),
  };
}

export function instanceView(
  { digest, ...numbers }: InstanceStatus,
  installed: InstalledVersions,
): InstanceView {
  const row = installed.byDigest(digest);
  return { plugin: row?.name ?? "", version: row?.version ?? "", digest, ...numbers };
}

export function recordingView({ until, ...entry }: RecordingEntry): RecordingView {
  return { ...entry, until: timeText(until) };
}

export function caseView({
  time,
  flow,
  ...entry
}: CaseEntry & { flow?: string | undefined }): CaseView {
  return { ...entry, time: timeText(time), flow: flow ?? null };
}
