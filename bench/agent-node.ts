/**
 * A whole node for measurements: a network namespace in which the real agent (and the proxy it
 * starts) serves two pods, a client and a server. Driven through `./imker` alone, as a user would.
 * Everything it makes is named after this process and removed by `close`, whatever happened.
 */
import { existsSync, mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { z } from "zod";
import { Cgroup } from "./cgroup.ts";
import { parseCgroupNs } from "./cpu.ts";
import { RunError } from "./errors.ts";
import { type Program, run, start } from "./process.ts";
import type { BenchPaths } from "./proxies/proxy.ts";
import { HTTP_RULES } from "./proxies/rules.ts";
import { isProcessAlive, isStaleName, makeNamespace, ownName, setSysctl } from "./topology.ts";

const BPFFS = "/sys/fs/bpf";
const READY_TIMEOUT_MS = 60_000;
const READY_POLL_MS = 200;
const SERVER_PORT = 8080;

export type NodePolicy = "none" | "l4" | "http";

export interface AgentNodeOptions {
  policy: NodePolicy;
  runtime: "node" | "deno";
  agentCpu: number;
  proxyCpu: number;
  /** For sockets, state, logs and the policy file. */
  folder: string;
  /**
   * cgroup.procs to which the proxy is moved, so that its CPU is counted apart from the agent's.
   */
  proxyProcsFile?: string;
}

const statusSchema = z.object({
  agent: z.object({ rss: z.number() }),
  proxy: z
    .object({ pid: z.number(), rss: z.number(), counters: z.record(z.string(), z.number()) })
    .optional(),
});
const endpointSchema = z.object({ ipv4: z.string() });
const applySchema = z.object({ errors: z.array(z.unknown()) });

export class AgentNode {
  readonly node = ownName("node");
  readonly client = ownName("pod-client");
  readonly server = ownName("pod-server");
  readonly serverPort = SERVER_PORT;
  readonly #paths: BenchPaths;
  readonly #options: AgentNodeOptions;
  readonly #bpffs = join(BPFFS, ownName("bpf"));
  readonly #socket: string;
  readonly #cgroup: Cgroup;
  #agent: Program | undefined;
  #serverAddress = "";

  constructor(paths: BenchPaths, options: AgentNodeOptions) {
    this.#paths = paths;
    this.#options = options;
    this.#socket = join(options.folder, "run", "admin.sock");
    this.#cgroup = new Cgroup(ownName("agent"));
  }

  get serverAddress(): string {
    return this.#serverAddress;
  }

  /** Resident bytes of both and the proxy's counters, as the agent reports them. */
  get account(): { agentBytes: number; proxyBytes: number; counters: Record<string, number> } {
    const { agent, proxy } = statusSchema.parse(this.#imker("status"));
    const { rss = 0, counters = {} } = proxy ?? {};
    return { agentBytes: agent.rss, proxyBytes: rss, counters };
  }

  /** CPU time of the agent so far; the proxy's too, unless it was given a cgroup of its own. */
  get agentCpuNs(): number {
    return parseCgroupNs(readFileSync(this.#cgroup.usageFile, "utf8"));
  }

  async open(): Promise<void> {
    const { folder, agentCpu, runtime, policy } = this.#options;
    mountBpffs();
    for (const netns of [this.node, this.client, this.server]) makeNamespace(netns);
    setSysctl(this.node, "net.ipv4.ip_forward", "1");
    for (const part of ["run", "state"]) mkdirSync(join(folder, part), { recursive: true });
    const placement = { cpu: agentCpu, netns: this.node, procsFiles: [this.#cgroup.procsFile] };
    this.#agent = start("agent", placement, [
      join(this.#paths.root, "imker"),
      ...["agent", "--runtime", runtime, "--workers", "1", "--log-level", "warn"],
      ...["--run-dir", join(folder, "run"), "--state-dir", join(folder, "state")],
      ...["--bpffs", this.#bpffs, "--socket", this.#socket],
    ]);
    await this.#ready(this.#agent);
    this.#addPod("client");
    this.#serverAddress = endpointSchema.parse(this.#addPod("server")).ipv4;
    if (policy !== "none") this.apply([benchPolicy(policy)]);
    this.#placeProxy();
  }

  /** Returns when the policies are in force; those of other names stay. */
  apply(policies: readonly unknown[]): void {
    const file = join(this.#options.folder, "policy.yaml");
    writeFileSync(file, policies.map((policy) => JSON.stringify(policy)).join("\n---\n"));
    const { errors } = applySchema.parse(this.#imker("policy", "apply", "-f", file, "--wait"));
    if (errors.length > 0) throw new RunError(`Cannot apply the policy: ${JSON.stringify(errors)}`);
  }

  async close(): Promise<void> {
    await this.#agent?.stop();
    await this.#cgroup.close();
    rmSync(this.#bpffs, { recursive: true, force: true });
    for (const netns of [this.node, this.client, this.server]) {
      if (existsSync(`/run/netns/${netns}`)) run(["ip", "netns", "delete", netns]);
    }
  }

  #imker(...args: string[]): unknown {
    const command = [join(this.#paths.root, "imker"), "--socket", this.#socket, "--json"];
    return JSON.parse(run([...command, ...args]));
  }

  async #ready(agent: Program): Promise<void> {
    const deadline = performance.now() + READY_TIMEOUT_MS;
    for (;;) {
      if (agent.hasExited) throw new RunError(`Cannot start the agent: ${agent.stderr.trim()}`);
      if (existsSync(this.#socket) && this.#proxyPid() !== undefined) return;
      if (performance.now() > deadline) {
        throw new RunError(`Cannot start the agent: not ready after ${READY_TIMEOUT_MS} ms`);
      }
      await new Promise((resolve) => setTimeout(resolve, READY_POLL_MS));
    }
  }

  #proxyPid(): number | undefined {
    try {
      return statusSchema.parse(this.#imker("status")).proxy?.pid;
    } catch (error) {
      if (error instanceof RunError) return undefined;
      throw error;
    }
  }

  #addPod(role: "client" | "server"): unknown {
    const netns = `/run/netns/${role === "client" ? this.client : this.server}`;
    const pod = ["--name", role, "--namespace", "bench", "--label", `app=${role}`];
    return this.#imker("endpoint", "add", "--netns", netns, ...pod);
  }

  /** The agent started the proxy on its own core and in its own group; both are set right here. */
  #placeProxy(): void {
    const { proxyCpu, proxyProcsFile } = this.#options;
    const pid = this.#proxyPid();
    if (pid === undefined) throw new RunError("Cannot measure: the proxy is not running");
    run(["taskset", "-a", "-p", "-c", String(proxyCpu), String(pid)]);
    if (proxyProcsFile !== undefined) writeFileSync(proxyProcsFile, String(pid));
    copyAutogroupNice(pid);
  }
}

/** The server accepts its port from the client, with the rules of every other row or without. */
export function benchPolicy(policy: "l4" | "http"): unknown {
  const http = HTTP_RULES.map(({ method, path }) => ({ method, path }));
  const toPorts = [
    {
      ports: [{ port: String(SERVER_PORT), protocol: "TCP" }],
      ...(policy === "http" ? { rules: { http } } : {}),
    },
  ];
  return {
    apiVersion: "cilium.io/v2",
    kind: "CiliumNetworkPolicy",
    metadata: { name: "bench", namespace: "bench" },
    spec: {
      endpointSelector: { matchLabels: { app: "server" } },
      ingress: [{ fromEndpoints: [{ matchLabels: { app: "client" } }], toPorts }],
    },
  };
}

/**
 * The proxy is a session, and so a scheduling group, of its own: it gets the weight that the run
 * has (sched(7), autogroup), or it alone would compete with whatever else the machine does.
 */
function copyAutogroupNice(pid: number): void {
  if (!existsSync("/proc/self/autogroup")) return;
  const nice = / nice (-?\d+)/.exec(readFileSync("/proc/self/autogroup", "utf8"))?.[1] ?? "0";
  writeFileSync(`/proc/${pid}/autogroup`, nice);
}

/** Removes the pins of killed runs. */
export function sweepPins(): void {
  if (!existsSync(BPFFS)) return;
  for (const name of readdirSync(BPFFS)) {
    if (isStaleName(name, isProcessAlive)) rmSync(join(BPFFS, name), { recursive: true });
  }
}

function mountBpffs(): void {
  const isMounted = run(["cat", "/proc/mounts"]).includes(` ${BPFFS} bpf `);
  if (!isMounted) run(["mount", "-t", "bpf", "bpf", BPFFS]);
}
