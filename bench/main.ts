/**
 * `node bench/main.ts`: the command line of the benchmarks. It constructs things and maps the ends
 * of a run to exit codes: 0 measured, 1 a run went wrong, 2 the machine lacks something.
 */
import { cpus } from "node:os";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { Command, InvalidArgumentError } from "commander";
import { sweepPins } from "./agent-node.ts";
import { sweepCgroups } from "./cgroup.ts";
import {
  FULL as DATAPATH_FULL,
  DATAPATH_PARTS,
  QUICK as DATAPATH_QUICK,
  runDatapath,
} from "./datapath/run.ts";
import { EnvironmentError, RunError } from "./errors.ts";
import { runL7 } from "./l7.ts";
import { formatFigures, toFigureReport } from "./plugin/figure.ts";
import { FULL, QUICK, runPlugin } from "./plugin/run.ts";
import { POD_ROWS, type PodRow, runPods } from "./pods.ts";
import { FULL as POLICY_FULL, QUICK as POLICY_QUICK, runPolicy } from "./policy/run.ts";
import { run } from "./process.ts";
import { envoyRow } from "./proxies/envoy.ts";
import { haproxyRow } from "./proxies/haproxy.ts";
import { imkerRows } from "./proxies/imker.ts";
import type { BenchPaths, ProxyRow } from "./proxies/proxy.ts";
import { relayRow } from "./proxies/relay.ts";
import { transparentRow } from "./proxies/transparent.ts";
import { formatReport, type Report, toRatios, toReportRow } from "./report.ts";
import { findShape, SHAPES } from "./shapes.ts";
import { requireMachine } from "./tools.ts";
import { isProcessAlive, isStaleName, sweepNamespaces } from "./topology.ts";

const ROWS: readonly ProxyRow[] = [relayRow, ...imkerRows, transparentRow, haproxyRow, envoyRow];
const ROW_NAMES = [...ROWS.map((row) => row.name), ...POD_ROWS];

interface L7Flags {
  rounds: number;
  seconds: number;
  warmup: number;
  shape: string;
  only?: string[];
  json?: true;
}

async function l7(flags: L7Flags, signal: AbortSignal): Promise<void> {
  const shape = findShape(flags.shape);
  if (shape === undefined) throw new RunError(`Cannot load in shape ${flags.shape}: it is unknown`);
  const wanted = (name: string): boolean => flags.only === undefined || flags.only.includes(name);
  const rows = ROWS.filter((row) => wanted(row.name));
  const podRows = POD_ROWS.filter((name) => wanted(name));
  const paths = await prepare(rows);
  const common = {
    shape,
    rounds: flags.rounds,
    windowMs: flags.seconds * 1000,
    warmupMs: flags.warmup * 1000,
  };
  const results = await runL7(paths, { ...common, rows }, signal);
  const pods: PodRow[] =
    podRows.length === 0 ? [] : await runPods(paths, { ...common, rows: podRows }, signal);
  const reportRows = results.map(toReportRow);
  const report: Report = {
    shape: shape.name,
    machine: describeMachine(),
    rows: reportRows,
    ratios: toRatios(reportRows),
    pod_to_pod: pods,
  };
  process.stdout.write(flags.json ? `${JSON.stringify(report, null, 2)}\n` : formatReport(report));
}

interface PluginFlags {
  quick?: true;
  json?: true;
}

async function plugin(flags: PluginFlags, signal: AbortSignal): Promise<void> {
  const paths = await openMachine();
  run(["make", "-s", "bpf", "native", "gen", "plugins"], { cwd: paths.root });
  const figures = await runPlugin(paths, flags.quick ? QUICK : FULL, signal);
  process.stdout.write(
    flags.json
      ? `${JSON.stringify(toFigureReport(figures), null, 2)}\n`
      : formatFigures(describeMachine(), figures),
  );
}

async function policy(flags: PluginFlags, signal: AbortSignal): Promise<void> {
  const paths = await openMachine();
  run(["make", "-s", "bpf", "native", "gen", "plugins"], { cwd: paths.root });
  const counts = flags.quick ? POLICY_QUICK : POLICY_FULL;
  const figures = await runPolicy(paths, counts, signal);
  process.stdout.write(
    flags.json
      ? `${JSON.stringify(toFigureReport(figures), null, 2)}\n`
      : formatFigures(describeMachine(), figures),
  );
}

interface DatapathFlags extends PluginFlags {
  only?: string[];
}

