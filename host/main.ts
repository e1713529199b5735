/**
 * The agent process: the one place that makes its parts and ties them together, in the order in
 * which a restart is safe. Maps and rows first, then policy, then programs; so that at no moment a
 * packet meets a program whose maps do not say yet what they will say.
 */
import { mkdirSync, rmSync, writeFileSync } from "node:fs";
import type { Server } from "node:http";
import { setImmediate } from "node:timers/promises";
import { type Logger, pino } from "pino";
import { type AdminParts, createAdminApp } from "./admin/app.ts";
import { AuditLog } from "./admin/audit-log.ts";
import { Tokens } from "./admin/tokens.ts";
import { ApiCertificate } from "./agent/api-certificate.ts";
import { Attachments } from "./agent/attachments.ts";
import { createBackend } from "./agent/backend.ts";
import { checkOptions } from "./agent/check-options.ts";
import { Cluster } from "./agent/cluster.ts";
import { CtCollector } from "./agent/ct-collector.ts";
import { BUILD, checkEnvironment } from "./agent/environment.ts";
import { EventPump } from "./agent/event-pump.ts";
import { createFlowNames } from "./agent/flow-names.ts";
import { type Identities, shareAddresses, startIdentities } from "./agent/identities.ts";
import { Lifetime } from "./agent/lifetime.ts";
import { listenAdmin, refuseSecondAgent } from "./agent/listen.ts";
import { listenAdminTls } from "./agent/listen-tls.ts";
import { NodeAddresses, nodeAddress } from "./agent/node-addresses.ts";
import { openConnections } from "./agent/open-connections.ts";
import { createPatternCheck } from "./agent/pattern-check.ts";
import { PolicyFolder } from "./agent/policy-folder.ts";
import { type PluginSink, recordsAfterPackets } from "./agent/record-order.ts";
import {
  createDatapath,
  createPodNetwork,
  ENDPOINT_HOST,
  type KernelDatapath,
} from "./datapath/index.ts";
import type { Datapath } from "./datapath/types.ts";
import { Endpoints } from "./endpoint/endpoints.ts";
import { HostEndpoint } from "./endpoint/host-endpoint.ts";
import { AddressPool } from "./endpoint/ipam.ts";
import { Enforcer } from "./enforce/enforcer.ts";
import type { NodeConnections } from "./enforce/lockout-guard.ts";
import { Planner } from "./enforce/planner.ts";
import { PolicyService } from "./enforce/policies.ts";
import { featuresOf } from "./enforce/policy-reader.ts";
import { RuleSets } from "./enforce/rule-sets.ts";
import { RecordClients } from "./event/record-client.ts";
import { FlowBuilder } from "./hubble/flow-builder.ts";
import type { FlowGetters } from "./hubble/getters.ts";
import { Observer } from "./hubble/observer.ts";
import { FlowRing } from "./hubble/ring.ts";
import { podLabels } from "./identity/pod-labels.ts";
import { IDENTITY } from "./identity/reserved.ts";
import { Ipcache } from "./ipcache/ipcache.ts";
import type { SharedAddresses } from "./ipcache/shared-addresses.ts";
import { loadNative } from "./native/index.ts";
import { type AgentOptions, agentPidFile, auditFile, databaseFile } from "./options.ts";
import { createPlugins, type Plugins } from "./plugin/plugins.ts";
import { formatPluginReference } from "./policy/plugin-reference.ts";
import { prefilterDevices } from "./prefilter/options.ts";
import { Prefilter } from "./prefilter/prefilter.ts";
import { ProxySupervisor } from "./proxy/supervisor.ts";
import { SqliteStore } from "./store/sqlite.ts";
import type { Store } from "./store/store.ts";

export const AGENT_VERSION = "0.1.0";
const NODE_ADDRESSES_MS = 5_000;
const ATTACHMENTS_MS = 2_000;
const CERTIFICATE_MS = 10_000;
const CLOSE_GRACE_MS = 200;

