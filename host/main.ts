/**
 * The agent process: the one place that has its parts made and ties them together, in the order in
 * which a restart is safe. Maps and rows first, then policy, then programs; so that at no moment a
 * packet meets a program whose maps do not say yet what they will say.
 */
import { mkdirSync, rmSync, writeFileSync } from "node:fs";
import { setImmediate } from "node:timers/promises";
import { pino } from "pino";
import { AuditLog } from "./admin/audit-log.ts";
import { serveAdmin } from "./agent/admin-server.ts";
import { ApiCertificate } from "./agent/api-certificate.ts";
import { Attachments } from "./agent/attachments.ts";
import { createBackend } from "./agent/backend.ts";
import { AGENT_VERSION, type Base } from "./agent/base.ts";
import { checkOptions } from "./agent/check-options.ts";
import { Cluster } from "./agent/cluster.ts";
import { CtCollector } from "./agent/ct-collector.ts";
import { createEndpoints } from "./agent/endpoints.ts";
import { createEnforcing, watchPolicies } from "./agent/enforcing.ts";
import { checkEnvironment } from "./agent/environment.ts";
import { createFlowNames } from "./agent/flow-names.ts";
import { type FollowedParts, followCluster } from "./agent/following.ts";
import { shareAddresses, startIdentities } from "./agent/identities.ts";
import { Lifetime } from "./agent/lifetime.ts";
import { refuseSecondAgent } from "./agent/listen.ts";
import { createHost, hostLabels, nameNodePrefixes } from "./agent/node.ts";
import { nodeAddress } from "./agent/node-addresses.ts";
import { startObserving } from "./agent/observing.ts";
import { startPlugins } from "./agent/plugins.ts";
import { startPrefilter } from "./agent/prefilter.ts";
import { type NodeSharing, shareNodes } from "./agent/shared-nodes.ts";
import { ApiServers } from "./cluster/api-servers.ts";
import { createDatapath, ENDPOINT_HOST, type KernelDatapath } from "./datapath/index.ts";
import { Planner } from "./enforce/planner.ts";
import { RuleSets } from "./enforce/rule-sets.ts";
import { Ipcache } from "./ipcache/ipcache.ts";
import type { SharedAddresses } from "./ipcache/shared-addresses.ts";
import { loadNative } from "./native/index.ts";
import { type AgentOptions, agentPidFile, auditFile, databaseFile } from "./options.ts";
import { ProxySupervisor } from "./proxy/supervisor.ts";
import { SqliteStore } from "./store/sqlite.ts";

const ATTACHMENTS_MS = 2_000;

/** Runs until SIGTERM, SIGINT or a stop request. Throws EnvironmentError before it starts. */
export async function runAgent(options: AgentOptions): Promise<void> {
  checkEnvironment();
  checkOptions(options, (name) => loadNative().interfaceIndex(name));
  const log = pino({ level: options.logLevel, base: { node: options.node } }, pino.destination(2));
  const certificate = options.tcpApi && new ApiCertificate(options.tcpApi, log);
  await refuseSecondAgent(options.socket);
  for (const folder of [options.runDir, options.stateDir]) {
    mkdirSync(folder, { recursive: true, mode: 0o700 });
  }
  const life = new Lifetime(log);
  const { promise: stopped, resolve: stop } = Promise.withResolvers<void>();
  for (const signal of ["SIGTERM", "SIGINT"] as const) process.once(signal, () => stop());
  try {
    // A request to stop is answered and in the audit log before it is followed.
    await startAgent({ options, log, life, certificate }, () => void setImmediate().then(stop));
    await stopped;
  } finally {
    life.end();
  }
  log.info("the agent has stopped; the kernel and the proxy go on enforcing");
}

