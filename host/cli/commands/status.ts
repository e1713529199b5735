/** `imker status`: what runs, what is in force, what does not work as it should. */
import type { Command } from "commander";
import type { AgentStatus } from "../../admin/types.ts";
import { countAll } from "../../agent/ct-collector.ts";
import type { CliContext } from "../context.ts";

export function addStatusCommands(program: Command, context: CliContext): void {
  program
    .command("status")
    .description("agent, proxy, kernel features, and what is degraded")
    .action(async (_options: unknown, command: Command) => {
      await context.withClient(command, async (client) => {
        context.print(command, await client.call<AgentStatus>("GET", "/v1/status"), statusText);
      });
    });
}

function statusText(status: AgentStatus): string {
  const { agent, proxy } = status;
  const lines = [
    `agent     ${agent.node}, pid ${agent.pid}, version ${agent.version}, since ${agent.startedAt}`,
    `policy    ${agent.policies} policies, revision ${agent.enforcedRevision} in force ` +
      `(wanted ${agent.policyRevision}), ${agent.endpoints} endpoints`,
    proxy === undefined
      ? "proxy     not running"
      : `proxy     ${proxy.runtime} ${proxy.runtimeVersion}, pid ${proxy.pid}, ` +
        `${proxy.workers} workers, revision ${proxy.revision}, ` +
        `${proxy.connections} connections, ${proxy.instances} plugin instances`,
    `memory    agent ${mebibytes(agent.rss)}, proxy ${proxy ? mebibytes(proxy.rss) : "-"}`,
    conntrackText(status),
    ...status.features.map(
      (one) => `feature   ${one.name}: ${one.available ? "yes" : `no (${one.detail})`}`,
    ),
    ...(status.degraded.length === 0
      ? ["degraded  nothing"]
      : status.degraded.map((text) => `degraded  ${text}`)),
  ];
  return `${lines.join("\n")}\n`;
}

function conntrackText({ conntrack: { alive, deleted, capacity } }: AgentStatus): string {
  const known = countAll(alive);
  const share = ((100 * known) / capacity).toFixed(1);
  return `conntrack ${known} of ${capacity} (${share} %), ${countAll(deleted)} expired and collected`;
}

function mebibytes(bytes: number): string {
  return `${(bytes / (1 << 20)).toFixed(0)} MiB`;
}
