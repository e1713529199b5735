/** `imker proxy` runs the proxy in the foreground; `imker proxy upgrade` replaces a running one. */
import { spawn } from "node:child_process";
import { constants } from "node:os";
import { type Command, Option } from "commander";
import type { ProxyHello } from "../../../runtime/contract/control.ts";
import { AGENT_DEFAULTS } from "../../options.ts";
import { type ProxyRuntime, proxyCommand } from "../../proxy/process.ts";
import type { CliContext } from "../context.ts";
import { parseWorkers, WORKERS_DEFAULT } from "./agent.ts";

interface ProxyOptions {
  runDir: string;
  stateDir: string;
  bpffs: string;
  runtime: ProxyRuntime;
  workers: number;
}

export function addProxyCommands(program: Command, context: CliContext): void {
  const proxy = program
    .command("proxy")
    .description("run the L7 proxy in the foreground (the agent starts one by itself)")
    .option("--run-dir <path>", "sockets and logs", AGENT_DEFAULTS.runDir)
    .option("--state-dir <path>", "last confirmed state", AGENT_DEFAULTS.stateDir)
    .option("--bpffs <path>", "pinned maps", AGENT_DEFAULTS.bpffs)
    .option("--workers <n>", "worker threads", parseWorkers, WORKERS_DEFAULT)
    .addOption(
      new Option("--runtime <name>", "what runs it").choices(["node", "deno"]).default("node"),
    )
    .action(async (options: ProxyOptions) => {
      const [file, ...args] = proxyCommand(options);
      const child = spawn(file, args, { stdio: "inherit" });
      for (const signal of ["SIGINT", "SIGTERM"] as const) {
        process.on(signal, () => child.kill(signal));
      }
      process.exitCode = await new Promise<number>((resolve) => {
        child.once("exit", (code, signal) => {
          resolve(code ?? 128 + (signal === null ? 0 : constants.signals[signal]));
        });
      });
    });
  proxy
    .command("upgrade")
    .description("start a new proxy, hand new connections to it, drain the old one")
    .option("--drain <seconds>", "how long the old one may serve open connections", "600")
    .action(async (options: { drain: string }, command: Command) => {
      await context.withClient(command, async (client) => {
        const hello = await client.call<ProxyHello>("POST", "/v1/proxy/upgrade", {
          drainSeconds: Number(options.drain),
        });
        context.print(
          command,
          hello,
          (one) => `proxy pid ${one.pid} (${one.runtime} ${one.runtimeVersion}) is in service\n`,
        );
      });
    });
}