/** What every part is made with. */
interface Base {
  options: AgentOptions;
  log: Logger;
  life: Lifetime;
  /** Read before anything starts: a wrong file must not be found out half-way. */
  certificate: ApiCertificate | undefined;
}

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
    }),
  );
  datapath.start();
  const prefilter = startPrefilter(base, datapath);
  const ipcache = new Ipcache(datapath);
  const nodeAddresses = nameNodePrefixes(base, ipcache);
  const cluster = life.own(new Cluster({ log, path: options.clusterState }));
  const host = createHost(base, { datapath, cluster, nodeAddresses });
  const relabelled = async (changed: string[]): Promise<void> => {
    datapath.bumpEpoch();
    await proxy.relabelled(changed);
  };
  const addresses = shareAddresses(identity, base, {
    ...{ ipcache, memory: store, hostIp: nodeAddress(), changed: relabelled },
    settled: () => policies.refresh(),
  });
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
  const enforcer = new Enforcer(
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
    },
    // A proxy that outlived the last agent has a lower revision: that one was an earlier time.
    Math.floor(Date.now() / 1000),
  );
  const policies: PolicyService = new PolicyService({
    ...{ log, store, identities, planner, enforcer, ruleSets },
    subjects: () => [...endpoints.subjects(), ...(host ? [host.subject()] : [])],
    parsing: {
      checkPattern: createPatternCheck(),
      plugins: (reference) => plugins.view.manifestFor(formatPluginReference(reference)),
      extendedProtocols: options.extendedIpProtocols,
    },
    features: featuresOf(options),
    sources: cluster.state,
    cluster: options.cluster,
    enforcement: options.enablePolicy,
    ...(options.policyAuditMode ? {} : { connections: nodeConnections(base, datapath) }),
    nowMs: Date.now,
  });
  plugins.view.onChange(() => policies.pluginsChanged());
  policies.restore();
  // No policy is for the node then; an agent with the option may have left one, and tracked for it.
  if (host === undefined) datapath.removePolicy(ENDPOINT_HOST);
  await proxy.start(datapath.hasNewProxyMaps);
  let isCurrent = true;
  try {
    await policies.refresh();
    await addresses?.start();
    isCurrent = addresses?.isCurrent ?? true;
  } catch (error) {
    isCurrent = false;
    log.error({ error }, "the stored policies are not in force yet");
  }
  const isFollowed = await followCluster(base, cluster, {
    ...{ ipcache, identities, endpoints, policies },
  });
  // Rows of other nodes and their pods stay when nobody can say now whose they are.
  if (isCurrent && isFollowed) ipcache.prune();
  datapath.commit();
  const attachments = new Attachments({
    ...{ log, kernel: datapath, prefilter, devices: options.devices },
    pods: () => endpoints.records(),
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
  });
  await serveAdmin(base, store, { backend, audit, plugins: plugins.backend });
  writePidFile(base);
  log.info({ socket: options.socket, endpoints: endpoints.list().length }, "the agent is ready");
}

function createEndpoints(
  { options, log }: Base,
  parts: {
    store: Store;
    datapath: Datapath;
    ipcache: Ipcache;
    identity: Identities;
    cluster: Cluster;
    addresses: SharedAddresses | undefined;
    relabelled: (addresses: string[]) => Promise<void>;
  },
): Endpoints {
  const { allocator } = parts.identity;
  const labelsOf = (pod: { namespace: string; labels: Record<string, string> }) =>
    podLabels({
      ...pod,
      cluster: options.cluster,
      namespaceLabels: parts.cluster.state.namespaceLabels(pod.namespace),
    });
  return new Endpoints({
    log,
    store: parts.store,
    datapath: parts.datapath,
    ipcache: parts.ipcache,
    network: createPodNetwork(),
    identities: {
      acquire: (pod) => allocator.acquire(labelsOf(pod)),
      release: (identity) => allocator.release(identity),
    },
    identityGracePeriodMs: options.identity.gracePeriodMs,
    addresses: parts.addresses,
    onRelabelled: parts.relabelled,
    ipv4: new AddressPool(options.ipv4Pool),
    ipv6: new AddressPool(options.ipv6Pool),
  });
}

/** Undefined unless the node may have a policy. */
function createHost(
  { options, log }: Base,
  parts: { datapath: Datapath; cluster: Cluster; nodeAddresses: NodeAddresses },
): HostEndpoint | undefined {
  if (options.hostFirewall !== true) return undefined;
  if (options.devices.length === 0) {
    log.warn("--host-firewall without --device: the node's policy sees its own pods only");
  }
  const { datapath, cluster, nodeAddresses } = parts;
  return new HostEndpoint({
    datapath,
    labels: options.nodeLabels,
    nodeLabels: () => cluster.state.nodeLabels(options.node),
    addresses: () => nodeAddresses.list(),
    netns: `/proc/${process.pid}/ns/net`,
  });
}

function nodeConnections({ options }: Base, datapath: Datapath): NodeConnections {
  return {
    open: openConnections,
    ipcache: () => datapath.listIpcache(),
    policesOutside: options.devices.length > 0,
  };
}

/** Settles when what the cluster's state says now is in force, or false: then it will be. */
function followCluster(
  { options }: Base,
  cluster: Cluster,
  parts: {
    ipcache: Ipcache;
    identities: Identities["allocator"];
    endpoints: Endpoints;
    policies: PolicyService;
  },
): Promise<boolean> {
  const { ipcache, identities, endpoints, policies } = parts;
  const { node, nodeSelectorLabels: nodeLabels } = options;
  const settled = (): Promise<void> => policies.refresh();
  return cluster.follow({
    nodes: { node, nodeLabels, ipcache, identities, settled },
    refreshIdentities: () => endpoints.refreshIdentities(settled),
    sourcesChanged: () => policies.sourcesChanged(),
  });
}

