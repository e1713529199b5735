/**
 * Machines made of network namespaces: a node and an outside world. Nothing sent on them can leave
 * this machine, and everything made can be removed by name. The demo plays on one, tests on others.
 */
import { type ChildProcess, execFileSync, spawn } from "node:child_process";
import { existsSync, mkdirSync, openSync, readFileSync, rmSync } from "node:fs";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { ApiClient } from "../cli/client.ts";
import { CliError, EXIT } from "../cli/errors.ts";
import { endProcess, findProcesses } from "../process-list.ts";
import { WORLD } from "./scenario.ts";

const PROJECT = dirname(dirname(dirname(fileURLToPath(import.meta.url))));
const IMKER = join(PROJECT, "imker");
const SERVER = join(PROJECT, "host", "demo", "server.ts");
const DEVICE = "outside";
const AGENT_START_TIMEOUT_MS = 20_000;
const AGENT_POLL_MS = 25;
const LOG_LINES_SHOWN = 5;

export interface StageOptions {
  /** Names the namespaces, the run folder and the pins; at most 24 characters. */
  name: string;
  runtime: "node" | "deno";
  /** More of the agent's command line. */
  agentArgs?: string[];
}

export class Stage {
  readonly name: string;
  readonly runDir: string;
  readonly bpffs: string;
  readonly socket: string;
  readonly #runtime: string;
  readonly #agentArgs: string[];

  constructor(options: StageOptions) {
    this.name = options.name;
    this.#runtime = options.runtime;
    this.#agentArgs = options.agentArgs ?? [];
    this.runDir = `/run/${options.name}`;
    this.bpffs = `/sys/fs/bpf/${options.name}`;
    this.socket = `${this.runDir}/admin.sock`;
  }

  get nodeNetns(): string {
    return `/run/netns/${this.name}`;
  }

  get worldNetns(): string {
    return `/run/netns/${this.name}-world`;
  }

  exists(): boolean {
    return existsSync(this.nodeNetns) || existsSync(this.worldNetns) || existsSync(this.bpffs);
  }

  /** Node and world, connected. */
  build(): void {
    mkdirSync(this.runDir, { recursive: true, mode: 0o700 });
    for (const netns of [this.nodeNetns, this.worldNetns]) {
      run("ip", "netns", "add", netns.slice("/run/netns/".length));
      // No duplicate address detection: addresses must be usable at once.
      const noDad = ["net.ipv6.conf.all.accept_dad=0", "net.ipv6.conf.default.accept_dad=0"];
      run("nsenter", `--net=${netns}`, "sysctl", "-qw", ...noDad);
      this.#ip(netns, "link", "set", "lo", "up");
    }
    const link = ["link", "add", DEVICE, "type", "veth", "peer", "name", "node"];
    this.#ip(this.nodeNetns, ...link, "netns", `${this.name}-world`);
    const { node4, node6, partner4, partner6, excepted4 } = WORLD;
    this.#address(this.nodeNetns, DEVICE, [`${node4}/24`, `${node6}/64`]);
    const world = [`${partner4}/24`, `${excepted4}/24`, `${partner6}/64`];
    this.#address(this.worldNetns, "node", world);
    this.#ip(this.worldNetns, "route", "add", "default", "via", node4);
    this.#ip(this.worldNetns, "-6", "route", "add", "default", "via", node6);
  }

