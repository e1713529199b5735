/** `imker demo`: the main job, end to end, on namespaces of its own. */
import { type Command, Option } from "commander";
import type { DemoOutcome } from "../../demo/run.ts";
import { type CliContext, table, wantsJson } from "../context.ts";
import { EXIT } from "../errors.ts";
import { compactLine } from "./observe.ts";

interface DemoFlags {
  runtime: "node" | "deno";
  keep?: boolean;
}

export function addDemoCommand(program: Command, context: CliContext): void {
  program
    .command("demo")
    .description("a node with pods, example policies and real requests; checks every result")
    .addOption(
      new Option("--runtime <name>", "what runs the proxy")
        .choices(["node", "deno"])
        .default("node"),
    )
    .option("--keep", "leave it running to play with; 'imker demo --down' removes it")
    .option("--down", "remove a demo that was kept")
    .action(async (flags: DemoFlags & { down?: boolean }, command: Command) => {
      const { demoStage, runDemo } = await import("../../demo/run.ts");
      if (flags.down) {
        const stage = demoStage(flags.runtime);
        context.err(stage.exists() ? "demo: removing it\n" : "demo: there is none\n");
        await stage.remove();
        return;
      }
      const outcome = await runDemo({
        runtime: flags.runtime,
        keep: flags.keep ?? false,
        progress: (line) => context.err(`demo: ${line}\n`),
      });
      if (wantsJson(command)) {
        context.out(`${JSON.stringify({ results: outcome.results }, undefined, 2)}\n`);
      } else {
        context.out(report(outcome));
        if (flags.keep) context.out(keptText(demoStage(flags.runtime).socket, outcome.webAddress));
      }
      if (!outcome.results.every((result) => result.pass)) process.exitCode = EXIT.user;
    });
}

function report({ results, flows }: DemoOutcome): string {
  const failed = results.filter((result) => !result.pass).length;
  return [
    table(
      ["", "CHECK", "EXPECTED", "ACTUAL"],
      results.map((one) => [one.pass ? "ok" : "FAIL", one.name, one.expected, one.actual]),
    ),
    `\n${results.length - failed} of ${results.length} as expected. The last flows:\n\n`,
    ...flows.filter((line) => line !== "").map(compactLine),
  ].join("");
}

function keptText(socket: string, webAddress: string): string {
  return `
It goes on running. The admin API listens on ${socket}:
  export IMKER_SOCKET=${socket}
  ./imker status
  ./imker endpoint list
  ./imker endpoint exec frontend -- curl -i http://${webAddress}:8080/products
  ./imker observe -f
  ./imker demo --down
`;
}
