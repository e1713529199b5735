/**
 * Imker as it is deployed: two pods of a real agent, an HTTP policy, connections handed to the
 * proxy by the datapath, flow records read by the agent. CPU is that of the proxy alone; the agent,
 * which turns every record into a flow, shares the core of client and server and shows in the
 * machine's.
 */
import { join } from "node:path";
import { AgentNode } from "../agent-node.ts";
import { RunError } from "../errors.ts";
import { startServer } from "../load.ts";
import { run } from "../process.ts";
import type { BenchPaths, ProxyRow, ProxySetting, RunningProxy } from "./proxy.ts";

export const transparentRow: ProxyRow = {
  name: "imker-transparent",
  enforces: true,
  async prepare(paths: BenchPaths): Promise<void> {
    run(["make", "-s", "bpf", "native", "gen", "plugins"], { cwd: paths.root });
  },
  async start(setting: ProxySetting): Promise<RunningProxy> {
    const { paths, placement, loadCpu } = setting;
    const [proxyProcsFile] = placement.procsFiles ?? [];
    const node = new AgentNode(paths, {
      policy: "http",
      runtime: "node",
      agentCpu: loadCpu,
      proxyCpu: placement.cpu,
      folder: setting.folder,
      ...(proxyProcsFile === undefined ? {} : { proxyProcsFile }),
    });
    try {
      await node.open();
      const at = {
        address: node.serverAddress,
        port: node.serverPort,
        bodyBytes: setting.bodyBytes,
      };
      const binary = join(paths.build, "server");
      const server = startServer({ cpu: loadCpu, netns: node.server }, binary, at);
      await server.waitForListener(node.serverPort);
      const agentCpuNs = node.agentCpuNs;
      let notes: string[] = [];
      return {
        target: `${node.serverAddress}:${node.serverPort}`,
        client: node.client,
        async verify({ allowed }): Promise<void> {
          const agentUs = (node.agentCpuNs - agentCpuNs) / 1000 / allowed;
          const { agentBytes, proxyBytes, counters } = node.account;
          requireParsed(counters, allowed);
          notes = [
            `agent ${agentUs.toFixed(2)} us CPU/request; ` +
              `resident: agent ${mebibytes(agentBytes)} MiB, proxy ${mebibytes(proxyBytes)} MiB`,
          ];
        },
        notes: async () => notes,
        async stop(): Promise<void> {
          await server.stop();
          await node.close();
        },
      };
    } catch (error) {
      await node.close();
      throw error;
    }
  },
};

/** The plugin sees both directions of every request; a datapath that went round it would not. */
function requireParsed(counters: Record<string, number>, requests: number): void {
  const { plugin_calls: calls = 0, faults = 0 } = counters;
  if (faults > 0 || calls < 2 * requests) {
    const state = `${calls} plugin calls and ${faults} faults for ${requests} requests`;
    throw new RunError(`Cannot believe row imker-transparent: ${state}`);
  }
}

function mebibytes(bytes: number): number {
  return Math.round(bytes / (1 << 20));
}
