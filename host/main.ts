/**
 * The agent process: the one place that makes its parts and ties them together, in the order in
 * which a restart is safe. Maps and rows first, then policy, then programs; so that at no moment a
 * packet meets a program whose maps do not say yet what they will say.
 */
import { mkdirSync, rmSync, writeFileSync } from "node:fs";
import type { Server } from "node:http";
import { setImmediate } from "node:timers/promises";
import { type Logger, pino } from "pino";
import { createAdminApp } from "./admin/app.ts";
import { createBackend } from "./agent/backend.ts";
import { BUILD, checkEnvironment, EnvironmentError } from "./agent/environment.ts";
import { EventPump } from "./agent/event-pump.ts";
import { createFlowNames } from "./agent/flow-names.ts";
import { listenAdmin } from "./agent/listen.ts";
import { nodePrefixes } from "./agent/node-addresses.ts";
import { createPatternCheck } from "./agent/pattern-check.ts";
import { PolicyFolder } from "./agent/policy-folder.ts";
import { createDatapath, createPodNetwork } from "./datapath/index.ts";
import type { Datapath } from "./datapath/types.ts";
import { AddressPool } from "./endpoint/ipam.ts";
import { EndpointManager } from "./endpoint/manager.ts";
import { Enforcer } from "./enforce/enforcer.ts";
import { Planner } from "./enforce/planner.ts";
import { PolicyService } from "./enforce/policies.ts";
import { RuleSets } from "./enforce/rule-sets.ts";
import { RecordClients } from "./event/record-client.ts";
import { FlowBuilder } from "./hubble/flow-builder.ts";
import { Observer } from "./hubble/observer.ts";
import { FlowRing } from "./hubble/ring.ts";
import { IdentityAllocator } from "./identity/allocator.ts";
import { podLabels } from "./identity/pod-labels.ts";
import { IDENTITY } from "./identity/reserved.ts";
import { type AgentOptions, agentPidFile, databaseFile } from "./options.ts";
import { PluginCatalog } from "./plugin/catalog.ts";
import { ProxySupervisor } from "./proxy/supervisor.ts";
import { identityStore } from "./store/identity-store.ts";
import { SqliteStore } from "./store/sqlite.ts";

export const AGENT_VERSION = "0.1.0";
const IDENTITY_COLLECT_MS = 60_000;

/** Runs until SIGTERM, SIGINT or a stop request. Throws EnvironmentError before it starts. */
export async function runAgent(options: AgentOptions): Promise<void> {
  checkEnvironment();
  for (const folder of [options.runDir, options.stateDir]) {
    mkdirSync(folder, { recursive: true, mode: 0o700 });
  }
  const log = pino({ level: options.logLevel, base: { node: options.node } }, pino.destination(2));
  const agent = new Agent(options, log);
  const stopped = new Promise<void>((resolve) => {
    for (const signal of ["SIGTERM", "SIGINT"] as const) process.once(signal, () => resolve());
    agent.onStop = resolve;
  });
  try {
    await agent.start();
    await stopped;
  } finally {
    agent.close();
  }
  log.info("the agent has stopped; the kernel and the proxy go on enforcing");
}

class Agent {
  /** Called when somebody asks the agent, over its API, to stop. */
  onStop: () => void = () => {};
  readonly #options: AgentOptions;
  readonly #log: Logger;
  readonly #startedAt = new Date();
  /** What `close` has to close, last made first. */
  readonly #open: (() => void)[] = [];

  constructor(options: AgentOptions, log: Logger) {
    this.#options = options;
    this.#log = log;
  }

