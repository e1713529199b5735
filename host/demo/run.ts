/**
 * The main job, end to end: builds the stage, runs the agent on it, adds pods, applies the example
 * policies, makes every request of the scenario with real clients and compares. Cleans up whatever
 * happens, unless it was asked to keep it running.
 */
import type { ChildProcess } from "node:child_process";
import { readFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import type { ApplyResult } from "../admin/types.ts";
import { ApiClient } from "../cli/client.ts";
import { CliError, EXIT } from "../cli/errors.ts";
import type { Endpoint } from "../endpoint/types.ts";
import { request } from "./request.ts";
import { CHECKS, type DemoCheck, LIVE_CHANGE, PODS, POLICY_FILES, WORLD } from "./scenario.ts";
import {
  buildStage,
  removeStage,
  STAGE,
  stageExists,
  startAgent,
  startServer,
  uninstallStage,
  worldNetns,
} from "./stage.ts";

const POLICIES = join(
  dirname(dirname(dirname(fileURLToPath(import.meta.url)))),
  "examples",
  "policies",
);
const AGENT_START_TIMEOUT_MS = 20_000;
const AGENT_POLL_MS = 50;
/** Drops wait for curl's time-out, so requests run side by side; 2 cores bound how many. */
const REQUESTS_AT_ONCE = 8;
const FLOWS_SHOWN = 24;

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
}

interface Running {
  client: ApiClient;
  pods: Map<string, Endpoint>;
  servers: ChildProcess[];
}

export async function runDemo(options: DemoOptions): Promise<DemoOutcome> {
  if (stageExists()) {
    options.progress("removing what an earlier demo left");
    await takeDown(undefined);
  }
  let running: Running | undefined;
  let finished = false;
  const interrupted = (): void => {
    void takeDown(running).finally(() => process.exit(130));
  };
  process.once("SIGINT", interrupted);
  process.once("SIGTERM", interrupted);
  try {
    running = await setUp(options);
    const outcome = await judge(running, options);
    finished = true;
    return outcome;
  } finally {
    process.off("SIGINT", interrupted);
    process.off("SIGTERM", interrupted);
    await running?.client.close();
    if (!(options.keep && finished)) {
      options.progress("removing everything it made");
      await takeDown(running);
    }
  }
}

/** Ends a demo left running with --keep, or cut short. */
export async function takeDown(running: Running | undefined): Promise<void> {
  for (const server of running?.servers ?? []) server.kill("SIGKILL");
  uninstallStage();
  removeStage();
}

async function setUp(options: DemoOptions): Promise<Running> {
  options.progress("building a node and an outside world (network namespaces)");
  buildStage();
  options.progress(`starting the agent and the proxy (on ${options.runtime})`);
  startAgent(options.runtime);
  const client = await agentUp();
  options.progress(`adding ${PODS.length} pods through the endpoint API`);
  const pods = new Map<string, Endpoint>();
  const servers: ChildProcess[] = [];
  const running = { client, pods, servers };
  for (const { serve: _serve, ...pod } of PODS) {
    pods.set(pod.name, await client.call<Endpoint>("POST", "/v1/endpoints", pod));
  }
  servers.push(
    ...(await Promise.all([
      startServer(worldNetns(), WORLD.port, "partner"),
      ...PODS.filter((pod) => pod.serve !== undefined).map((pod) =>
        startServer(pods.get(pod.name)?.netns ?? "", pod.serve ?? 0, pod.name),
      ),
    ])),
  );
  options.progress(
    `applying ${POLICY_FILES.map((file) => `examples/policies/${file}`).join(", ")}`,
  );
  await apply(
    client,
    POLICY_FILES.map((file) => ({ file, text: readFileSync(join(POLICIES, file), "utf8") })),
  );
  return running;
}

async function agentUp(): Promise<ApiClient> {
  const deadline = performance.now() + AGENT_START_TIMEOUT_MS;
  const client = new ApiClient(STAGE.socket);
  for (;;) {
    try {
      await client.call("GET", "/v1/status");
      return client;
    } catch (error) {
      if (performance.now() > deadline) {
        const log = readFileSync(join(STAGE.runDir, "agent.log"), "utf8").trim().split("\n");
        const last = log.slice(-5).join("\n");
        throw new CliError(EXIT.environment, `Cannot start the agent: ${last}`, { cause: error });
      }
      await new Promise((resolve) => setTimeout(resolve, AGENT_POLL_MS));
    }
  }
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
  return { results, flows };
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
    netns: from?.netns ?? worldNetns(),
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
