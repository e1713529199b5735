/**
 * The plugins of this node, put together: packages, trust, lifecycle, and the sides that look at
 * them: the enforcer (`view`, `recordings`), the admin API (`backend`), the record stream (`log`,
 * `cases`).
 */
import { join } from "node:path";
import type { Logger } from "pino";
import type { InstanceStatus, ProxyStatus } from "../../runtime/contract/control.ts";
import type { PluginBackend } from "../admin/plugin-types.ts";
import type { L7Record } from "../event/types.ts";
import type { L7Rules } from "../policy/types.ts";
import type { Store } from "../store/store.ts";
import { createPluginBackend } from "./backend.ts";
import { CaseFiles } from "./case-files.ts";
import { Cases } from "./cases.ts";
import { CatalogView, type PluginCatalogView } from "./catalog-view.ts";
import { InstalledVersions } from "./installed-versions.ts";
import { machineKey } from "./key-files.ts";
import { PluginLifecycle } from "./lifecycle.ts";
import { PackageFiles } from "./package-files.ts";
import { PluginLog } from "./plugin-log.ts";
import { Recordings } from "./recordings.ts";
import { Trust } from "./trust.ts";

export interface PluginsDeps {
  log: Logger;
  store: Store;
  stateDir: string;
  /** Holds `<name>/plugin.wasm` of the plugins that ship with this tree. */
  shippedDir: string;
  /** Undefined while there is no proxy. */
  proxyStatus: () => Promise<ProxyStatus | undefined>;
  /** Empty while there is no proxy. */
  proxyInstances: () => Promise<InstanceStatus[]>;
  /** Makes a form of every rule set in force that asks for `name`. Throws naming the policy. */
  compileAll: (name: string, digest: string) => void;
  /** Ids of the rule sets in force that these policies have with `name`. */
  ruleSetsOf: (name: string, policies: readonly string[]) => number[];
  /** References (`NAME`, `NAME@VERSION`) of the policies in force. */
  references: () => Iterable<string>;
  /** Rules of a rule set in force; undefined: there is none. */
  rulesOf: (ruleSet: number) => L7Rules["rules"] | undefined;
  /** Of the flow with this time. */
  flowUuid: (time: bigint) => string;
  /** What the flow with this uuid tells of; undefined: it is gone, or no message. */
  recordOf: (uuid: string) => L7Record | undefined;
  /** Puts `recordings` in force; settles when every worker has them. */
  applyRecordings: () => Promise<void>;
  /** Milliseconds since 1970. */
  now?: () => number;
}

export interface Plugins {
  view: PluginCatalogView;
  backend: PluginBackend;
  log: PluginLog;
  recordings: Recordings;
  cases: Cases;
  /** Goes on with trials and watches; call once the proxy and the policies are there. */
  start(): void;
  close(): void;
}

/** Takes up what the store knows and installs what ships. Throws when that cannot be installed. */
export function createPlugins(deps: PluginsDeps): Plugins {
  const { store, stateDir, proxyStatus, proxyInstances, ruleSetsOf } = deps;
  const now = deps.now ?? Date.now;
  const trust = new Trust(store);
  const files = new PackageFiles(join(stateDir, "plugins"));
  const installed = new InstalledVersions({ store, files, trust, now });
  const lifecycle = new PluginLifecycle({ ...deps, versions: installed, trust, now });
  lifecycle.adoptShipped(installed.installShipped(deps.shippedDir, machineKey(stateDir)));
  const log = new PluginLog();
  const view = new CatalogView({ installed, lifecycle, ruleSetsOf });
  const recordings = new Recordings({ now, ruleSetsOf, apply: deps.applyRecordings });
  const cases = new Cases({
    ...{ log: deps.log, rulesOf: deps.rulesOf, flowUuid: deps.flowUuid },
    recordOf: deps.recordOf,
    files: new CaseFiles(join(stateDir, "cases"), now),
    manifestOf: (digest) => view.manifestOf(digest),
  });
  const parts = { recordings, cases, installed, lifecycle, trust, log, now };
  return {
    view,
    backend: createPluginBackend({ ...parts, proxyStatus, proxyInstances }),
    ...{ log, recordings, cases },
    start: () => lifecycle.start(),
    close: () => lifecycle.close(),
  };
}
