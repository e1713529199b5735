/** The plugins of this node as the admin API wants them (host/admin/plugin-types.ts). */
import type { InstanceStatus, ProxyStatus } from "../../runtime/contract/control.ts";
import type {
  ActivationRequest,
  PluginView,
  PromoteRequest,
  TrialRequest,
  VersionView,
} from "../admin/plugin-schema.ts";
import type { PluginBackend } from "../admin/plugin-types.ts";
import type { Cases } from "./cases.ts";
import { PluginRequestError } from "./errors.ts";
import {
  GRANT_DEFAULT,
  type InstalledVersion,
  type InstalledVersions,
} from "./installed-versions.ts";
import type { ActivateOptions, PluginLifecycle } from "./lifecycle.ts";
import { metricsText } from "./metrics.ts";
import type { PluginLog } from "./plugin-log.ts";
import type { Recordings } from "./recordings.ts";
import type { Trust } from "./trust.ts";
import {
  activationView,
  caseView,
  flagsOf,
  instanceView,
  keyView,
  recordingView,
  trialView,
  versionView,
} from "./views.ts";

export interface PluginBackendDeps {
  installed: InstalledVersions;
  lifecycle: PluginLifecycle;
  trust: Trust;
  log: PluginLog;
  recordings: Recordings;
  cases: Cases;
  /** Milliseconds since 1970. */
  now: () => number;
  /** Undefined while there is no proxy. */
  proxyStatus: () => Promise<ProxyStatus | undefined>;
  proxyInstances: () => Promise<InstanceStatus[]>;
}

export function createPluginBackend(deps: PluginBackendDeps): PluginBackend {
  const { installed, lifecycle, log } = deps;
  const view = (row: InstalledVersion): VersionView => {
    const flags = flagsOf(row, { ...deps, now: deps.now() });
    return versionView(row, { uses: lifecycle.usesOf(row), flags });
  };
  const activation = (name: string) => {
    known(deps, name);
    return activationView(lifecycle.activationOf(name), installed);
  };
  return {
    list: () => pluginNames(deps).map((name) => pluginView(deps, view, name)),
    get: (name) => pluginView(deps, view, known(deps, name)),
    install: (file, granted) => {
      const { row, created } = installed.install(file, granted ?? GRANT_DEFAULT);
      return { view: view(row), created };
    },
    version: (name, version) => view(installed.get(name, version)),
    package: (name, version) => installed.package(installed.get(name, version).digest).file,
    remove: async (name, version) => {
      const before = view(installed.get(name, version));
      await lifecycle.remove(name, version);
      return before;
    },
    activation,
    activate: async (name, request) => {
      await lifecycle.activate(name, request.version, optionsOf(request));
      return activation(name);
    },
    rollBack: async (name, drainSeconds) => {
      await lifecycle.rollBack(known(deps, name), drainSeconds * 1000);
      return activation(name);
    },
    ...trialBackend(deps),
    instances: async () =>
      (await deps.proxyInstances()).map((instance) => instanceView(instance, installed)),
    logs: (name, { last, follow }, signal) =>
      follow ? log.follow(name, last, signal) : eachOf(log.last(name, last)),
    ...evidenceBackend(deps),
    keys: keyBackend(deps),
    metrics: () => metricsText(deps),
  };
}

function trialBackend(
  deps: PluginBackendDeps,
): Pick<PluginBackend, "trials" | "trial" | "startTrial" | "promote" | "abort"> {
  const { lifecycle } = deps;
  return {
    trials: (name) => lifecycle.trialsOf(known(deps, name)).map(trialView),
    trial: async (name, id) => {
      await lifecycle.look();
      const trial = lifecycle.trialsOf(name).find((one) => one.id === id);
      if (trial !== undefined) return trialView(trial);
      throw new PluginRequestError(404, `Cannot find trial ${id} of ${name}`);
    },
    startTrial: async (name, request) =>
      trialView(await lifecycle.startTrial(name, trialSpec(request))),
    promote: async (name, id, request) =>
      trialView(await lifecycle.promote(name, id, optionsOf(request))),
    abort: async (name, id) => trialView(await lifecycle.abort(name, id)),
  };
}

function evidenceBackend(deps: PluginBackendDeps): Pick<PluginBackend, "recordings" | "cases"> {
  const { recordings, cases } = deps;
  return {
    recordings: {
      list: (name) => recordings.list(known(deps, name)).map(recordingView),
      start: async (name, { seconds, ...request }) => {
        const forMs = seconds * 1000;
        return recordingView(await recordings.start(known(deps, name), { ...request, forMs }));
      },
      stop: async (name) => (await recordings.stop(known(deps, name))).map(recordingView),
    },
    cases: {
      list: () => cases.list().map(caseView),
      get: (reference) => cases.get(reference),
      remove: (reference) => caseView(cases.remove(reference)),
    },
  };
}

function keyBackend({ trust, now }: PluginBackendDeps): PluginBackend["keys"] {
  return {
    list: () => trust.list().map((row) => keyView(row, now())),
    trust: ({ name, publicKey, plugins, notBefore, notAfter }) => {
      const terms = {
        ...(notBefore === undefined ? {} : { notBefore: Date.parse(notBefore) }),
        ...(notAfter === undefined ? {} : { notAfter: Date.parse(notAfter) }),
      };
      const key = { name, publicPem: publicKey, plugins, ...terms };
      const { row, created } = trust.add(key, now());
      return { view: keyView(row, now()), created };
    },
    revoke: (name) => keyView(trust.revoke(name, now()), now()),
    remove: (name) => keyView(trust.remove(name), now()),
  };
}

function pluginNames({ installed }: PluginBackendDeps): string[] {
  return [...new Set(installed.list().map(({ name }) => name))];
}

function known(deps: PluginBackendDeps, name: string): string {
  if (pluginNames(deps).includes(name)) return name;
  throw new PluginRequestError(404, `Cannot find plugin ${name}: no version of it is installed`);
}

function pluginView(
  { installed, lifecycle }: PluginBackendDeps,
  view: (row: InstalledVersion) => VersionView,
  name: string,
): PluginView {
  const { active, lastKnownGood } = activationView(lifecycle.activationOf(name), installed);
  return {
    ...{ name, active, lastKnownGood, trial: lifecycle.runningTrial(name)?.id ?? null },
    versions: installed
      .list()
      .filter((row) => row.name === name)
      .map(view),
  };
}

function optionsOf(request: ActivationRequest | PromoteRequest): ActivateOptions {
  return {
    allowDowngrade: "allowDowngrade" in request && request.allowDowngrade,
    drainMs: request.drainSeconds * 1000,
    watchMs: request.watchSeconds * 1000,
    watchFaults: request.watchFaults,
  };
}

function trialSpec({ percent, ...request }: TrialRequest) {
  return { ...request, share: Math.round(percent * 10) };
}

async function* eachOf<T>(items: readonly T[]): AsyncGenerator<T> {
  yield* items;
}
