/** `imker plugin record|cases`: which connections are kept, and those that ended badly. */
import { type Command, InvalidArgumentError } from "commander";
import type { CaseView, RecordingView } from "../../admin/case-schema.ts";
import { type CliContext, table } from "../context.ts";
import { pluginPath } from "./plugin-argument.ts";

const UNIT_SECONDS: Readonly<Record<string, number>> = { s: 1, m: 60, h: 3600 };

interface RecordOptions {
  policy: string[];
  for?: number;
  bytes?: string;
  stop?: boolean;
  list?: boolean;
}

export function addRecordCommands(plugin: Command, context: CliContext): void {
  plugin
    .command("record")
    .description("keep the bytes of a plugin's new connections, to tell of those that end badly")
    .argument("<name>")
    .option(
      "--policy <namespace/name>",
      "only where this policy asks for the plugin; repeat for more",
      (text: string, all: string[]) => [...all, text],
      [],
    )
    .option("--for <time>", "such as 90s, 10m, 1h; at most 1h (default: 10m)", parseTime)
    .option("--bytes <n>", "of each direction of a connection (default: 16384)")
    .option("--list", "only show what is recorded")
    .option("--stop", "end all recordings of the plugin")
    .action(async (name: string, options: RecordOptions, command: Command) => {
      const path = pluginPath(name, "recordings");
      const { policy: policies, for: seconds, bytes } = options;
      await context.withClient(command, async (client) => {
        if (options.stop === true || options.list === true) {
          const method = options.stop === true ? "DELETE" : "GET";
          context.print(command, await client.call<RecordingView[]>(method, path), recordingTable);
          return;
        }
        const bytesMax = bytes === undefined ? undefined : Number(bytes);
        const body = { policies, seconds, bytesMax };
        const view = await client.call<RecordingView>("POST", path, body);
        context.print(command, view, (one) => recordingTable([one]));
      });
    });
  plugin
    .command("cases")
    .description("recorded connections that a plugin denied, found malformed or failed on")
    .option("--remove <id>", "remove this one")
    .action(async (options: { remove?: string }, command: Command) => {
      await context.withClient(command, async (client) => {
        if (options.remove === undefined) {
          context.print(command, await client.call<CaseView[]>("GET", "/v1/cases"), caseTable);
          return;
        }
        const path = `/v1/cases/${encodeURIComponent(options.remove)}`;
        const gone = await client.call<CaseView>("DELETE", path);
        context.print(command, gone, ({ id }) => `${id} removed\n`);
      });
    });
}

function recordingTable(all: RecordingView[]): string {
  return table(
    ["PLUGIN", "POLICIES", "UNTIL", "BYTES"],
    all.map((one) => [one.plugin, one.policies.join(",") || "all", one.until, one.bytesMax]),
  );
}

function caseTable(all: CaseView[]): string {
  return table(
    ["ID", "TIME", "PLUGIN", "VERSION", "SOURCE", "DESTINATION", "CAUSE", "KIND"],
    all.map(({ id, time, plugin, facts, cause, exact, partial }) => [
      ...[id, time, plugin.name, plugin.version],
      `${facts.source}:${facts.sourcePort}`,
      `${facts.destination}:${facts.destinationPort}`,
      ...[cause, exact ? "exact" : `partial (${partial.join("; ")})`],
    ]),
  );
}

/** Seconds. */
function parseTime(text: string): number {
  const [, count, unit = ""] = /^(\d{1,6})([smh])$/.exec(text) ?? [];
  if (count !== undefined) return Number(count) * (UNIT_SECONDS[unit] ?? 1);
  throw new InvalidArgumentError("expected a time such as 90s, 10m or 1h");
}
