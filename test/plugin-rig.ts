/**
 * An agent with a vendor's plugin active, for tests with a protocol's own server and client: they
 * run in the pods' namespaces and end with the test.
 */
import { type ChildProcess, spawn } from "node:child_process";
import { join } from "node:path";
import type { Endpoint } from "../host/endpoint/types.ts";
import { endProcess } from "../host/process-list.ts";
import { ROOT } from "../runtime/testkit/built-plugin.ts";
import { Vendor } from "./plugin-node.ts";
import { pause, Rig } from "./rig.ts";

const VERSION = "0.1.0";
const CLIENT_TIMEOUT_SECONDS = 20;
const FLOW_DELAY_MS = 500;

/** What a program has printed so far, errors too. */
export type Running = ChildProcess & { text: string };

/** A flow event of the plugin. */
export interface PluginFlow {
  verdict: string;
  Summary: string;
  extensions?: { name: string; version: string; fields?: Record<string, string> };
}

export class PluginRig {
  readonly rig: Rig;
  readonly #plugin: string;
  readonly #vendor: Vendor;
  readonly #processes: ChildProcess[] = [];

  /** With version 0.1.0 of an example plugin, which is built before there is an agent. */
  static async start(plugin: string): Promise<PluginRig> {
    const vendor = new Vendor();
    const file = await vendor.package(join(ROOT, "examples/plugins", plugin), VERSION);
    const rig = await Rig.start(`imker-t-${plugin}`);
    const key = { name: "vendor", publicKey: vendor.publicKey, plugins: [plugin] };
    await rig.client.call("POST", "/v1/keys", key);
    await rig.client.upload("/v1/plugins", file, "application/wasm");
    await rig.client.call("PUT", `/v1/plugins/${plugin}/activation`, { version: VERSION });
    return new PluginRig(plugin, rig, vendor);
  }

  private constructor(plugin: string, rig: Rig, vendor: Vendor) {
    this.#plugin = plugin;
    this.rig = rig;
    this.#vendor = vendor;
  }

  /** Starts a program in a pod's namespace. */
  run(pod: Endpoint, argv: string[], env: NodeJS.ProcessEnv = {}): Running {
    const child = spawn("nsenter", [`--net=${pod.netns}`, ...argv], {
      env: { ...process.env, ...env },
      stdio: ["pipe", "pipe", "pipe"],
    });
    this.#processes.push(child);
    const running = Object.assign(child, { text: "" });
    for (const stream of [child.stdout, child.stderr]) {
      stream.on("data", (bytes: Buffer) => {
        running.text += bytes.toString("latin1");
      });
    }
    return running;
  }

  /** What a client prints for this standard input until it ends, in 20 s at most. */
  async ask(pod: Endpoint, argv: string[], input = "", env?: NodeJS.ProcessEnv): Promise<string> {
    const child = this.run(pod, ["timeout", String(CLIENT_TIMEOUT_SECONDS), ...argv], env);
    child.stdin?.end(input);
    await new Promise((resolve) => child.once("close", resolve));
    return child.text;
  }

  /** The last flows of the plugin. */
  async flows(): Promise<PluginFlow[]> {
    await pause(FLOW_DELAY_MS);
    const found: PluginFlow[] = [];
    for await (const line of this.rig.client.lines("/v1/flows?last=1000")) {
      const { flow } = JSON.parse(line) as { flow?: PluginFlow };
      if (flow?.extensions?.name === this.#plugin) found.push(flow);
    }
    return found;
  }

  async close(): Promise<void> {
    for (const { pid, exitCode } of this.#processes) {
      if (pid !== undefined && exitCode === null) await endProcess(pid);
    }
    await this.rig.close();
    this.#vendor.close();
  }
}
