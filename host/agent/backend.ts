/**
 * The agent's parts as the admin API wants them (host/admin/types.ts). Joins views, decides
 * nothing.
 */
import { create } from "@bufbuild/protobuf";
import { timestampFromDate } from "@bufbuild/protobuf/wkt";
import type { AuditLog } from "../admin/audit-log.ts";
import { ProblemError } from "../admin/problem.ts";
import type {
  AdminBackend,
  AgentStatus,
  FlowQuery,
  IdentityView,
  PolicyView,
} from "../admin/types.ts";
import type { Datapath } from "../datapath/types.ts";
import type { Endpoints } from "../endpoint/endpoints.ts";
import type { Enforcer } from "../enforce/enforcer.ts";
import type { Planner } from "../enforce/planner.ts";
import type { PolicyService } from "../enforce/policies.ts";
import { formatJson } from "../hubble/format/json.ts";
import { GetFlowsRequestSchema } from "../hubble/gen/observer/observer_pb.ts";
import type { Observer } from "../hubble/observer.ts";
import type { IdentityAllocator } from "../identity/allocator.ts";
import { formatLabel } from "../identity/label.ts";
import type { Plugins } from "../plugin/plugins.ts";
import { createPluginStates } from "../plugin/states.ts";
import type { Prefilter } from "../prefilter/prefilter.ts";
import type { ProxySupervisor } from "../proxy/supervisor.ts";
import type { EventPump } from "./event-pump.ts";
import type { PolicyFolder } from "./policy-folder.ts";

export interface BackendDeps {
  version: string;
  node: string;
  startedAt: Date;
  endpoints: Endpoints;
  policies: PolicyService;
  enforcer: Enforcer;
  identities: IdentityAllocator;
  planner: Planner;
  datapath: Datapath;
  proxy: ProxySupervisor;
  prefilter: Prefilter;
  pump: EventPump;
  observer: Observer;
  folder: PolicyFolder | undefined;
  plugins: Plugins;
  audit: AuditLog;
  stop: () => void;
}

export function createBackend(deps: BackendDeps): AdminBackend {
  const { policies, datapath, planner, proxy } = deps;
  return {
    status: () => status(deps),
    endpoints: endpointBackend(deps),
    policies: {
      list: () => policyViews(deps),
      validate: (files) => policies.validate(files),
      apply: (files, wait) => policies.apply(files, wait),
      delete: async (kind, namespace, name, wait) => {
        refuseOwned(deps, kind, namespace, name);
        return policies.delete(kind, namespace, name, wait);
      },
    },
    identities: () => identityViews(deps),
    flows: (query, signal) => flows(deps, query, signal),
    kernel: {
      policy: (endpoint) =>
        datapath.listPolicy(endpoint).map((entry) => ({
          ...entry,
          allowedBy: planner.originsOf(entry.cookie).map((origin) => origin.name),
        })),
      ct: () => datapath.listCt(),
      ipcache: () => datapath.listIpcache(),
    },
    prefilter: deps.prefilter,
    upgradeProxy: (drainSeconds) => proxy.upgrade(drainSeconds * 1000),
    stop: () => deps.stop(),
  };
}

/** A policy of the watched folder would come back with the next change of a file. */
function refuseOwned(
  { policies, folder }: BackendDeps,
  kind: string,
  namespace: string,
  name: string,
): void {
  const view = policies.list().find((one) => isSame(one, { kind, namespace, name }));
  if (view === undefined || folder?.owns(view.source) !== true) return;
  throw new ProblemError(
    409,
    `Cannot delete ${kind} ${namespace}/${name}: ${view.source} keeps it in force; remove it there`,
  );
}

function endpointBackend({
  endpoints,
  policies,
  enforcer,
}: BackendDeps): AdminBackend["endpoints"] {
  // What cannot be put in force is shown by the endpoint's state and by status, and tried again.
  const refresh = (): Promise<void> => policies.refresh().catch(() => {});
  return {
    list: () => endpoints.list(),
    get: (reference) => endpoints.get(reference),
    create: async (spec) => {
      const { id } = await endpoints.create(spec);
      await refresh();
      return endpoints.get(String(id));
    },
    delete: async (reference) => {
      const { id } = endpoints.get(reference);
      const gone = await endpoints.delete(id);
      enforcer.forget(id);
      await refresh();
      return gone;
    },
  };
}

async function status(deps: BackendDeps): Promise<AgentStatus> {
  const { endpoints, policies, enforcer, datapath } = deps;
  const features = datapath.features();
  const proxyStatus = await deps.proxy.status();
  return {
    agent: {
      version: deps.version,
      pid: process.pid,
      startedAt: deps.startedAt.toISOString(),
      node: deps.node,
      policyRevision: policies.revision,
      enforcedRevision: enforcer.enforcement.revision,
      endpoints: endpoints.list().length,
      policies: policies.size,
      rss: process.memoryUsage.rss(),
    },
    proxy:
      proxyStatus === undefined
        ? undefined
        : { ...proxyStatus, startedAt: new Date(proxyStatus.startedAt).toISOString() },
    features,
    degraded: [
      ...features.filter((one) => !one.available).map((one) => `${one.name}: ${one.detail}`),
      ...[enforcer.enforcement.trouble].filter((text) => text !== undefined),
      ...[deps.proxy.trouble, deps.audit.trouble].filter((text) => text !== undefined),
      ...deps.prefilter.troubles,
      ...policies.conflicts,
      ...policies
        .conditions(createPluginStates(deps.plugins.view, proxyStatus))
        .map(({ message }) => message),
      ...(deps.folder?.errors ?? []).map((one) => `${one.file}: ${one.path} ${one.message}`),
    ],
  };
}

/** With what keeps each from being in force as written. */
async function policyViews({ policies, plugins, proxy }: BackendDeps): Promise<PolicyView[]> {
  const conditions = policies.conditions(createPluginStates(plugins.view, await proxy.status()));
  return policies.list().map((view) => ({
    ...view,
    conditions: conditions
      .filter(({ policy }) => isSame(policy, view))
      .map(({ type, plugin, message }) => ({ type, plugin, message })),
  }));
}

function isSame(
  a: Pick<PolicyView, "kind" | "namespace" | "name">,
  b: Pick<PolicyView, "kind" | "namespace" | "name">,
): boolean {
  return a.kind === b.kind && a.namespace === b.namespace && a.name === b.name;
}

function identityViews({ identities, endpoints }: BackendDeps): IdentityView[] {
  const users = new Map<number, number>();
  for (const { identity } of endpoints.records()) {
    users.set(identity, (users.get(identity) ?? 0) + 1);
  }
  return identities
    .list()
    .map(({ id, labels }) => ({
      id,
      labels: labels.map(formatLabel),
      endpoints: users.get(id) ?? 0,
    }))
    .sort((a, b) => a.id - b.id);
}

async function* flows(
  { pump, observer }: BackendDeps,
  query: FlowQuery,
  signal: AbortSignal,
): AsyncGenerator<string> {
  // A request just answered has left its events in the kernel's ring; they belong to the answer.
  pump.drain();
  // To the API 0 means all.
  if (query.last === 0 && !query.follow) return;
  const request = create(GetFlowsRequestSchema, {
    number: BigInt(query.last ?? 0),
    follow: query.follow,
    ...(query.since === undefined ? {} : { since: timestampFromDate(new Date(query.since)) }),
    ...(query.until === undefined ? {} : { until: timestampFromDate(new Date(query.until)) }),
  });
  for await (const response of observer.getFlows(request, signal)) yield formatJson(response);
}
