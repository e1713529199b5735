/** What puts policies in force, and where they come from: the enforcer, the service, the folder. */
import type { ApiServers } from "../cluster/api-servers.ts";
import type { KernelDatapath } from "../datapath/index.ts";
import { ENDPOINT_HOST } from "../datapath/index.ts";
import type { Datapath } from "../datapath/types.ts";
import type { Endpoints } from "../endpoint/endpoints.ts";
import type { HostEndpoint } from "../endpoint/host-endpoint.ts";
import { Enforcer } from "../enforce/enforcer.ts";
import type { NodeConnections } from "../enforce/lockout-guard.ts";
import type { Planner } from "../enforce/planner.ts";
import { PolicyService } from "../enforce/policies.ts";
import { featuresOf } from "../enforce/policy-reader.ts";
import type { RuleSets } from "../enforce/rule-sets.ts";
import type { Ipcache } from "../ipcache/ipcache.ts";
import type { Plugins } from "../plugin/plugins.ts";
import { formatPluginReference } from "../policy/plugin-reference.ts";
import type { ProxySupervisor } from "../proxy/supervisor.ts";
import type { Store } from "../store/store.ts";
import type { Base } from "./base.ts";
import type { Cluster } from "./cluster.ts";
import type { Identities } from "./identities.ts";
import { openConnections } from "./open-connections.ts";
import { createPatternCheck } from "./pattern-check.ts";
import { PolicyFolder } from "./policy-folder.ts";

export interface EnforcingParts {
  store: Store;
  datapath: KernelDatapath;
  ipcache: Ipcache;
  proxy: ProxySupervisor;
  ruleSets: RuleSets;
  planner: Planner;
  plugins: Plugins;
  identities: Identities["allocator"];
  cluster: Cluster;
  apiServers: ApiServers;
  endpoints: Endpoints;
  host: HostEndpoint | undefined;
}

/** The stored policies are read, and nothing of them is in force before the first `refresh`. */
export function createEnforcing(
  base: Base,
  parts: EnforcingParts,
): { enforcer: Enforcer; policies: PolicyService } {
  const enforcer = createEnforcer(base, parts);
  const policies = createPolicies(base, { ...parts, enforcer });
  parts.plugins.view.onChange(() => policies.pluginsChanged());
  policies.restore();
  return { enforcer, policies };
}

function createEnforcer({ options, log }: Base, parts: EnforcingParts): Enforcer {
  const { datapath, ipcache, proxy, ruleSets, plugins, endpoints, host } = parts;
  return new Enforcer(
    {
      log,
      kernel: datapath,
      ipcache,
      proxy,
      ruleSets,
      recordings: () => plugins.recordings.forProxy(),
      onEnforced: (endpoint, revision) => {
        if (endpoint === ENDPOINT_HOST) host?.policyEnforced(revision);
        else endpoints.policyEnforced(endpoint, revision);
      },
      lockdownOnOverflow: options.endpointLockdownOnPolicyOverflow,
      entriesMax: options.policyEntriesMax,
    },
    // A proxy that outlived the last agent has a lower revision: that one was an earlier time.
    Math.floor(Date.now() / 1000),
  );
}

function createPolicies(base: Base, parts: EnforcingParts & { enforcer: Enforcer }): PolicyService {
  const { options, log } = base;
  const { store, identities, planner, enforcer, ruleSets, plugins, cluster } = parts;
  const { endpoints, host, datapath, apiServers } = parts;
  return new PolicyService({
    ...{ log, store, identities, planner, enforcer, ruleSets },
    subjects: () => [...endpoints.subjects(), ...(host ? [host.subject()] : [])],
    parsing: {
      checkPattern: createPatternCheck(),
      plugins: (reference) => plugins.view.manifestFor(formatPluginReference(reference)),
      extendedProtocols: options.extendedIpProtocols,
    },
    features: featuresOf(options),
    sources: cluster.state,
    prefixSayings: () => [apiServers.saying()],
    ...{ cluster: options.cluster, anyCluster: !options.defaultLocalCluster },
    enforcement: options.enablePolicy,
    ...(options.policyAuditMode ? {} : { connections: nodeConnections(base, datapath) }),
    nowMs: Date.now,
  });
}

function nodeConnections({ options }: Base, datapath: Datapath): NodeConnections {
  return {
    open: openConnections,
    ipcache: () => datapath.listIpcache(),
    policesOutside: options.devices.length > 0,
  };
}

export function watchPolicies(
  { options, log, life }: Base,
  policies: PolicyService,
): PolicyFolder | undefined {
  if (options.policyDir === undefined) return undefined;
  return life.own(
    new PolicyFolder(options.policyDir, {
      log,
      // A folder says what is wanted; there is nobody to ask.
      apply: (files, wait) => policies.apply(files, { wait, force: true }),
      remove: (kind, namespace, name, wait) =>
        policies.delete(kind, namespace, name, { wait, force: true }),
      list: () => policies.list(),
    }),
  );
}
