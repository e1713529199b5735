/** `imker agent`: run the agent in the foreground. */
import { availableParallelism, hostname } from "node:os";
import { join } from "node:path";
import { type Command, InvalidArgumentError, Option } from "commander";
import { AGENT_DEFAULTS, type AgentOptions } from "../../options.ts";
import { globalOption } from "../context.ts";

const WORKERS_MAX = 64;
export const WORKERS_DEFAULT = Math.min(availableParallelism(), WORKERS_MAX);

export function parseWorkers(text: string): number {
  const workers = Number(text);
  if (!Number.isInteger(workers) || workers < 1 || workers > WORKERS_MAX) {
    throw new InvalidArgumentError(`expected a number from 1 to ${WORKERS_MAX}`);
  }
  return workers;
}

type Flags = Omit<AgentOptions, "devices" | "policyDir"> & {
  device: string[];
  policyDir?: string;
};

export function addAgentCommand(program: Command): void {
  program
    .command("agent")
    .description("run the agent in the foreground; it starts and watches the proxy")
    .option("--run-dir <path>", "sockets and logs", AGENT_DEFAULTS.runDir)
    .option("--state-dir <path>", "database and proxy state", AGENT_DEFAULTS.stateDir)
    .option("--bpffs <path>", "where maps and links are pinned", AGENT_DEFAULTS.bpffs)
    .option("--node <name>", "name of this node in flows", hostname())
    .option("--cluster <name>", "name of the cluster in labels", AGENT_DEFAULTS.cluster)
    .option("--ipv4-pool <cidr>", "pod addresses", AGENT_DEFAULTS.ipv4Pool)
    .option("--ipv6-pool <cidr>", "pod addresses", AGENT_DEFAULTS.ipv6Pool)
    .option("--device <interface>", "interface to the outside; repeat", collect, [])
    .option("--policy-dir <path>", "keep the policy files of this folder in force")
    .option("--workers <n>", "worker threads of the proxy", parseWorkers, WORKERS_DEFAULT)
    .addOption(
      new Option("--runtime <name>", "what runs the proxy")
        .choices(["node", "deno"])
        .default("node"),
    )
    .addOption(
      new Option("--log-level <level>", "what is logged")
        .choices(["debug", "info", "warn", "error"])
        .default("info"),
    )
    .action(async (flags: Flags, command: Command) => {
      const { device, policyDir, ...rest } = flags;
      // Loading the agent takes a while; the other commands must not pay for it.
      const { runAgent } = await import("../../main.ts");
      await runAgent({
        ...rest,
        devices: device,
        policyDir,
        socket: globalOption(command, "socket") ?? join(rest.runDir, "admin.sock"),
      });
    });
}

function collect(value: string, all: string[]): string[] {
  return [...all, value];
}
