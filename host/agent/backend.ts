/**
 * The agent's parts as the admin API wants them (host/admin/types.ts). Joins views, decides
 * nothing.
 */
import { create } from "@bufbuild/protobuf";
import { timestampFromDate } from "@bufbuild/protobuf/wkt";
import type { ProxyStatus } from "../../runtime/contract/control.ts";
import type { AuditLog } from "../admin/audit-log.ts";
import { ProblemError } from "../admin/problem.ts";
import type {
  AdminBackend,
  AgentStatus,
  FlowQuery,
  IdentityView,
  PolicyView,
} from "../admin/types.ts";
import type { Datapath, PolicyMapEntry } from "../datapath/types.ts";
import type { Endpoints } from "../endpoint/endpoints.ts";
import type { HostEndpoint } from "../endpoint/host-endpoint.ts";
import type { Endpoint } from "../endpoint/types.ts";
import type { Enforcer } from "../enforce/enforcer.ts";
import type { Planner } from "../enforce/planner.ts";
import type { PolicyService } from "../enforce/policies.ts";
import { formatJson } from "../hubble/format/json.ts";
import { GetFlowsRequestSchema } from "../hubble/gen/observer/observer_pb.ts";
import type { Observer } from "../hubble/observer.ts";
import type { IdentityAllocator } from "../identity/allocator.ts";
import { formatLabel } from "../identity/label.ts";
import { identityKind } from "../identity/ranges.ts";
import type { Plugins } from "../plugin/plugins.ts";
import { createPluginStates } from "../plugin/states.ts";
import { policyNames } from "../policy/explain/text.ts";
import type { HostAccess } from "../policy/lookup.ts";
import type { Prefilter } from "../prefilter/prefilter.ts";
import type { ProxySupervisor } from "../proxy/supervisor.ts";
import type { LeasedKeys } from "../store/leased-keys.ts";
import type { ApiCertificate } from "./api-certificate.ts";
import type { Attachments } from "./attachments.ts";
import type { Cluster } from "./cluster.ts";
import type { CtCollector } from "./ct-collector.ts";
import type { EventPump } from "./event-pump.ts";
import { createExplainBackend } from "./policy-explain.ts";
import type { PolicyFolder } from "./policy-folder.ts";
import { sharedAsk } from "./shared-ask.ts";

export interface BackendDeps {
  version: string;
  node: string;
  startedAt: Date;
  endpoints: Endpoints;
  /** Undefined: the node has no policy of its own. */
  host: HostEndpoint | undefined;
  policies: PolicyService;
  enforcer: Enforcer;
  /** Entries that a policy map holds. */
  policyEntriesMax: number;
  hostAccess: HostAccess;
  identities: IdentityAllocator;
  planner: Planner;
  datapath: Datapath;
  proxy: ProxySupervisor;
  prefilter: Prefilter;
  pump: EventPump;
  connections: CtCollector;
  observer: Observer;
  folder: PolicyFolder | undefined;
  cluster: Cluster;
  plugins: Plugins;
  audit: AuditLog;
  /** Undefined: the API is not served over TCP. */
  certificate: ApiCertificate | undefined;
  leased: Pick<LeasedKeys, "trouble">;
  attachments: Pick<Attachments, "troubles">;
  stop: () => void;
}

/** Undefined while there is no proxy. */
type AskProxy = () => Promise<ProxyStatus | undefined>;

