/** `imker plugin shadow|canary|promote|abort|trials`: versions tried beside the one that serves. */
import { setTimeout } from "node:timers/promises";
import { type Command, InvalidArgumentError } from "commander";
import type { TrialView } from "../../admin/plugin-schema.ts";
import type { ApiClient } from "../client.ts";
import type { CliContext } from "../context.ts";
import { CliError, EXIT } from "../errors.ts";
import { parseSeconds, pluginPath } from "./plugin-argument.ts";
import { trialTable, trialText } from "./plugin-text.ts";

const WATCH_MS = 1000;

interface TryOptions {
  percent?: number;
  policy: string[];
  stopOn: Record<string, number>;
  allowDowngrade?: boolean;
}

export function addTrialCommands(plugin: Command, context: CliContext): void {
  addTry(plugin, context, "shadow", "show a version the bytes that the active one serves");
  addTry(plugin, context, "canary", "let a version serve a share of the new connections");
  addEnd(plugin, context);
  plugin
    .command("trials")
    .description("trials of a plugin, the newest first; or one of them")
    .argument("<name>")
    .argument("[id]")
    .option("-w, --watch", "look again every second until no trial runs")
    .action(
      async (
        name: string,
        id: string | undefined,
        options: { watch?: boolean },
        command: Command,
      ) => {
        await context.withClient(command, async (client) => {
          while (true) {
            const running = await show(context, command, client, name, id);
            if (!running || options.watch !== true) return;
            await setTimeout(WATCH_MS);
          }
        });
      },
    );
}

/** Whether a trial of those shown runs. */
async function show(
  context: CliContext,
  command: Command,
  client: ApiClient,
  name: string,
  id: string | undefined,
): Promise<boolean> {
  if (id !== undefined) {
    const one = await client.call<TrialView>("GET", pluginPath(name, "trials", id));
    context.print(command, one, trialText);
    return one.state === "running";
  }
  const all = await client.call<TrialView[]>("GET", pluginPath(name, "trials"));
  context.print(command, all, trialTable);
  return all.some((one) => one.state === "running");
}

function addTry(
  plugin: Command,
  context: CliContext,
  kind: "shadow" | "canary",
  description: string,
): void {
  const command = plugin
    .command(kind)
    .description(description)
    .argument("<name>")
    .argument("<version>");
  const share = "share of new connections, 0 to 100";
  if (kind === "canary") command.requiredOption("--percent <n>", share, parsePercent);
  else command.option("--percent <n>", `${share} (default: 100)`, parsePercent);
  command
    .option(
      "--policy <namespace/name>",
      "only where this policy asks for the plugin; repeat for more",
      (text: string, all: string[]) => [...all, text],
      [],
    )
    .option(
      "--stop-on <what=n>",
      "end by itself at: faults=n, differences=n, fuelRatio=n, callMicros=n; repeat for more",
      collectBudget,
      {},
    )
    .option("--allow-downgrade", "also when a higher version is active")
    .action(async (name: string, version: string, options: TryOptions, self: Command) => {
      const { percent, policy: policies, stopOn, allowDowngrade } = options;
      await context.withClient(self, async (client) => {
        const body = { kind, version, percent, policies, stopOn, allowDowngrade };
        const path = pluginPath(name, "trials");
        context.print(self, await client.call<TrialView>("POST", path, body), trialText);
      });
    });
}

function addEnd(plugin: Command, context: CliContext): void {
  plugin
    .command("promote")
    .description("let the version on trial serve all new connections")
    .argument("<name>")
    .option(
      "--drain <seconds>",
      "how long the version before may keep its connections",
      parseSeconds,
    )
    .option("--watch <seconds>", "how long faults of the new version roll it back", parseSeconds)
    .action(async (name: string, options: { drain?: number; watch?: number }, command: Command) => {
      const { drain: drainSeconds, watch: watchSeconds } = options;
      await context.withClient(command, async (client) => {
        const { id } = await runningTrial(client, name);
        const path = pluginPath(name, "trials", id, "promote");
        const body = { drainSeconds, watchSeconds };
        context.print(command, await client.call<TrialView>("POST", path, body), trialText);
      });
    });
  plugin
    .command("abort")
    .description("end the trial; the active version serves on")
    .argument("<name>")
    .action(async (name: string, _options: unknown, command: Command) => {
      await context.withClient(command, async (client) => {
        const { id } = await runningTrial(client, name);
        const path = pluginPath(name, "trials", id);
        context.print(command, await client.call<TrialView>("DELETE", path), trialText);
      });
    });
}

async function runningTrial(client: ApiClient, name: string): Promise<TrialView> {
  const all = await client.call<TrialView[]>("GET", pluginPath(name, "trials"));
  const running = all.find((one) => one.state === "running");
  if (running !== undefined) return running;
  throw new CliError(
    EXIT.user,
    `Cannot find a running trial of ${name}: see 'imker plugin trials'`,
  );
}

function parsePercent(text: string): number {
  const value = Number(text);
  if (text === "" || !(value >= 0 && value <= 100)) {
    throw new InvalidArgumentError("expected a number from 0 to 100");
  }
  return value;
}

function collectBudget(text: string, all: Record<string, number>): Record<string, number> {
  const match = /^(faults|differences|fuelRatio|callMicros)=(\d+(?:\.\d+)?)$/.exec(text);
  if (match === null) throw new InvalidArgumentError("expected what=n, such as differences=5");
  return { ...all, [match[1] ?? ""]: Number(match[2]) };
}
