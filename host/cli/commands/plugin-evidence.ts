/** `imker plugin replay|case`: recorded traffic through a plugin, as a proof and as a test. */
import {
  appendFileSync,
  existsSync,
  mkdtempSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { type Command, InvalidArgumentError } from "commander";
import type { Case } from "../../../runtime/contract/case.ts";
import type { Replayed } from "../../../runtime/testkit/capture/replay.ts";
import type { CaseReport } from "../../../runtime/testkit/case-run.ts";
import type { VectorRules } from "../../../runtime/testkit/vectors.ts";
import type { ApiClient } from "../client.ts";
import type { CliContext } from "../context.ts";
import { CliError, EXIT } from "../errors.ts";
import { pluginPath } from "./plugin-argument.ts";

/** Runs an action; an author's mistake ends the command with its message. */
type ForAuthor = <T>(action: () => Promise<T>) => Promise<T>;

export interface EvidenceOptions {
  /** Root of this installation. */
  root: string;
  forAuthor: ForAuthor;
}

export function addPluginEvidenceCommands(
  plugin: Command,
  context: CliContext,
  options: EvidenceOptions,
): void {
  addReplay(plugin, context, options);
  addCase(plugin, context, options);
}

interface ReplayCommandOptions {
  plugin: string;
  rules?: string;
  port?: number;
}

function addReplay(
  plugin: Command,
  context: CliContext,
  { root, forAuthor }: EvidenceOptions,
): void {
  plugin
    .command("replay")
    .description("what a plugin makes of captured traffic (pcap, pcapng)")
    .argument("<capture>", "a capture of TCP")
    .requiredOption("--plugin <path>", "a package, or a project folder")
    .option("--rules <file>", "JSON: the rules of one policy, a list of maps")
    .option("--port <number>", "only connections to this port", portOf)
    .action(async (file: string, options: ReplayCommandOptions, command: Command) => {
      const replayed = await forAuthor(async () => {
        const { openPlugin } = await import("../../../runtime/testkit/plugin-source.ts");
        const { replayCapture } = await import("../../../runtime/testkit/capture/replay.ts");
        const capture = readInput(file);
        const stages = options.rules === undefined ? [] : [readRules(options.rules)];
        const opened = await openPlugin(root, resolve(options.plugin));
        const { port } = options;
        return replayCapture(capture, opened, { stages, ...(port !== undefined && { port }) });
      });
      context.print(command, replayed, (all) =>
        all.length === 0 ? "no TCP connection in the capture\n" : all.map(replayedText).join("\n"),
      );
      if (replayed.some((one) => "failure" in one.result || one.differences.length > 0)) {
        process.exitCode = EXIT.user;
      }
    });
}

function replayedText(one: Replayed): string {
  const { result } = one;
  const outcome =
    "failure" in result
      ? [`  ✗ ${result.failure}`]
      : [...result.records.map((line) => `  ${line}`), `  close ${result.close ?? "none"}`];
  return [
    `${one.client} -> ${one.server}: ${one.requestBytes} bytes, ${one.responseBytes} back`,
    ...one.notes.map((note) => `  (${note})`),
    ...outcome,
    ...one.differences.map((line) => `  ✗ source and sandbox differ: ${line}`),
    "",
  ].join("\n");
}

interface CaseCommandOptions {
  plugin?: string;
  test?: true | string;
}

/** A case's id, or the uuid of the flow that shows it. */
const CASE_ID = /^([0-9a-f]{12}|[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12})$/;

function addCase(plugin: Command, context: CliContext, { root, forAuthor }: EvidenceOptions): void {
  plugin
    .command("case")
    .description("judge a recorded connection again; says whether it reproduces")
    .argument("<case>", "a file, an id (imker plugin cases), or the uuid of a flow")
    .option(
      "--plugin <path>",
      "a package, or a project folder (default: the version that judged it; of a file: .)",
    )
    .option("--test [name]", "append it to the project's vectors.md")
    .action(async (given: string, options: CaseCommandOptions, command: Command) => {
      const here = options.plugin ?? ".";
      const found = CASE_ID.test(given) && !existsSync(given);
      const wantsPackage = found && options.plugin === undefined && options.test === undefined;
      const evidence = found
        ? await context.withClient(command, (client) => fetchCase(client, given, wantsPackage))
        : { text: readInput(given).toString("utf8") };
      const report = await forAuthor(async () => {
        const { readCase } = await import("../../../runtime/contract/case.ts");
        const { caseVector, runCase } = await import("../../../runtime/testkit/case-run.ts");
        const { openPlugin } = await import("../../../runtime/testkit/plugin-source.ts");
        const recorded = readCase(evidence.text);
        const done = await withFile(evidence.package, async (file) =>
          runCase(recorded, await openPlugin(root, file ?? resolve(here))),
        );
        if (options.test !== undefined) {
          const name = options.test === true ? `Case ${given}` : options.test;
          appendFileSync(join(here, "vectors.md"), caseVector(recorded, done.result, name));
        }
        return done;
      });
      context.print(command, report, caseText);
      if (!report.reproduces) process.exitCode = EXIT.user;
    });
}

interface Evidence {
  text: string;
  /** Of the version that judged the connection. */
  package?: Uint8Array;
}

async function fetchCase(client: ApiClient, id: string, withPackage: boolean): Promise<Evidence> {
  const one = await client.call<Case>("GET", `/v1/cases/${id}`);
  const text = JSON.stringify(one);
  if (!withPackage) return { text };
  const { name, version } = one.plugin;
  return { text, package: await client.download(pluginPath(name, "versions", version, "package")) };
}

/** Runs the action with a file of this content, which is gone afterwards. */
async function withFile<T>(
  content: Uint8Array | undefined,
  action: (file: string | undefined) => Promise<T>,
): Promise<T> {
  if (content === undefined) return action(undefined);
  const folder = mkdtempSync(join(tmpdir(), "imker-case-"));
  try {
    const file = join(folder, "plugin.wasm");
    writeFileSync(file, content);
    return await action(file);
  } finally {
    rmSync(folder, { recursive: true });
  }
}

function caseText(report: CaseReport): string {
  const kind = report.exact ? "exact" : `partial (${report.partial.join("; ")})`;
  const whose = report.samePlugin ? "" : ", on another version of the plugin";
  const says = report.reproduces ? "reproduces" : "does not reproduce";
  const zeros = `  zeros stand for ${report.unseen} bytes that passed unseen`;
  return [
    `${report.reproduces ? "✓" : "✗"} ${says}; the case is ${kind}${whose}`,
    ...(report.unseen > 0 ? [zeros] : []),
    ...report.differences.map((line) => `  ${line}`),
    ...report.nativeDifferences.map((line) => `  source and sandbox differ: ${line}`),
    "",
  ].join("\n");
}

function readInput(file: string): Buffer {
  try {
    return readFileSync(file);
  } catch (cause) {
    const reason = cause instanceof Error ? cause.message : String(cause);
    throw new CliError(EXIT.user, `Cannot read ${file}: ${reason}`, { cause });
  }
}

function readRules(file: string): VectorRules {
  const problem = `Cannot use ${file}: expected a list of rules, each a map of keys to texts`;
  let rules: unknown;
  try {
    rules = JSON.parse(readInput(file).toString("utf8"));
  } catch (cause) {
    if (cause instanceof CliError) throw cause;
    throw new CliError(EXIT.user, problem, { cause });
  }
  const isRule = (rule: unknown): rule is Record<string, string> =>
    typeof rule === "object" &&
    rule !== null &&
    Object.values(rule).every((value) => typeof value === "string");
  if (!Array.isArray(rules) || !rules.every(isRule)) throw new CliError(EXIT.user, problem);
  return rules;
}

function portOf(text: string): number {
  const port = Number(text);
  if (Number.isInteger(port) && port > 0 && port < 65_536) return port;
  throw new InvalidArgumentError("expected a port, 1..65535");
}