export function createBackend(deps: BackendDeps): AdminBackend {
  const { policies, datapath, planner, proxy } = deps;
  const withPolicies = (entry: PolicyMapEntry) => ({
    ...entry,
    allowedBy: policyNames(planner.originsOf(entry.cookie)),
  });
  const askProxy = sharedAsk(() => proxy.status());
  return {
    status: () => status(deps, askProxy),
    endpoints: endpointBackend(deps),
    policies: {
      list: () => policyViews(deps, askProxy),
      validate: (files, forApply) => policies.validate(files, forApply),
      apply: (files, options) => policies.apply(files, options),
      confirm: () => policies.confirm(),
      delete: async (kind, namespace, name, options) => {
        refuseOwned(deps, kind, namespace, name);
        return policies.delete(kind, namespace, name, options);
      },
    },
    explain: createExplainBackend({ ...deps, endpoints: withHost(deps) }),
    identities: () => identityViews(deps),
    flows: (query, signal) => flows(deps, query, signal),
    kernel: {
      policy: (endpoint) => datapath.listPolicy(endpoint).map(withPolicies),
      ct: () => datapath.listCt(),
      ipcache: () => datapath.listIpcache(),
      lookupPolicy: (endpoint, question) => {
        const entry = datapath.lookupPolicy(endpoint, question);
        return entry && withPolicies(entry);
      },
      lookupCt: (tuple) => datapath.lookupCt(tuple),
      lookupIpcache: (address) => datapath.lookupIpcache(address),
      collectCt: () => deps.connections.collect(),
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

/** All that have a policy: the pods, and the node itself if it may have one. */
function withHost({
  endpoints,
  host,
}: Pick<BackendDeps, "endpoints" | "host">): Pick<Endpoints, "list" | "get" | "subjects"> {
  return {
    list: () => [...endpoints.list(), ...(host ? [host.view()] : [])],
    get: (reference) => (host?.answersTo(reference) ? host.view() : endpoints.get(reference)),
    subjects: () => [...endpoints.subjects(), ...(host ? [host.subject()] : [])],
  };
}

function endpointBackend(deps: BackendDeps): AdminBackend["endpoints"] {
  const { endpoints, host, policies, enforcer } = deps;
  const all = withHost(deps);
  // What cannot be put in force is shown by the endpoint's state and by status, and tried again.
  const refresh = (): Promise<void> => policies.refresh().catch(() => {});
  const view = (one: Endpoint): Endpoint =>
    one.trouble === undefined && enforcer.overflows.some(({ endpoint }) => endpoint === one.id)
      ? { ...one, state: "policy-overflow" }
      : one;
  const hostOf = (reference: string): HostEndpoint | undefined =>
    host?.answersTo(reference) ? host : undefined;
  return {
    list: () => all.list().map(view),
    get: (reference) => view(all.get(reference)),
    create: async (spec) => {
      const { id } = await endpoints.create(spec);
      await refresh();
      return view(endpoints.get(String(id)));
    },
    relabel: async (reference, changes) => {
      hostOf(reference)?.refuse("label");
      const { id } = endpoints.get(reference);
      return endpoints.relabel(id, changes, () => policies.refresh());
    },
    configure: (reference, { policyAuditMode }) =>
      view(
        hostOf(reference)?.setAudit(policyAuditMode) ??
          endpoints.setAudit(endpoints.get(reference).id, policyAuditMode),
      ),
    delete: async (reference) => {
      hostOf(reference)?.refuse("delete");
      const { id } = endpoints.get(reference);
      const gone = await endpoints.delete(id);
      enforcer.forget(id);
      await refresh();
      return gone;
    },
  };
}

async function status(deps: BackendDeps, askProxy: AskProxy): Promise<AgentStatus> {
  const { endpoints, policies, enforcer, datapath } = deps;
  const features = datapath.features();
  const proxyStatus = await askProxy();
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
      policyOverflows: enforcer.overflows.length,
      rss: process.memoryUsage.rss(),
    },
    proxy:
      proxyStatus === undefined
        ? undefined
        : { ...proxyStatus, startedAt: new Date(proxyStatus.startedAt).toISOString() },
    features,
    conntrack: deps.connections.status(),
    degraded: [
      ...features.filter((one) => !one.available).map((one) => `${one.name}: ${one.detail}`),
      ...[enforcer.enforcement.trouble].filter((text) => text !== undefined),
      ...[
        deps.proxy.trouble,
        deps.audit.trouble,
        deps.certificate?.trouble,
        deps.leased.trouble,
        deps.connections.trouble,
      ].filter((text) => text !== undefined),
      ...deps.attachments.troubles,
      ...endpoints.troubles,
      ...deps.prefilter.troubles,
      ...policies.conflicts,
      // Several policies may have a part in the same.
      ...new Set(
        policies
          .conditions(createPluginStates(deps.plugins.view, proxyStatus))
          .map(({ message }) => message),
      ),
      ...deps.cluster.troubles,
      ...(deps.folder?.errors ?? []).map((one) => `${one.file}: ${one.path} ${one.message}`),
    ],
  };
}

/** With what keeps each from being in force as written. */
async function policyViews(
  { policies, plugins }: BackendDeps,
  askProxy: AskProxy,
): Promise<PolicyView[]> {
  const conditions = policies.conditions(createPluginStates(plugins.view, await askProxy()));
  return policies.list().map((view) => ({
    ...view,
    conditions: conditions
      .filter(({ policy }) => isSame(policy, view))
      .map(({ policy: _, ...condition }) => condition),
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
      kind: identityKind(id),
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
