/**
 * Two nodes that share an etcd, for tests: joined by the interface `peer`, each with an agent and
 * routed to each other's pods. Node n has 172.31.0.n and fd31::n; etcd runs beside node a.
 */
import { execFileSync } from "node:child_process";
import type { ApiClient } from "../host/cli/client.ts";
import { Stage } from "../host/demo/stage.ts";
import type { Endpoint } from "../host/endpoint/types.ts";
import { isRunning } from "../host/process-list.ts";
import { EtcdServer } from "../host/store/testing/etcd-server.ts";
import { pause } from "./rig.ts";

const POLL_MS = 10;

type Method = "GET" | "POST" | "PATCH" | "DELETE";

export class TestNode {
  readonly number: number;
  readonly stage: Stage;
  readonly #args: string[];
  #client: ApiClient | undefined;

  /** `args`: more of the agent's command line. */
  constructor(name: string, number: number, args: readonly string[]) {
    this.number = number;
    const pools = ["--ipv4-pool", `10.244.${number}.0/24`, "--ipv6-pool", `fd00:24${number}::/112`];
    const grace = ["--identity-change-grace-period", "0.5"];
    this.#args = [...grace, ...pools, "--device", "peer", ...args];
    this.stage = new Stage({ name, runtime: "node", agentArgs: this.#args });
  }

  get address(): string {
    return `172.31.0.${this.number}`;
  }

  async build(): Promise<void> {
    if (this.stage.exists()) await this.stage.remove();
    this.stage.build();
  }

  /** Addresses of its end of the link, and the way to the other's pods. */
  connect(other: TestNode): void {
    const { number } = this;
    this.enter("ip", "address", "add", `${this.address}/24`, "dev", "peer");
    this.enter("ip", "address", "add", `fd31::${number}/64`, "dev", "peer", "nodad");
    this.enter("ip", "link", "set", "peer", "up");
    this.enter("ip", "route", "add", `10.244.${other.number}.0/24`, "via", other.address);
    this.enter(
      "ip",
      "route",
      "add",
      `fd00:24${other.number}::/112`,
      "via",
      `fd31::${other.number}`,
    );
  }

  async startAgent(args: readonly string[] = []): Promise<void> {
    this.#args.push(...args);
    this.#client = await this.stage.startAgent();
  }

  async killAgent(): Promise<void> {
    const { agent } = await this.call<{ agent: { pid: number } }>("GET", "/v1/status");
    process.kill(agent.pid, "SIGKILL");
    await this.#client?.close();
    this.#client = undefined;
    while (isRunning(agent.pid)) await pause(POLL_MS);
  }

  async restart(): Promise<void> {
    await this.killAgent();
    await this.startAgent();
  }

  async remove(): Promise<void> {
    await this.#client?.close();
    await this.stage.remove();
  }

  enter(command: string, ...args: string[]): void {
    const all = [`--net=${this.stage.nodeNetns}`, command, ...args];
    execFileSync("nsenter", all, { stdio: "ignore" });
  }

  call<T>(method: Method, path: string, body?: unknown): Promise<T> {
    if (this.#client === undefined) throw new Error("the agent does not run");
    return this.#client.call<T>(method, path, body);
  }

  pod(name: string): Promise<Endpoint> {
    const body = { name, namespace: "test", labels: { app: name } };
    return this.call<Endpoint>("POST", "/v1/endpoints", body);
  }
}

export class TwoNodes {
  readonly a: TestNode;
  readonly b: TestNode;
  #etcd: EtcdServer | undefined;

  /** `name` begins the names of their namespaces; `args`: more of both agents' command lines. */
  constructor(name: string, args: { a?: readonly string[]; b?: readonly string[] } = {}) {
    this.a = new TestNode(`${name}a`, 1, args.a ?? []);
    this.b = new TestNode(`${name}b`, 2, args.b ?? []);
  }

  get etcd(): EtcdServer {
    if (this.#etcd === undefined) throw new Error("etcd does not run");
    return this.#etcd;
  }

  /** `etcdArgs`: more of etcd's command line. */
  async start(etcdArgs: readonly string[] = []): Promise<void> {
    const { a, b } = this;
    for (const one of [a, b]) await one.build();
    const peer = ["peer", "name", "peer", "netns", b.stage.name];
    a.enter("ip", "link", "add", "peer", "type", "veth", ...peer);
    a.connect(b);
    b.connect(a);
    this.#etcd = await EtcdServer.start({
      ...{ host: a.address, netns: a.stage.nodeNetns, args: etcdArgs },
    });
    const args = ["--identity-store", "etcd", "--etcd-endpoint", this.#etcd.endpoint];
    for (const one of [a, b]) await one.startAgent(args);
  }

  async remove(): Promise<void> {
    for (const one of [this.a, this.b]) await one.remove();
    await this.#etcd?.remove();
  }
}
