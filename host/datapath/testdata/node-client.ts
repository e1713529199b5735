/** Drives a node process (node-process.ts) from a test, and the namespaces around it. */
import { type ChildProcess, execFileSync, spawn } from "node:child_process";
import { mkdirSync } from "node:fs";
import { createInterface } from "node:readline";
import type { PodLink } from "../../endpoint/types.ts";
import type { KernelDatapath } from "../index.ts";
import type { DatapathEvent, PolicyMapEntry } from "../types.ts";
import { LineClient } from "./line-client.ts";

const HERE = new URL(".", import.meta.url).pathname;
const PROJECT = new URL("../../../", import.meta.url).pathname;

export type EventJson = Omit<DatapathEvent, "time"> & { time: string };

export interface TestPod extends PodLink {
  id: number;
  name: string;
  ipv4: string;
  ipv6: string;
  identity: number;
  ownsNetns: boolean;
}

/** Runs iproute2 and friends; throws with what they said. */
export function sh(command: string): string {
  return execFileSync("sh", ["-ec", command], {
    encoding: "utf8",
    stdio: ["pipe", "pipe", "pipe"],
  });
}

/** One namespace that plays a node, and the process that owns its datapath. */
export class TestNode {
  readonly name: string;
  readonly netns: string;
  readonly bpffs: string;
  readonly pods: TestPod[] = [];
  #client: LineClient | undefined;

  constructor(name: string) {
    this.name = name;
    this.netns = `/run/netns/${name}`;
    this.bpffs = `/sys/fs/bpf/${name}`;
  }

  /** The namespace, with one address per family of the node's own. */
  create(ipv4: string, ipv6: string): void {
    sh("grep -q ' /sys/fs/bpf bpf ' /proc/mounts || mount -t bpf bpf /sys/fs/bpf");
    this.destroyLeftovers();
    sh(`ip netns add ${this.name}`);
    sh(`ip -n ${this.name} link set lo up`);
    sh(`ip -n ${this.name} addr add ${ipv4}/32 dev lo`);
    sh(`ip -n ${this.name} -6 addr add ${ipv6}/128 dev lo nodad`);
  }

  /** What a run that was killed has left. */
  destroyLeftovers(): void {
    sh(`rm -rf ${this.bpffs}; ip netns del ${this.name} 2>/dev/null || true`);
    for (const line of sh("ip netns list").split("\n")) {
      const [pod = ""] = line.split(" ");
      if (pod.startsWith(`${this.name}-`)) sh(`ip netns del ${pod}`);
    }
  }

  /** The process only; the datapath is not started. */
  launch(mapVersions: Record<string, number> = {}): void {
    const args = [this.bpffs, this.name, JSON.stringify(mapVersions)];
    this.#client = new LineClient(this.netns, "node-process.ts", args);
  }

  async start(mapVersions: Record<string, number> = {}): Promise<void> {
    this.launch(mapVersions);
    await this.call("datapath", "start");
  }

  async kill(): Promise<void> {
    await this.#client?.kill();
    this.#client = undefined;
  }

  call(target: string, method: string, ...args: unknown[]): Promise<unknown> {
    if (this.#client === undefined) throw new Error(`Cannot call ${method}: node is not started`);
    return this.#client.call({ target, method, args });
  }

  datapath<M extends keyof KernelDatapath>(
    method: M,
    ...args: KernelDatapath[M] extends (...args: infer A) => unknown ? A : never
  ): Promise<KernelDatapath[M] extends (...args: never) => infer R ? R : never> {
    return this.call("datapath", method, ...args) as Promise<never>;
  }

  /** Replaces the whole policy of an endpoint, or of the node (ENDPOINT_HOST). */
  async policy(endpoint: number, entries: readonly PolicyMapEntry[]): Promise<void> {
    await this.call("test", "policy", endpoint, entries);
  }

  events(): Promise<EventJson[]> {
    return this.call("test", "events") as Promise<EventJson[]>;
  }

  async addPod(
    name: string,
    id: number,
    ipv4: string,
    ipv6: string,
    identity: number,
  ): Promise<TestPod> {
    const spec = { id, name, ipv4, ipv6 };
    const link = (await this.call("network", "create", spec)) as PodLink;
    const pod = { ...spec, ...link, identity, ownsNetns: true };
    await this.datapath("upsertEndpoint", pod);
    this.pods.push(pod);
    return pod;
  }

  async destroy(): Promise<string[]> {
    for (const pod of this.pods) await this.call("network", "remove", pod);
    const removed = await this.datapath("uninstall");
    await this.kill();
    sh(`ip netns del ${this.name}`);
    return removed;
  }
}

export const ALLOW_ALL: PolicyMapEntry[] = (["ingress", "egress"] as const).map((direction) => ({
  identity: 0,
  direction,
  protocol: 0,
  port: 0,
  portPrefix: 0,
  precedence: 1,
  deny: false,
  redirect: false,
  ruleSet: 0,
  cookie: 0,
}));

/** A policy entry with what a test does not care about filled in. */
export function entry(fields: Partial<PolicyMapEntry>): PolicyMapEntry {
  return {
    identity: 0,
    direction: "ingress",
    protocol: 0,
    port: 0,
    portPrefix: fields.port === undefined ? 0 : 16,
    precedence: fields.deny ? 255 : fields.redirect ? 101 : 1,
    deny: false,
    redirect: false,
    ruleSet: fields.redirect ? 1 : 0,
    cookie: 0,
    ...fields,
  };
}

/** What the relay says about a connection it accepted. */
export interface RelayedJson {
  family: number;
  source: number;
  destination: number;
  egressRules: number;
  ingressRules: number;
  egressEndpoint: number;
  ingressEndpoint: number;
}

/** The test's transparent proxy (relay.c), compiled on first use. */
export class Relay {
  readonly accepted: RelayedJson[] = [];
  readonly #process: ChildProcess;
  readonly #ready: Promise<void>;

  constructor(node: TestNode, environment: Record<string, string> = {}) {
    const folder = `${PROJECT}.build/test`;
    const program = `${folder}/relay`;
    mkdirSync(folder, { recursive: true });
    sh(`cc -O1 -Wall -Werror -pthread -I${PROJECT}bpf -o ${program} ${HERE}relay.c`);
    this.#process = spawn("nsenter", [`--net=${node.netns}`, "--", program, `${node.bpffs}/maps`], {
      stdio: ["ignore", "pipe", "inherit"],
      env: { ...process.env, ...environment },
    });
    this.#ready = new Promise((resolve) => {
      const { stdout } = this.#process;
      if (stdout === null) return;
      createInterface({ input: stdout }).on("line", (line) => {
        if (line === "ready") resolve();
        else if (line.startsWith("{")) this.accepted.push(JSON.parse(line));
      });
    });
  }

  ready(): Promise<void> {
    return this.#ready;
  }

  async kill(): Promise<void> {
    if (this.#process.exitCode !== null || this.#process.signalCode !== null) return;
    const gone = new Promise((resolve) => this.#process.once("exit", resolve));
    this.#process.kill("SIGKILL");
    await gone;
  }
}
