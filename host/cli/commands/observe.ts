/** `imker observe`: flows of this node, in the formats of the hubble CLI. */
import { type Command, InvalidArgumentError, Option } from "commander";
import { formatCompact } from "../../hubble/format/compact.ts";
import { parseJson } from "../../hubble/format/json.ts";
import { type CliContext, wantsJson } from "../context.ts";

interface ObserveOptions {
  last?: number;
  follow?: boolean;
  since?: string;
  until?: string;
  output: "compact" | "json";
}

export function addObserveCommand(program: Command, context: CliContext): void {
  program
    .command("observe")
    .description("flows of this node")
    .option("--last <n>", "the last n flows (default: 20)", parseCount)
    .option("-f, --follow", "go on with new flows as they come")
    .option("--since <time>", "flows from this RFC 3339 time on")
    .option("--until <time>", "flows up to this RFC 3339 time")
    .addOption(
      new Option("-o, --output <format>", "compact, or json: one GetFlowsResponse a line")
        .choices(["compact", "json"])
        .default("compact"),
    )
    .action(async (options: ObserveOptions, command: Command) => {
      const query = new URLSearchParams();
      if (options.last !== undefined) query.set("last", String(options.last));
      if (options.follow) query.set("follow", "true");
      if (options.since !== undefined) query.set("since", options.since);
      if (options.until !== undefined) query.set("until", options.until);
      const json = options.output === "json" || wantsJson(command);
      await context.withClient(command, async (client) => {
        for await (const line of client.lines(`/v1/flows?${query}`)) {
          if (line === "") continue;
          context.out(json ? `${line}\n` : compactLine(line));
        }
      });
    });
}

export function compactLine(line: string): string {
  const text = formatCompact(parseJson(line));
  return text === "" ? "" : `${text}\n`;
}

function parseCount(text: string): number {
  const count = Number(text);
  if (!Number.isInteger(count) || count < 0) throw new InvalidArgumentError("expected a number");
  return count;
}