/** The parts behind `later` are made after the plugins that they need. */
function startPlugins(
  { options, log, life }: Base,
  store: Store,
  later: {
    proxy: () => ProxySupervisor;
    ruleSets: () => RuleSets;
    observer: () => Observer;
    policies: () => PolicyService;
  },
): Plugins {
  return life.own(
    createPlugins({
      log,
      store,
      stateDir: options.stateDir,
      shippedDir: BUILD.plugins,
      proxyStatus: () => later.proxy().status(),
      proxyInstances: () => later.proxy().instances(),
      compileAll: (name, digest) => later.ruleSets().compileAll(name, digest),
      ruleSetsOf: (name, policies) => later.ruleSets().numbersOf(name, policies),
      references: () => later.ruleSets().references(),
      rulesOf: (ruleSet) => later.ruleSets().rulesOf(ruleSet),
      flowUuid: (time) => later.observer().uuidOf(time),
      recordOf: (uuid) => later.observer().recordOf(uuid),
      applyRecordings: () => later.policies().pluginsChanged(),
    }),
  );
}

/** Before anything else is in force: what it drops needs nothing else. */
function startPrefilter({ options, log, life }: Base, datapath: KernelDatapath): Prefilter {
  return life.own(
    new Prefilter({
      ...{ native: loadNative(), log, bpffs: options.bpffs, stateDir: options.stateDir },
      devices: prefilterDevices(options.prefilter, options.devices),
      eventIntervalMs: options.prefilter.eventMs,
      eventsFd: datapath.eventsFd(),
    }),
  );
}

/** The node's own addresses, and what an address that nothing names is. */
function nameNodePrefixes({ life }: Base, ipcache: Ipcache): NodeAddresses {
  const addresses = new NodeAddresses(ipcache, loadNative());
  addresses.refresh();
  life.every(NODE_ADDRESSES_MS, async () => addresses.refresh());
  ipcache.upsert("restored", "0.0.0.0/0", IDENTITY.worldIpv4);
  ipcache.upsert("restored", "::/0", IDENTITY.worldIpv6);
  return addresses;
}

function startObserving(
  { options, log, life }: Base,
  datapath: Datapath,
  { getters, plugins }: { getters: FlowGetters; plugins: PluginSink },
) {
  const ring = new FlowRing();
  const flows = new FlowBuilder({ getters, nowNs, deliver: (entry) => ring.push(entry) });
  const pump = life.own(
    new EventPump(
      datapath,
      (event) => flows.packet(event),
      (count) => flows.lostPackets(count),
    ),
  );
  const records = life.own(
    new RecordClients(
      { sink: recordsAfterPackets(flows, pump, plugins), log, nowMs: () => performance.now() },
      { runDir: options.runDir },
    ),
  );
  const node = {
    nodeName: `${options.cluster}/${options.node}`,
    clusterName: options.cluster,
    nodeLabels: [],
    version: AGENT_VERSION,
  };
  const observer = new Observer({ ring, node, nowNs, yieldTurn: () => setImmediate() });
  return { pump, records, observer };
}

function watchPolicies(
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

function writePidFile({ options, life }: Base): void {
  const pidFile = agentPidFile(options.runDir);
  writeFileSync(pidFile, `${process.pid}\n`);
  life.onEnd(() => rmSync(pidFile, { force: true }));
}

/** Nanoseconds since 1970. */
const nowNs = (): bigint => BigInt(Date.now()) * 1_000_000n;

async function serveAdmin(
  { options, log, life, certificate }: Base,
  store: Store,
  parts: Pick<AdminParts, "backend" | "audit" | "plugins">,
): Promise<void> {
  const nowMs = Date.now;
  const tokens = new Tokens(store, nowMs);
  const app = createAdminApp({ ...parts, log, tokens, nowMs, version: AGENT_VERSION });
  const { socket, tcpApi } = options;
  const native = loadNative();
  const onError = (error: Error): void => log.error({ error }, "the API lost a connection");
  const peerOf = (fd: number) => native.peerCredentials(fd);
  const local = await listenAdmin(app, socket, { peerOf, onError });
  life.onEnd(() => {
    closeServer(local);
    rmSync(socket, { force: true });
  });
  if (tcpApi === undefined || certificate === undefined) return;
  const server = await listenAdminTls(app, tcpApi, { certificate, onError });
  life.every(CERTIFICATE_MS, async () => certificate.look());
  life.onEnd(() => closeServer(server));
  log.info({ host: tcpApi.host, port: tcpApi.port }, "the API is served over TCP");
}

function closeServer(server: Pick<Server, "close" | "closeAllConnections">): void {
  server.close();
  // Answers under way may end; followed streams never would.
  setTimeout(() => server.closeAllConnections(), CLOSE_GRACE_MS).unref();
}