async function datapath(flags: DatapathFlags, signal: AbortSignal): Promise<void> {
  const paths = await openMachine();
  run(["make", "-s", "bpf", "native", "gen"], { cwd: paths.root });
  const counts = flags.quick ? DATAPATH_QUICK : DATAPATH_FULL;
  const parts = flags.only ?? DATAPATH_PARTS;
  const figures = await runDatapath(paths, { counts, parts }, signal);
  process.stdout.write(
    flags.json
      ? `${JSON.stringify(toFigureReport(figures), null, 2)}\n`
      : formatFigures(describeMachine(), figures),
  );
}

async function prepare(rows: readonly ProxyRow[]): Promise<BenchPaths> {
  const paths = await openMachine();
  const binaries = ["load", "server", "sink"].map((name) => `.build/bench/${name}`);
  run(["make", "-s", ...binaries], { cwd: paths.root });
  for (const row of rows) await row.prepare(paths);
  return paths;
}

/** Checks the machine and removes what killed runs left. */
async function openMachine(): Promise<BenchPaths> {
  requireMachine();
  const root = dirname(dirname(fileURLToPath(import.meta.url)));
  const paths: BenchPaths = {
    root,
    build: join(root, ".build", "bench"),
    progress: (line) => process.stderr.write(`${line}\n`),
  };
  sweepNamespaces();
  sweepPins();
  await sweepCgroups((name) => isStaleName(name, isProcessAlive));
  return paths;
}

function describeMachine(): string {
  const kernel = run(["uname", "-r"]).trim();
  const [first] = cpus();
  const date = new Date().toISOString().slice(0, 10);
  return `${date}, ${first?.model.trim() ?? "unknown CPU"}, ${cpus().length} cores, Linux ${kernel}`;
}

function parseCount(text: string): number {
  const value = Number(text);
  if (!Number.isFinite(value) || value <= 0) throw new InvalidArgumentError("not above 0");
  return value;
}

const parseNames = (text: string): string[] => namesOf(text, ROW_NAMES);
const parseParts = (text: string): string[] => namesOf(text, DATAPATH_PARTS);

function namesOf(text: string, all: readonly string[]): string[] {
  const names = text.split(",");
  const unknown = names.find((name) => !all.includes(name));
  if (unknown !== undefined) {
    throw new InvalidArgumentError(`no "${unknown}" (${all.join(", ")})`);
  }
  return names;
}

function program(signal: AbortSignal): Command {
  const command = new Command("bench").description(
    "Measures Imker beside what it is compared with",
  );
  command
    .command("l7")
    .description("CPU per request of the L7 proxies, and the rate from pod to pod")
    .option("--rounds <n>", "interleaved rounds", parseCount, 5)
    .option("--seconds <s>", "measured window of a row in a round", parseCount, 4)
    .option("--warmup <s>", "load before the window", parseCount, 2)
    .option(
      "--shape <name>",
      `load shape (${SHAPES.map(({ name }) => name).join(", ")})`,
      "keepalive",
    )
    .option("--only <rows>", `rows by name (${ROW_NAMES.join(", ")})`, parseNames)
    .option("--json", "print JSON instead of a table")
    .action((flags: L7Flags) => l7(flags, signal));
  command
    .command("plugin")
    .description("the plugin runtime's figures beside their goals")
    .option("--quick", "small counts: shows that it runs, the numbers say little")
    .option("--json", "print JSON instead of a table")
    .action((flags: PluginFlags) => plugin(flags, signal));
  command
    .command("policy")
    .description("the policy engine's figures beside their goals")
    .option("--quick", "small counts: shows that it runs, the numbers say little")
    .option("--json", "print JSON instead of a table")
    .action((flags: PluginFlags) => policy(flags, signal));
  command
    .command("datapath")
    .description("the datapath's figures beside their goals")
    .option("--only <parts>", `parts by name (${DATAPATH_PARTS.join(", ")})`, parseParts)
    .option("--quick", "small counts: shows that it runs, the numbers say little")
    .option("--json", "print JSON instead of a table")
    .action((flags: DatapathFlags) => datapath(flags, signal));
  return command;
}

async function main(): Promise<number> {
  const abort = new AbortController();
  // One signal ends the run in order: what was made is removed. The exit code is the shell's.
  let signalled = 0;
  for (const [name, number] of [
    ["SIGINT", 2],
    ["SIGTERM", 15],
  ] as const) {
    process.on(name, () => {
      signalled = 128 + number;
      abort.abort(new RunError(`Cannot finish the benchmark: ${name}`));
    });
  }
  try {
    await program(abort.signal).parseAsync();
    return 0;
  } catch (error) {
    if (error instanceof EnvironmentError || error instanceof RunError || signalled > 0) {
      process.stderr.write(`${error instanceof Error ? error.message : String(error)}\n`);
      return signalled || (error instanceof EnvironmentError ? 2 : 1);
    }
    throw error;
  }
}

process.exitCode = await main();
