/**
 * Explains policies with what this agent knows: its endpoints and identities, the kernel's maps and
 * the flows it remembers. The explaining itself is pure (host/policy/explain).
 */
import { create } from "@bufbuild/protobuf";
import type {
  EndpointPolicy,
  ExplainBackend,
  Explained,
  PolicyChange,
  TraceRequest,
} from "../admin/explain-types.ts";
import { ENDPOINT_HOST } from "../datapath/layout.ts";
import type { Datapath } from "../datapath/types.ts";
import type { Endpoints } from "../endpoint/endpoints.ts";
import type { PolicyPreview, PolicyService } from "../enforce/policies.ts";
import type { OriginLookup } from "../enforce/types.ts";
import { GetFlowsRequestSchema } from "../hubble/gen/observer/observer_pb.ts";
import type { Observer } from "../hubble/observer.ts";
import type { IdentityAllocator } from "../identity/allocator.ts";
import type { PrefixLabels } from "../identity/prefix-labels.ts";
import { finishInTurns } from "../piecework.ts";
import { diffPolicies } from "../policy/explain/diff.ts";
import type { DiffView } from "../policy/explain/diff-types.ts";
import { findEnd, type KnownWorld } from "../policy/explain/end.ts";
import { explainEndpoint } from "../policy/explain/endpoint-policy.ts";
import { type InstalledMap, withInstalled } from "../policy/explain/installed.ts";
import { parsePorts } from "../policy/explain/port.ts";
import { traceConnection, withDirections } from "../policy/explain/trace.ts";
import type { TraceEnd, TraceView } from "../policy/explain/types.ts";
import type { HostAccess } from "../policy/lookup.ts";
import type { EventPump } from "./event-pump.ts";
import { seenFlow } from "./seen-flow.ts";
import { WaitingLine } from "./waiting-line.ts";

export interface PolicyExplainDeps {
  policies: Pick<PolicyService, "preview" | "revision">;
  endpoints: Pick<Endpoints, "list" | "get" | "subjects">;
  identities: Pick<IdentityAllocator, "list">;
  planner: OriginLookup;
  datapath: Pick<Datapath, "listPolicy" | "listIpcache">;
  pump: Pick<EventPump, "drain">;
  observer: Pick<Observer, "getFlows">;
  /** Entries that a policy map holds. */
  policyEntriesMax: number;
  hostAccess: HostAccess;
}

const DIFFS_WAITING_MAX = 4;

export function createExplainBackend(deps: PolicyExplainDeps): ExplainBackend {
  const diffs = new WaitingLine(DIFFS_WAITING_MAX);
  return {
    trace: (request) => explained(deps, request, (preview) => trace(deps, request, preview)),
    diff: (change) => diffs.run(() => diff(deps, change)),
    endpoint: (reference) => endpointPolicy(deps, reference),
  };
}

function explained<T>(
  { policies }: PolicyExplainDeps,
  change: PolicyChange,
  view: (preview: PolicyPreview) => T,
): Explained<T> {
  const preview = policies.preview(change);
  const { errors, warnings } = preview;
  return errors.length > 0 ? { errors, warnings } : { errors: [], warnings, view: view(preview) };
}

async function diff(deps: PolicyExplainDeps, change: PolicyChange): Promise<Explained<DiffView>> {
  const flows = await recentFlows(deps);
  const compared = explained(deps, change, ({ before, after, mode }) => {
    const subjects = deps.endpoints.subjects();
    const identities = deps.identities.list();
    const { policyEntriesMax: entriesMax, hostAccess } = deps;
    const sides = { before: before.rules, after: after.rules };
    const labels = { labelsBefore: before.labels, labelsAfter: after.labels };
    return diffPolicies(
      { ...sides, ...labels, mode, hostAccess, subjects, identities, entriesMax },
      flows,
    );
  });
  const { warnings, view } = compared;
  if (view === undefined) return { errors: compared.errors, warnings };
  return { errors: [], warnings, view: await finishInTurns(view) };
}