async function startAgent(base: Base, stop: () => void): Promise<void> {
  const { options, log, life } = base;
  const startedAt = new Date();
  const store = life.own(new SqliteStore(databaseFile(options.stateDir)));
  const plugins = startPlugins(base, store, {
    proxy: () => proxy,
    ruleSets: () => ruleSets,
    observer: () => observer,
    policies: () => policies,
  });
  const ruleSets = new RuleSets(store, plugins.view);
  const planner = new Planner(store, ruleSets);
  const identity = await startIdentities({ ...base, store });
  const identities = identity.allocator;
  const datapath = life.own(
    createDatapath({
      bpffs: options.bpffs,
      policyAuditMode: options.policyAuditMode ?? false,
      hostFirewall: options.hostFirewall ?? false,
      hostByPolicy: options.allowLocalhost === "policy",
      denyByIcmp: options.denyResponse === "icmp",
      fragNeeded: options.allowIcmpFragNeeded,
      policyEntriesMax: options.policyEntriesMax,
      ctTimeouts: options.ctTimeouts,
    }),
  );
  datapath.start();
  const prefilter = startPrefilter(base, datapath);
  const ipcache = new Ipcache(datapath);
  const nodeAddresses = nameNodePrefixes(base, ipcache);
  const cluster = life.own(new Cluster({ log, path: options.clusterState }));
  const apiServers = new ApiServers({
    ...{ node: options.node, state: cluster.state, ownAddresses: () => nodeAddresses.list() },
  });
  identities.nameHost(hostLabels(base, { apiServers, nodeAddresses }));
  const host = createHost(base, { datapath, cluster, nodeAddresses, apiServers });
  const relabelled = async (changed: string[]): Promise<void> => {
    datapath.bumpEpoch();
    await proxy.relabelled(changed);
  };
  const addresses = shareAddresses(identity, base, {
    ...{ ipcache, memory: store, hostIp: nodeAddress(), changed: relabelled },
    settled: () => policies.refresh(),
  });
  const state = cluster.state;
  const nodes = shareNodes(identity, base, { memory: store, state, addresses: nodeAddresses });
  const parts = { store, datapath, ipcache, identity, cluster, addresses, relabelled };
  const endpoints = createEndpoints(base, parts);
  await endpoints.restore();

  const names = { endpoints, host, identities, planner, plugins: plugins.view };
  const { pump, records, observer } = startObserving(base, datapath, {
    getters: createFlowNames({ ...names, cluster: options.cluster }),
    plugins: {
      log: (line) => plugins.log.add(line, Number(line.time / 1_000_000n)),
      recorded: (one) => plugins.cases.add(one),
    },
  });
  const proxy: ProxySupervisor = life.own(
    new ProxySupervisor({ log, options, onUp: (hello) => records.setWorkers(hello.workers) }),
  );
  const { enforcer, policies } = createEnforcing(base, {
    ...{ store, datapath, ipcache, proxy, ruleSets, planner, plugins },
    ...{ identities, cluster, apiServers, endpoints, host },
  });
  // No policy is for the node then; an agent with the option may have left one, and tracked for it.
  if (host === undefined) datapath.removePolicy(ENDPOINT_HOST);
  await proxy.start(datapath.hasNewProxyMaps);
  await putInForce(base, {
    ...{ datapath, ipcache, identities, cluster, addresses, nodes, endpoints, policies },
    ...{ apiServers, nodeAddresses, relabelled },
  });
  const attachments = new Attachments({
    ...{ log, kernel: datapath, prefilter, devices: options.devices },
    pods: endpoints,
  });
  attachments.start();
  life.every(ATTACHMENTS_MS, async () => attachments.refresh());
  plugins.start();

  const connections = life.own(
    new CtCollector(datapath, (error) => log.error({ error }, "connections were not collected")),
  );
  const folder = watchPolicies(base, policies);
  const audit = life.own(new AuditLog(auditFile(options.stateDir)));
  const backend = createBackend({
    ...{ version: AGENT_VERSION, node: options.node, startedAt, stop },
    ...{ endpoints, host, policies, enforcer, identities, planner, datapath, proxy, prefilter },
    ...{ pump, observer, folder, cluster, plugins, audit, connections },
    ...{ certificate: base.certificate, leased: identity.leased, attachments },
    policyEntriesMax: options.policyEntriesMax,
    hostAccess: options.allowLocalhost === "policy" ? "policy" : "always",
  });
  await serveAdmin(base, store, { backend, audit, plugins: plugins.backend });
  writePidFile(base);
  log.info({ socket: options.socket, endpoints: endpoints.list().length }, "the agent is ready");
}

/** Policies, then rows of other nodes and what they published, then programs. */
async function putInForce(
  base: Base,
  parts: FollowedParts & {
    datapath: KernelDatapath;
    cluster: Cluster;
    addresses: SharedAddresses | undefined;
    nodes: NodeSharing | undefined;
  },
): Promise<void> {
  const { log } = base;
  const { datapath, ipcache, cluster, addresses, nodes, policies } = parts;
  let isCurrent = true;
  try {
    await policies.refresh();
  } catch (error) {
    isCurrent = false;
    log.error({ error }, "the stored policies are not in force yet");
  }
  for (const shared of [addresses, nodes]) {
    await shared?.start();
    isCurrent &&= shared?.isCurrent ?? true;
  }
  const isFollowed = await followCluster(base, cluster, parts);
  // Rows of other nodes and their pods stay when nobody can say now whose they are.
  if (isCurrent && isFollowed) ipcache.prune();
  datapath.commit();
}

function writePidFile({ options, life }: Base): void {
  const pidFile = agentPidFile(options.runDir);
  writeFileSync(pidFile, `${process.pid}\n`);
  life.onEnd(() => rmSync(pidFile, { force: true }));
}
