/**
 * An agent that stands still, for tests of the API alone: real sockets, store, tokens and audit
 * log, and views that never change behind them.
 */
import { mkdirSync, mkdtempSync, rmSync } from "node:fs";
import type { Server } from "node:http";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { pino } from "pino";
import { listenAdmin } from "../../agent/listen.ts";
import { type Endpoint, EndpointError } from "../../endpoint/types.ts";
import { loadNative } from "../../native/index.ts";
import { createPlugins } from "../../plugin/plugins.ts";
import { SqliteStore } from "../../store/sqlite.ts";
import { createAdminApp } from "../app.ts";
import { AuditLog } from "../audit-log.ts";
import type { PluginBackend } from "../plugin-types.ts";
import { Tokens } from "../tokens.ts";
import type { AdminBackend, PolicyFile } from "../types.ts";

const FLOW_INTERVAL_MS = 5;

const WEB: Endpoint = {
  id: 7,
  name: "web",
  namespace: "shop",
  identity: 1001,
  labels: ["k8s:app=web"],
  ipv4: "10.244.0.2",
  ipv6: "fd00:244::2",
  netns: "/run/netns/web",
  state: "ready",
  policyRevision: 3,
  policyAuditMode: false,
};

const NONE = { ipv4Tcp: 0, ipv4Other: 0, ipv6Tcp: 0, ipv6Other: 0 };
const NO_CONNECTIONS = {
  ...{ capacity: 1, alive: NONE, deleted: NONE },
  ...{ passes: 1, lastPassMs: 0, intervalSeconds: 60 },
};

function find(reference: string): Endpoint {
  if (["7", "web", "shop/web"].includes(reference)) return WEB;
  throw new EndpointError(404, `Cannot find endpoint "${reference}"`);
}

/** A file whose text is `broken` has an error. */
function judge(files: PolicyFile[]) {
  const errors = files
    .filter(({ text }) => text === "broken")
    .map(({ file }) => ({ file, document: 0, path: "spec", message: "is broken", expected: "" }));
  return { applied: [], errors, warnings: [] };
}

export interface MovingParts {
  backend?: Partial<AdminBackend>;
  plugins?: PluginBackend;
}

export class StillAgent {
  readonly folder = mkdtempSync(join(tmpdir(), "imker-api-"));
  readonly socket = join(this.folder, "admin.sock");
  readonly auditFile = join(this.folder, "audit.log");
  readonly stopped: boolean[] = [];
  /** Given to whoever reads flows; to who follows them, again and again unless `quiet`. */
  readonly flows: string[] = ['{"node_name":"n"}'];
  quiet = false;
  /** Streams of flows that are open. */
  readers = 0;
  nowMs = Date.parse("2026-11-25T12:00:00Z");
  readonly store = new SqliteStore(":memory:");
  readonly tokens = new Tokens(this.store, () => this.nowMs);
  readonly audit = new AuditLog(this.auditFile);
  readonly app: ReturnType<typeof createAdminApp>;
  readonly #servers: Pick<Server, "close" | "closeAllConnections">[] = [];

  /** Parts of an agent that does move. */
  constructor({ backend = {}, plugins }: MovingParts = {}) {
    this.app = createAdminApp({
      backend: { ...this.#backend(), ...backend },
      plugins: plugins ?? this.#plugins(),
      log: pino({ enabled: false }),
      tokens: this.tokens,
      audit: this.audit,
      nowMs: () => this.nowMs,
      version: "1.2.3",
    });
  }

  async listen(): Promise<void> {
    const native = loadNative();
    const peerOf = (fd: number) => native.peerCredentials(fd);
    const onError = (error: Error): never => {
      throw error;
    };
    this.own(await listenAdmin(this.app, this.socket, { peerOf, onError }));
  }

  own<T extends Pick<Server, "close" | "closeAllConnections">>(server: T): T {
    this.#servers.push(server);
    return server;
  }

  close(): void {
    for (const server of this.#servers) {
      server.close();
      server.closeAllConnections();
    }
    this.audit.close();
    this.store.close();
    rmSync(this.folder, { recursive: true });
  }

  /** Real ones, of which none is installed. */
  #plugins(): PluginBackend {
    const shippedDir = join(this.folder, "shipped");
    mkdirSync(shippedDir);
    return createPlugins({
      log: pino({ enabled: false }),
      store: this.store,
      stateDir: this.folder,
      shippedDir,
      proxyStatus: async () => undefined,
      proxyInstances: async () => [],
      compileAll: () => {},
      ruleSetsOf: () => [],
      references: () => [],
      rulesOf: () => [],
      flowUuid: String,
      recordOf: () => undefined,
      applyRecordings: async () => {},
    }).backend;
  }

  #backend(): AdminBackend {
    return {
      status: async () => {
        throw new Error("the still agent has no status");
      },
      endpoints: {
        list: () => [WEB],
        get: find,
        create: async (spec) => ({ ...WEB, name: spec.name, namespace: spec.namespace }),
        relabel: async (reference) => find(reference),
        delete: async (reference) => find(reference),
        configure: (reference, { policyAuditMode }) => ({ ...find(reference), policyAuditMode }),
      },
      policies: {
        list: async () => [],
        validate: judge,
        apply: async (files) => judge(files),
        confirm: async () => [],
        delete: async (kind, namespace, name) => ({ kind, namespace, name, revision: 4 }),
      },
      explain: {
        trace: ({ files }) => ({ errors: judge(files).errors, warnings: [], view: undefined }),
        endpoint: (reference) => ({
          ...{ revision: find(reference).policyRevision, entriesWanted: 1, entriesInstalled: 1 },
          ...{ ingress: { isEnforced: true, policies: ["NetworkPolicy shop/web"] } },
          egress: { isEnforced: false, policies: [] },
        }),
        diff: async ({ files }) => ({ errors: judge(files).errors, warnings: [], view: undefined }),
      },
      identities: () => [{ id: 1001, kind: "cluster", labels: ["k8s:app=web"], endpoints: 1 }],
      flows: (query, signal) => this.#flows(query.follow, signal),
      prefilter: {
        status: () => {
          throw new Error("the still agent has no prefilter");
        },
        add: async (prefixes) => ({
          added: prefixes.length,
          deleted: 0,
          prefixes: prefixes.length,
        }),
        delete: async (prefixes) => ({ added: 0, deleted: prefixes.length, prefixes: 0 }),
        load: async () => ({ added: 0, deleted: 0, prefixes: 0 }),
        text: async () => "192.0.2.0/24\n",
      },
      kernel: {
        ...{ policy: () => [], ct: () => [], ipcache: () => [] },
        ...{ lookupPolicy: () => undefined, lookupCt: () => undefined, lookupIpcache: () => 1 },
        collectCt: async () => NO_CONNECTIONS,
      },
      upgradeProxy: async () => {
        throw new Error("the still agent has no proxy");
      },
      stop: (withProxy) => void this.stopped.push(withProxy),
    };
  }

  async *#flows(follow: boolean, signal: AbortSignal): AsyncGenerator<string> {
    this.readers++;
    try {
      yield* this.flows;
      while (follow && !signal.aborted) {
        await new Promise((resolve) => setTimeout(resolve, FLOW_INTERVAL_MS));
        if (!this.quiet) yield* this.flows;
      }
    } finally {
      this.readers--;
    }
  }
}