function trace(
  deps: PolicyExplainDeps,
  request: TraceRequest,
  { after: { rules, labels }, mode, cluster }: PolicyPreview,
): TraceView {
  const world = worldOf(deps, cluster, labels);
  const source = findEnd(request.source, world, 0);
  const destination = findEnd(request.destination, world, 1);
  const ports = parsePorts(request.ports, destination.namedPorts);
  const view = traceConnection({
    ...{ source, destination, ports, rules, mode, hostAccess: deps.hostAccess },
  });
  // A change that is only thought of is in no map.
  if (request.files.length + request.deletes.length > 0) return view;
  const maps = { source: mapOf(deps, source), destination: mapOf(deps, destination) };
  return withDirections(view, (direction, index) => {
    const port = ports[index];
    const isEgress = direction.direction === "egress";
    const map = isEgress ? maps.source : maps.destination;
    const peer = isEgress ? destination : source;
    if (port === undefined || map === undefined || peer.isHypothetical) return direction;
    return withInstalled(direction, map, peer.identity.id, port);
  });
}

function worldOf(
  { endpoints, identities, datapath }: PolicyExplainDeps,
  cluster: string,
  labels: PrefixLabels,
): KnownWorld {
  const views = new Map(endpoints.list().map((one) => [one.id, one]));
  return {
    cluster,
    endpoints: endpoints.subjects().map((subject) => {
      const view = views.get(subject.endpoint);
      const addresses = view ? [view.ipv4, view.ipv6] : [];
      return { subject, addresses, isAudited: view?.policyAuditMode ?? false };
    }),
    identities: identities.list(),
    // There may be many, and only an address asks for them.
    get prefixes() {
      return datapath.listIpcache();
    },
    labels,
  };
}

/** Undefined: it is no endpoint of this node. */
function mapOf(
  { endpoints, datapath, planner, policies }: PolicyExplainDeps,
  { endpoint }: TraceEnd,
): InstalledMap | undefined {
  if (endpoint === undefined) return undefined;
  const view = endpoints.list().find(({ id }) => id === endpoint);
  if (view === undefined) return undefined;
  const rows = datapath.listPolicy(endpoint);
  // A node that no rule is for has no map.
  if (endpoint === ENDPOINT_HOST && rows.length === 0) return undefined;
  const { policyRevision, state } = view;
  const isBehind = policyRevision !== policies.revision;
  const lag = `state ${state}, revision ${policyRevision} of ${policies.revision}`;
  return {
    rows,
    originsOf: (cookie) => planner.originsOf(cookie),
    ...(isBehind || state !== "ready" ? { lag } : {}),
  };
}

function endpointPolicy(deps: PolicyExplainDeps, reference: string): EndpointPolicy {
  const { endpoints, identities, policies, datapath, policyEntriesMax } = deps;
  const { id } = endpoints.get(reference);
  const subjects = endpoints.subjects();
  const subject = subjects.find(({ endpoint }) => endpoint === id);
  if (subject === undefined) throw new Error(`Cannot explain endpoint ${id}: it has no subject`);
  const { before, mode } = policies.preview({ files: [], deletes: [] });
  const view = explainEndpoint({
    ...{ subject, subjects, rules: before.rules, mode },
    ...{ identities: identities.list(), entriesMax: policyEntriesMax },
  });
  const entriesInstalled = datapath.listPolicy(id).length;
  return { revision: policies.revision, ...view, entriesInstalled };
}

/** What the ring has. Events of packets just seen belong to it. */
async function recentFlows({ pump, observer }: PolicyExplainDeps) {
  pump.drain();
  const flows = [];
  const request = create(GetFlowsRequestSchema, {});
  for await (const { responseTypes } of observer.getFlows(request, new AbortController().signal)) {
    const seen = responseTypes.case === "flow" ? seenFlow(responseTypes.value) : undefined;
    if (seen) flows.push(seen);
  }
  return flows;
}
