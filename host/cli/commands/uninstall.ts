/** `imker uninstall`: remove everything from this node and say what. */
import type { Command } from "commander";
import { AGENT_DEFAULTS } from "../../options.ts";
import type { UninstallOptions } from "../../uninstall.ts";
import type { CliContext } from "../context.ts";

export function addUninstallCommand(program: Command, context: CliContext): void {
  program
    .command("uninstall")
    .description("stop agent and proxy, remove endpoints, programs, maps, rules, routes and state")
    .option("--run-dir <path>", "sockets and logs", AGENT_DEFAULTS.runDir)
    .option("--state-dir <path>", "database and proxy state", AGENT_DEFAULTS.stateDir)
    .option("--bpffs <path>", "where maps and links are pinned", AGENT_DEFAULTS.bpffs)
    .action(async (options: UninstallOptions, command: Command) => {
      const { uninstall } = await import("../../uninstall.ts");
      const removed = await uninstall(options);
      context.print(command, { removed }, (value) =>
        value.removed.length === 0
          ? "nothing to remove\n"
          : value.removed.map((line) => `removed ${line}\n`).join(""),
      );
    });
}
