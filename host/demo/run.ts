/**
 * The main job, end to end: builds the stage, runs the agent on it, adds pods, applies the example
 * policies, makes every request of the scenario with real clients and compares. Cleans up whatever
 * happens, unless it was asked to keep it running.
 */
import { readFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import type { ApplyResult } from "../admin/types.ts";
import type { ApiClient } from "../cli/client.ts";
import { CliError, EXIT } from "../cli/errors.ts";
import type { Endpoint } from "../endpoint/types.ts";
import { request } from "./request.ts";
import { CHECKS, type DemoCheck, LIVE_CHANGE, PODS, POLICY_FILES, WORLD } from "./scenario.ts";
import { Stage } from "./stage.ts";

const POLICIES = join(
  dirname(dirname(dirname(fileURLToPath(import.meta.url)))),
  "examples",
  "policies",
);
/** Drops wait for curl's time-out, so requests run side by side; 2 cores bound how many. */
const REQUESTS_AT_ONCE = 8;
const FLOWS_SHOWN = 24;
/** As shells say it: 128 + SIGINT. */
const EXIT_INTERRUPTED = 130;

export interface DemoOptions {
  runtime: "node" | "deno";
  keep: boolean;
  /** Lines of progress. */
  progress: (line: string) => void;
}

export interface DemoResult {
  name: string;
  expected: string;
  actual: string;
  pass: boolean;
}

export interface DemoOutcome {
  results: DemoResult[];
  /** GetFlowsResponse protojson lines, oldest first. */
  flows: string[];
  /** Of the pod `web`. */
  webAddress: string;
}

interface Running {
  stage: Stage;
  client: ApiClient;
  pods: Map<string, Endpoint>;
}

export async function runDemo(options: DemoOptions): Promise<DemoOutcome> {
  const stage = demoStage(options.runtime);
  if (stage.exists()) {
    options.progress("removing the demo that runs here already, or what is left of it");
    await stage.remove();
  }
  const interrupted = (): void => {
    void stage.remove().finally(() => process.exit(EXIT_INTERRUPTED));
  };
  process.once("SIGINT", interrupted);
  process.once("SIGTERM", interrupted);
  let running: Running | undefined;
  let finished = false;
  try {
    running = await setUp(stage, options);
    const outcome = await judge(running, options);
    finished = true;
    return outcome;
  } finally {
    process.off("SIGINT", interrupted);
    process.off("SIGTERM", interrupted);
    await running?.client.close();
    if (!(options.keep && finished)) {
      options.progress("removing everything it made");
      await stage.remove();
    }
  }
}

/** Where the demo plays; also to end one that was kept. */
export function demoStage(runtime: DemoOptions["runtime"]): Stage {
  return new Stage({ name: "imker-demo", runtime });
}

async function setUp(stage: Stage, options: DemoOptions): Promise<Running> {
  options.progress("building a node and an outside world (network namespaces)");
  stage.build();
  options.progress(`starting the agent, and the proxy on ${options.runtime}`);
  const client = await stage.startAgent();
  options.progress(`the admin API listens on ${stage.socket}`);
  options.progress(`adding ${PODS.length} pods through the endpoint API`);
  const pods = new Map<string, Endpoint>();
  for (const { serve: _serve, ...pod } of PODS) {
    pods.set(pod.name, await client.call<Endpoint>("POST", "/v1/endpoints", pod));
  }
  await Promise.all([
    stage.startServer(stage.worldNetns, WORLD.port, "partner"),
    ...PODS.filter((pod) => pod.serve !== undefined).map((pod) =>
      stage.startServer(pods.get(pod.name)?.netns ?? "", pod.serve ?? 0, pod.name),
    ),
  ]);
  options.progress(
    `applying ${POLICY_FILES.map((file) => `examples/policies/${file}`).join(", ")}`,
  );
  await apply(
    client,
    POLICY_FILES.map((file) => ({ file, text: readFileSync(join(POLICIES, file), "utf8") })),
  );
  return { stage, client, pods };
}

async function apply(client: ApiClient, files: { file: string; text: string }[]): Promise<void> {
  const result = await client.send("POST", "/v1/policies?wait=true", { files });
  if (result.status !== 200) {
    const { errors } = result.body as Partial<ApplyResult>;
    throw new CliError(
      EXIT.environment,
      `Cannot apply the example policies: ${JSON.stringify(errors ?? result.body)}`,
    );
  }
}

async function judge(running: Running, options: DemoOptions): Promise<DemoOutcome> {
  options.progress(`making ${CHECKS.length} requests with curl`);
  const results = await judgeAll(running, CHECKS);
  options.progress("changing a policy while it runs");
  const [file = ""] = POLICY_FILES;
  const before = readFileSync(join(POLICIES, file), "utf8");
  const text = before.replace(LIVE_CHANGE.find, LIVE_CHANGE.replace);
  await apply(running.client, [{ file, text }]);
  results.push(...(await judgeAll(running, LIVE_CHANGE.checks)));
  const flows: string[] = [];
  for await (const line of running.client.lines(`/v1/flows?last=${FLOWS_SHOWN}`)) flows.push(line);
  return { results, flows, webAddress: running.pods.get("web")?.ipv4 ?? "" };
}

async function judgeAll(running: Running, checks: readonly DemoCheck[]): Promise<DemoResult[]> {
  const results: DemoResult[] = [];
  const queue = [...checks.entries()];
  const worker = async (): Promise<void> => {
    for (let next = queue.shift(); next !== undefined; next = queue.shift()) {
      const [index, check] = next;
      results[index] = await judgeOne(running, check);
    }
  };
  await Promise.all(Array.from({ length: REQUESTS_AT_ONCE }, worker));
  return results;
}

async function judgeOne(running: Running, check: DemoCheck): Promise<DemoResult> {
  const from = running.pods.get(check.from);
  const actual = await request({
    netns: from?.netns ?? running.stage.worldNetns,
    address: addressOf(running, check),
    port: check.port,
    path: check.path,
    method: check.method ?? "GET",
    headers: check.headers ?? [],
    askSource: check.askSource ?? false,
  });
  const source = check.family === 4 ? from?.ipv4 : from?.ipv6;
  const readable = actual === `from ${source}` ? `from ${check.from}` : actual;
  return {
    name: check.name,
    expected: check.expected,
    actual: readable,
    pass: readable === check.expected,
  };
}

function addressOf(running: Running, check: DemoCheck): string {
  if (check.to === "partner") return check.family === 4 ? WORLD.partner4 : WORLD.partner6;
  if (check.to === "excepted") return WORLD.excepted4;
  const pod = running.pods.get(check.to);
  if (pod === undefined) throw new Error(`Cannot find the demo's pod "${check.to}"`);
  return check.family === 4 ? pod.ipv4 : pod.ipv6;
}
