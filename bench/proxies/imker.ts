/**
 * Imker's own rows: the proxy in static mode on Node and on Deno, one worker, with the plugin, fuel
 * and flow records as in production. The rule set is compiled by the plugin itself, as the agent
 * does it.
 */
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { compileRules } from "../../host/plugin/rule-compiler.ts";
import { readShipped, type ShippedPlugin } from "../../host/plugin/shipped.ts";
import { type ProxyRuntime, runtimeCommand } from "../../host/proxy/process.ts";
import type { ProxyState } from "../../runtime/contract/control.ts";
import { RunError } from "../errors.ts";
import { residentBytes, run, start } from "../process.ts";
import { RecordSink, requireRecords } from "../sink.ts";
import { ADDRESS } from "../topology.ts";
import type { BenchPaths, ProxyRow, ProxySetting, RunningProxy } from "./proxy.ts";
import { HTTP_RULES } from "./rules.ts";

const PORT = 9004;
const PLUGIN = "l7-http";
const RULE_SET = 1;
const NEEDED = [".build/native/engine.node", `.build/plugins/${PLUGIN}/plugin.wasm`];

function staticRow(runtime: ProxyRuntime): ProxyRow {
  return {
    name: `imker-${runtime}`,
    enforces: true,
    async prepare(paths: BenchPaths): Promise<void> {
      run(["make", "-s", ...NEEDED], { cwd: paths.root });
    },
    start: (setting) => startStatic(runtime, setting),
  };
}

export const imkerRows: readonly ProxyRow[] = [staticRow("node"), staticRow("deno")];

async function startStatic(runtime: ProxyRuntime, setting: ProxySetting): Promise<RunningProxy> {
  const { paths, folder } = setting;
  const listen = `${ADDRESS.proxyToClient}:${PORT}`;
  const stateFile = join(folder, "state.json");
  writeFileSync(stateFile, JSON.stringify(compileState(paths.root)));
  const proxy = start(`imker-${runtime}`, setting.placement, [
    // As ./imker does it, and so the agent that starts the proxy in production.
    ...["env", `NODE_COMPILE_CACHE=${join(paths.root, ".build", "compile-cache")}`],
    ...runtimeCommand(runtime),
    ...["--run-dir", folder, "--state-dir", folder, "--workers", "1"],
    ...["--static", `${listen}=${setting.upstream}`, "--state", stateFile],
  ]);
  await proxy.waitForListener(PORT);
  const socket = join(folder, "records-0.sock");
  const sink = new RecordSink({ cpu: setting.loadCpu }, join(paths.build, "sink"), socket);
  await sink.connected();
  let notes: string[] = [];
  return {
    target: listen,
    async verify({ allowed, denied }): Promise<void> {
      const counts = await sink.settled({ allowed, denied });
      const mebibytes = Math.round(residentBytes(proxy.pid) / (1 << 20));
      const frames = counts.requests.forwarded + counts.responses.forwarded;
      notes = [`${mebibytes} MiB resident, ${frames} records read, ${counts.lost} lost`];
      requireRecords(`imker-${runtime}`, counts, { allowed, denied });
    },
    notes: async () => notes,
    async stop(): Promise<void> {
      await sink.stop();
      await proxy.stop();
    },
  };
}

/** What the agent would send: the plugin, and the three rules compiled by it. */
function compileState(root: string): ProxyState {
  const { version, image } = findPlugin(join(root, ".build", "plugins"));
  const rules = HTTP_RULES.map(({ method, path }) => [
    { key: "method", value: method },
    { key: "path", value: path },
  ]);
  let patterns = 0;
  const form = compileRules(image, rules, () => ++patterns);
  return {
    revision: 1,
    plugins: [version],
    services: [{ plugin: PLUGIN, active: form.digest }],
    ruleSets: [{ id: RULE_SET, plugin: PLUGIN, mode: "enforce", failure: "closed", forms: [form] }],
  };
}

function findPlugin(folder: string): ShippedPlugin {
  try {
    const found = readShipped(folder).find(({ image }) => image.manifest.name === PLUGIN);
    if (found === undefined) throw new Error(`there is no ${PLUGIN} in ${folder}`);
    return found;
  } catch (cause) {
    const state = cause instanceof Error ? cause.message : String(cause);
    throw new RunError(`Cannot measure Imker: ${state}`, { cause });
  }
}
