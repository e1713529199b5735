/**
 * Runs every check and every test and ends with one line, `N passed, N failed`. A check (types,
 * lint, format, tidy) counts as one test. Exit 0 only if something ran and nothing failed; 2 when
 * this machine cannot run them.
 *
 *   node test/run.ts [--unprivileged] [PATH…]
 *
 * --unprivileged  leave out the tests that need root
 * PATH…           only tests whose file name contains one of these; the checks run all the same
 */
import { existsSync, mkdirSync, rmSync } from "node:fs";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { Processes } from "./runner/processes.ts";
import { formatSummary, type Result, resultsOfSuite } from "./runner/report.ts";

/** The suite is to take 20 minutes at most on two cores of its own; a busy machine is slower. */
const TIME_LIMIT_MS = 30 * 60_000;
/** Daemons that were told to stop may take this long before they count as left behind. */
const STRAY_PATIENCE_MS = 3_000;

const root = dirname(dirname(fileURLToPath(import.meta.url)));
const node = join(root, "node_modules/.bin/node");
const bin = (name: string): string => join(root, "node_modules/.bin", name);

interface Check {
  readonly name: string;
  readonly command: readonly string[];
}

function checks(): Check[] {
  const projects = ["tsconfig.json", "plugins/tsconfig.json", "runtime/sdk/tsconfig.json"];
  const types = projects
    .filter((project) => existsSync(join(root, project)))
    .map((project) => ({ name: `types (${project})`, command: [bin("tsc"), "-p", project] }));
  return [
    ...types,
    {
      name: "lint and format (biome)",
      command: [
        bin("biome"),
        "check",
        "--colors=off",
        "--error-on-warnings",
        "--diagnostic-level=warn",
        ".",
      ],
    },
    { name: "format of C (clang-format)", command: ["make", "-s", "fmt-check"] },
    { name: "tidy", command: [node, "test/tidy/main.ts"] },
  ];
}

const seconds = (ms: number): string => `${(ms / 1000).toFixed(1)} s`;

async function runCheck(processes: Processes, check: Check): Promise<Result> {
  const { code, output, durationMs } = await processes.run(check.command, false);
  const passed = code === 0;
  console.log(`${passed ? "✓" : "✗"} ${check.name} (${seconds(durationMs)})`);
  if (!passed) console.log(output.trimEnd());
  return { name: check.name, passed, message: passed ? "" : output };
}

async function runSuite(
  processes: Processes,
  suite: string,
  filters: readonly string[],
): Promise<Result[]> {
  const reportPath = join(root, `.build/test/${suite}.json`);
  mkdirSync(dirname(reportPath), { recursive: true });
  rmSync(reportPath, { force: true });
  console.log(`\n── tests: ${suite}`);
  const vitest = [node, join(root, "node_modules/vitest/vitest.mjs"), "run"];
  const reporters = ["--reporter=default", "--reporter=json", `--outputFile.json=${reportPath}`];
  const command = [...vitest, `--project=${suite}`, "--passWithNoTests", ...reporters, ...filters];
  const outcome = await processes.run(command, true);
  return resultsOfSuite(suite, reportPath, outcome, root);
}

/** Tests end what they start; what is still there afterwards is a failure, and is ended here. */
async function endStrays(processes: Processes): Promise<Result[]> {
  const deadline = performance.now() + STRAY_PATIENCE_MS;
  let strays = processes.strays();
  while (strays.length > 0 && performance.now() < deadline) {
    await new Promise((resolve) => setTimeout(resolve, 100));
    strays = processes.strays();
  }
  if (strays.length === 0) return [];
  processes.killAll();
  const message = strays.map(({ pid, command }) => `${pid} ${command}`).join("\n");
  return [{ name: "processes left behind by the tests", passed: false, message }];
}

async function main(args: readonly string[]): Promise<number> {
  const filters = args.filter((arg) => !arg.startsWith("--"));
  const unknown = args.find((arg) => arg.startsWith("--") && arg !== "--unprivileged");
  if (unknown !== undefined) {
    console.error(`imker test: unknown option ${unknown} (known: --unprivileged)`);
    return 1;
  }
  const privileged = !args.includes("--unprivileged");
  if (privileged && process.getuid?.() !== 0) {
    console.error("imker test: must be root to load BPF programs; npm run ok needs no root");
    return 2;
  }
  const started = performance.now();
  const processes = new Processes(root, `${process.pid}-${Date.now()}`);
  const results: Result[] = [];
  const conclude = (): number => {
    console.log(`\n${formatSummary(results, performance.now() - started)}`);
    return results.length > 0 && results.every(({ passed }) => passed) ? 0 : 1;
  };
  const limit = setTimeout(() => {
    processes.killAll();
    const message = `not finished after ${TIME_LIMIT_MS / 60_000} minutes`;
    results.push({ name: "time limit", passed: false, message });
    process.exit(conclude());
  }, TIME_LIMIT_MS);
  for (const [signal, code] of [["SIGINT", 130] as const, ["SIGTERM", 143] as const]) {
    process.once(signal, () => {
      processes.killAll();
      process.exit(code);
    });
  }
  for (const check of checks()) results.push(await runCheck(processes, check));
  const before = results.length;
  for (const suite of privileged ? ["unit", "root"] : ["unit"]) {
    results.push(...(await runSuite(processes, suite, filters)));
    results.push(...(await endStrays(processes)));
  }
  clearTimeout(limit);
  if (results.length === before) {
    results.push({ name: "tests", passed: false, message: "no test ran" });
  }
  return conclude();
}

process.exitCode = await main(process.argv.slice(2));
