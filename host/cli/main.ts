/** The command line: the command tree, and the one place that turns errors into exit codes. */
import { Command, CommanderError } from "commander";
import { terminalAsk } from "./ask.ts";
import { addAgentCommand } from "./commands/agent.ts";
import { addApiCommands } from "./commands/api.ts";
import { addBpfCommands } from "./commands/bpf.ts";
import { addCompletionCommand } from "./commands/completion.ts";
import { addDemoCommand } from "./commands/demo.ts";
import { addEndpointCommands } from "./commands/endpoint.ts";
import { addIdentityCommands } from "./commands/identity.ts";
import { addKeyCommands } from "./commands/key.ts";
import { addObserveCommand } from "./commands/observe.ts";
import { addPluginAuthorCommands } from "./commands/plugin-author.ts";
import { addPluginOperatorCommands } from "./commands/plugin-operator.ts";
import { addPolicyCommands } from "./commands/policy.ts";
import { addPrefilterCommands } from "./commands/prefilter.ts";
import { addProxyCommands } from "./commands/proxy.ts";
import { addStatusCommands } from "./commands/status.ts";
import { addUninstallCommand } from "./commands/uninstall.ts";
import { addVisibilityCommands } from "./commands/visibility.ts";
import { type CliContext, createContext, SOCKET_DEFAULT } from "./context.ts";
import { CliError, EXIT, type ExitCode } from "./errors.ts";

/** By name, so that the other commands need not load what throws them. */
const EXIT_OF_ERROR = new Map<string, ExitCode>([
  ["OptionError", EXIT.user],
  ["PolicyRefusedError", EXIT.user],
  ["EnvironmentError", EXIT.environment],
  ["DatapathError", EXIT.environment],
  ["StoreError", EXIT.environment],
  ["LostStateError", EXIT.environment],
]);

/** Everything `imker` understands. */
export function createProgram(context: CliContext): Command {
  const program = new Command("imker")
    .description(
      "eBPF networking and policy for containers, with sandboxed TypeScript plugins for L7",
    )
    .version("0.1.0")
    .option(
      "--socket <path>",
      `the agent's admin socket (default: IMKER_SOCKET, or ${SOCKET_DEFAULT})`,
    )
    .option("--json", "print JSON")
    .configureOutput({ writeOut: context.out, writeErr: context.err })
    .showSuggestionAfterError()
    .enablePositionalOptions()
    .exitOverride();
  addAgentCommand(program);
  addProxyCommands(program, context);
  addStatusCommands(program, context);
  addEndpointCommands(program, context);
  addIdentityCommands(program, context);
  addPolicyCommands(program, context);
  addPrefilterCommands(program, context);
  addVisibilityCommands(program, context);
  const plugin = program.command("plugin").description("L7 plugins: write, test, deploy, roll out");
  addPluginAuthorCommands(plugin, context);
  addPluginOperatorCommands(plugin, context);
  addKeyCommands(program, context);
  addObserveCommand(program, context);
  addBpfCommands(program, context);
  addApiCommands(program, context);
  addUninstallCommand(program, context);
  addDemoCommand(program, context);
  addCompletionCommand(program, context);
  acceptGlobals(program);
  return program;
}

/** `--json` and `--socket` work before and after the command's name, as users expect. */
function acceptGlobals(parent: Command): void {
  for (const command of parent.commands) {
    command.exitOverride().configureHelp({ showGlobalOptions: true });
    if (command.commands.length === 0 || command.name() === "proxy") {
      if (!command.options.some((option) => option.long === "--json")) {
        command.option("--json", "print JSON");
      }
      command.option("--socket <path>", "the agent's admin socket");
    }
    acceptGlobals(command);
  }
}

/** Runs one command line and returns its exit code. */
export async function runCli(argv: string[], context: CliContext): Promise<number> {
  try {
    await createProgram(context).parseAsync(argv, { from: "user" });
    return Number(process.exitCode ?? EXIT.ok);
  } catch (error) {
    // Commander has printed its message already; help and version end with 0.
    if (error instanceof CommanderError) return error.exitCode === 0 ? EXIT.ok : EXIT.user;
    if (error instanceof CliError) {
      context.err(`imker: ${error.message}\n`);
      return error.code;
    }
    // Errors of the agent and the datapath say what is wrong and what to do.
    const code = error instanceof Error ? EXIT_OF_ERROR.get(error.name) : undefined;
    if (!(error instanceof Error) || code === undefined) throw error;
    context.err(`imker: ${error.message}\n`);
    return code;
  }
}

if (import.meta.main) {
  process.stdout.on("error", (error: NodeJS.ErrnoException) => {
    // `imker observe -f | head` closes our output; that is no failure.
    if (error.code === "EPIPE") process.exit(EXIT.ok);
    throw error;
  });
  const context = createContext({
    out: (text) => process.stdout.write(text),
    err: (text) => process.stderr.write(text),
    socket: process.env.IMKER_SOCKET,
    sshConnection: process.env.SSH_CONNECTION,
    ask: terminalAsk(),
  });
  process.exitCode = await runCli(process.argv.slice(2), context);
}
