/** A stage with an agent, for tests: short ways to add pods, apply policy, probe and restart. */
import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { dirname, join } from "node:path";
import { createInterface } from "node:readline";
import { fileURLToPath } from "node:url";
import type { AgentStatus, ApplyResult } from "../host/admin/types.ts";
import type { ApiClient } from "../host/cli/client.ts";
import { type CurlRequest, request } from "../host/demo/request.ts";
import { Stage } from "../host/demo/stage.ts";
import type { Endpoint } from "../host/endpoint/types.ts";
import { isRunning } from "../host/process-list.ts";

const PROBE = join(dirname(fileURLToPath(import.meta.url)), "probe.ts");

/** Counts by status or error, and `longestGapMs`. */
export type ProbeResult = Record<string, number>;

export interface Probe {
  stop(): Promise<ProbeResult>;
}

export class Rig {
  readonly stage: Stage;
  client: ApiClient;
  readonly #probes: ChildProcess[] = [];

  private constructor(stage: Stage, client: ApiClient) {
    this.stage = stage;
    this.client = client;
  }

  static async start(
    name: string,
    runtime: "node" | "deno" = "node",
    agentArgs: string[] = [],
  ): Promise<Rig> {
    const stage = new Stage({ name, runtime, agentArgs });
    if (stage.exists()) await stage.remove();
    stage.build();
    return new Rig(stage, await stage.startAgent());
  }

  async close(): Promise<void> {
    for (const probe of this.#probes) probe.kill("SIGKILL");
    await this.client.close();
    await this.stage.remove();
  }

  /** Adds a pod in namespace `test` with label app=name, and a server if `serve` names a port. */
  async pod(name: string, serve?: number): Promise<Endpoint> {
    const body = { name, namespace: "test", labels: { app: name } };
    const pod = await this.client.call<Endpoint>("POST", "/v1/endpoints", body);
    if (serve !== undefined) await this.stage.startServer(pod.netns, serve, name);
    return pod;
  }

  /** Applies YAML and waits until it is in force. */
  async apply(text: string): Promise<ApplyResult> {
    const body = { files: [{ file: "test.yaml", text }] };
    return this.client.call<ApplyResult>("POST", "/v1/policies?wait=true", body);
  }

  status(): Promise<AgentStatus> {
    return this.client.call<AgentStatus>("GET", "/v1/status");
  }

  /** Result of one curl, in the demo's words. */
  curl(
    from: Endpoint,
    to: Endpoint,
    path: string,
    more: Partial<CurlRequest> = {},
  ): Promise<string> {
    return request({
      netns: from.netns,
      address: to.ipv4,
      port: 8080,
      path,
      method: "GET",
      headers: [],
      askSource: false,
      ...more,
    });
  }

  async probe(from: Endpoint, url: string, intervalMs = 10): Promise<Probe> {
    const args = [`--net=${from.netns}`, process.execPath, PROBE, url, String(intervalMs)];
    const child = spawn("nsenter", args, { stdio: ["pipe", "pipe", "inherit"] });
    this.#probes.push(child);
    const lines = createInterface({ input: child.stdout });
    await once(lines, "line");
    return {
      async stop() {
        child.stdin.end();
        const [line] = (await once(lines, "line")) as [string];
        return JSON.parse(line) as ProbeResult;
      },
    };
  }

  /** Ends the agent with a signal, waits until it is gone, and starts another. */
  async restartAgent(signal: NodeJS.Signals, pauseMs = 0): Promise<void> {
    await this.killAgent(signal);
    await pause(pauseMs);
    await this.startAgent();
  }

  /** Gone when it resolves. */
  async killAgent(signal: NodeJS.Signals): Promise<void> {
    const { agent } = await this.status();
    process.kill(agent.pid, signal);
    await this.client.close();
    while (isRunning(agent.pid)) await pause(10);
  }

  async startAgent(): Promise<void> {
    this.client = await this.stage.startAgent();
  }
}

export function pause(ms: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, ms));
}

/** Allows `from` to reach `to` on 8080, with the given HTTP rules if any. */
export function allowPolicy(name: string, to: string, from: string, http?: string): string {
  const rules = http === undefined ? "" : `\n          rules: { http: [${http}] }`;
  return `
apiVersion: cilium.io/v2
kind: CiliumNetworkPolicy
metadata: { name: ${name}, namespace: test }
spec:
  endpointSelector: { matchLabels: { app: ${to} } }
  ingress:
    - fromEndpoints: [{ matchLabels: { app: ${from} } }]
      toPorts:
        - ports: [{ port: "8080", protocol: TCP }]${rules}
`;
}