  async start(): Promise<void> {
    const options = this.#options;
    const log = this.#log;
    const store = this.#own(new SqliteStore(databaseFile(options.stateDir)));
    const catalog = PluginCatalog.load(BUILD.plugins);
    const ruleSets = new RuleSets(store, catalog);
    const planner = new Planner(store, ruleSets);
    const identities = new IdentityAllocator({
      store: identityStore(store),
      now: () => performance.now(),
      cluster: options.cluster,
    });
    await identities.start();

    const datapath = this.#own(createDatapath({ bpffs: options.bpffs }));
    datapath.start();
    const endpoints = new EndpointManager({
      log,
      store,
      datapath,
      network: createPodNetwork(),
      identities: {
        acquire: (pod) => identities.acquire(podLabels({ ...pod, cluster: options.cluster })),
        release: (identity) => identities.release(identity),
      },
      ipv4: new AddressPool(options.ipv4Pool),
      ipv6: new AddressPool(options.ipv6Pool),
    });
    this.#namePrefixes(datapath);
    await endpoints.restore();

    const ring = new FlowRing();
    const flows = new FlowBuilder({
      getters: createFlowNames({
        endpoints,
        identities,
        planner,
        catalog,
        cluster: options.cluster,
      }),
      nowNs,
      deliver: (entry) => ring.push(entry),
    });
    const records = this.#own(
      new RecordClients(
        { sink: flows, log, nowMs: () => performance.now() },
        { runDir: options.runDir },
      ),
    );
    const proxy = this.#own(
      new ProxySupervisor({
        log,
        options,
        onUp: (hello) => records.setWorkers(hello.workers),
      }),
    );
    const enforcer = new Enforcer(
      {
        log,
        kernel: datapath,
        proxy,
        ruleSets,
        onEnforced: (endpoint, revision) => endpoints.policyEnforced(endpoint, revision),
      },
      // A proxy that outlived the last agent has a lower revision: it was made from an earlier time.
      Math.floor(Date.now() / 1000),
    );
    const policies = new PolicyService({
      log,
      store,
      identities,
      planner,
      enforcer,
      ruleSets,
      subjects: () => endpoints.subjects(),
      parsing: { checkPattern: createPatternCheck() },
      cluster: options.cluster,
    });
    policies.restore();
    await proxy.start();
    await policies.refresh().catch((error: unknown) => {
      log.error({ error }, "the stored policies are not in force yet");
    });
    datapath.commit();
    for (const device of options.devices) datapath.attachNetdev(device);

    const pump = this.#own(
      new EventPump(
        datapath,
        (event) => flows.packet(event),
        (count) => flows.lostPackets(count),
      ),
    );
    const folder =
      options.policyDir === undefined
        ? undefined
        : this.#own(
            new PolicyFolder(options.policyDir, {
              log,
              apply: (files, wait) => policies.apply(files, wait),
              remove: (kind, namespace, name, wait) => policies.delete(kind, namespace, name, wait),
              list: () => policies.list(),
            }),
          );
    this.#every(IDENTITY_COLLECT_MS, () => identities.collect());
    const observer = new Observer({
      ring,
      node: this.#node(),
      nowNs,
      yieldTurn: () => setImmediate(),
    });
    const backend = createBackend({
      version: AGENT_VERSION,
      node: options.node,
      startedAt: this.#startedAt,
      endpoints,
      policies,
      enforcer,
      identities,
      planner,
      datapath,
      proxy,
      pump,
      observer,
      folder,
      stop: () => this.onStop(),
    });
    const server = await listenAdmin(createAdminApp(backend, log), options.socket);
    this.#open.push(() => closeServer(server, options.socket));
    const pidFile = agentPidFile(options.runDir);
    writeFileSync(pidFile, `${process.pid}\n`);
    this.#open.push(() => rmSync(pidFile, { force: true }));
    log.info({ socket: options.socket, endpoints: endpoints.list().length }, "the agent is ready");
  }

  close(): void {
    for (const close of this.#open.reverse()) close();
    this.#open.length = 0;
  }

  #own<T extends { close(): void }>(part: T): T {
    this.#open.push(() => part.close());
    return part;
  }

  #every(intervalMs: number, task: () => Promise<unknown>): void {
    const timer = setInterval(() => {
      task().catch((error: unknown) => this.#log.error({ error }, "a periodic task failed"));
    }, intervalMs);
    this.#open.push(() => clearInterval(timer));
  }

  /** The node's own addresses, and what an address that nothing names is. */
  #namePrefixes(datapath: Datapath): void {
    for (const prefix of nodePrefixes()) datapath.upsertIpcache(prefix, IDENTITY.host);
    datapath.upsertIpcache("0.0.0.0/0", IDENTITY.worldIpv4);
    datapath.upsertIpcache("::/0", IDENTITY.worldIpv6);
  }

  #node() {
    const { cluster, node } = this.#options;
    return {
      nodeName: `${cluster}/${node}`,
      clusterName: cluster,
      nodeLabels: [],
      version: AGENT_VERSION,
    };
  }
}

/** Nanoseconds since 1970. */
const nowNs = (): bigint => BigInt(Date.now()) * 1_000_000n;

function closeServer(server: Server, socket: string): void {
  server.close();
  server.closeAllConnections();
  rmSync(socket, { force: true });
}

export { EnvironmentError };