  /**
   * Starts the agent in the node's namespace, detached (with --keep it must outlive the demo), and
   * resolves with a client when it answers. Throws CliError with the end of its log when it does
   * not.
   */
  async startAgent(): Promise<ApiClient> {
    const log = openSync(join(this.runDir, "agent.log"), "a", 0o600);
    const args = [
      ...["agent", ...this.#folders(), "--device", DEVICE, "--node", this.name],
      ...["--runtime", this.#runtime, "--workers", "2", ...this.#agentArgs],
    ];
    const child = spawn("nsenter", [`--net=${this.nodeNetns}`, IMKER, ...args], {
      detached: true,
      stdio: ["ignore", log, log],
    });
    child.unref();
    return this.#answer(child);
  }

  /** Starts an HTTP server in a namespace, detached; resolves when it listens. */
  startServer(netns: string, port: number, name: string): Promise<void> {
    const server = [process.execPath, SERVER, String(port), name, this.name];
    const child = spawn("nsenter", [`--net=${netns}`, ...server], {
      detached: true,
      stdio: ["ignore", "pipe", "ignore"],
    });
    return new Promise((resolve, reject) => {
      child.once("error", reject);
      child.once("exit", (code) =>
        reject(new Error(`Cannot start the server ${name}: exit ${code}`)),
      );
      child.stdout.once("data", () => {
        child.stdout.destroy();
        child.unref();
        resolve();
      });
    });
  }

  /** Removes the servers, what the agent made in the kernel, and the stage itself. */
  async remove(): Promise<void> {
    for (const pid of findProcesses((args) => args[1] === SERVER && args[4] === this.name)) {
      await endProcess(pid);
    }
    // Rules and routes belong to the node's namespace.
    const enter = existsSync(this.nodeNetns) ? [`--net=${this.nodeNetns}`] : [];
    run("nsenter", ...enter, IMKER, "uninstall", ...this.#folders());
    for (const netns of [this.worldNetns, this.nodeNetns]) {
      if (existsSync(netns)) run("ip", "netns", "delete", netns.slice("/run/netns/".length));
    }
    rmSync(this.runDir, { recursive: true, force: true });
  }

  #folders(): string[] {
    return [
      ...["--run-dir", this.runDir, "--state-dir", `${this.runDir}/state`],
      ...["--bpffs", this.bpffs],
    ];
  }

  async #answer(child: ChildProcess): Promise<ApiClient> {
    const deadline = performance.now() + AGENT_START_TIMEOUT_MS;
    const client = new ApiClient(this.socket);
    for (;;) {
      try {
        await client.call("GET", "/v1/status");
        return client;
      } catch (cause) {
        if (performance.now() > deadline || child.exitCode !== null) {
          await client.close();
          const lines = readFileSync(join(this.runDir, "agent.log"), "utf8").trim().split("\n");
          const end = lines.slice(-LOG_LINES_SHOWN).join("\n");
          throw new CliError(EXIT.environment, `Cannot start the agent: ${end}`, { cause });
        }
        await new Promise((resolve) => setTimeout(resolve, AGENT_POLL_MS));
      }
    }
  }

  #address(netns: string, device: string, addresses: string[]): void {
    for (const address of addresses) {
      const noDad = address.includes(":") ? ["nodad"] : [];
      this.#ip(netns, "address", "add", address, "dev", device, ...noDad);
    }
    this.#ip(netns, "link", "set", device, "up");
  }

  #ip(netns: string, ...args: string[]): void {
    run("nsenter", `--net=${netns}`, "ip", ...args);
  }
}

/** Starts an HTTP server in a namespace and resolves when it listens. */
export function startServer(netns: string, port: number, name: string): Promise<ChildProcess> {
  const child = spawn("nsenter", [`--net=${netns}`, process.execPath, SERVER, String(port), name], {
    detached: true,
    stdio: ["ignore", "pipe", "ignore"],
  });
  return new Promise((resolve, reject) => {
    child.once("error", reject);
    child.once("exit", (code) =>
      reject(new Error(`Cannot start the server ${name}: exit ${code}`)),
    );
    child.stdout.once("data", () => {
      child.removeAllListeners("exit");
      child.stdout.destroy();
      child.unref();
      resolve(child);
    });
  });
}

/** Output is shown only in the error when the command fails. */
function run(program: string, ...args: string[]): void {
  try {
    execFileSync(program, args, { stdio: ["ignore", "pipe", "pipe"] });
  } catch (cause) {
    const { stderr, message } = cause as { stderr?: Buffer; message: string };
    const reason = stderr?.toString().trim() || message;
    throw new CliError(EXIT.environment, `Cannot run ${program} ${args.join(" ")}: ${reason}`, {
      cause,
    });
  }
}
