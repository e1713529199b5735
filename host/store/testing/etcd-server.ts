/** A real etcd of Debian's on loopback, for one test file: started, stopped, started again. */
import { type ChildProcess, execFileSync, spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtempSync, rmSync } from "node:fs";
import { createServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";

const START_TIMEOUT_MS = 20_000;
const POLL_MS = 50;

export interface EtcdServerOptions {
  /** More of its command line. */
  args?: readonly string[];
  scheme?: "http" | "https";
  /** Address it listens on. */
  host?: string;
  /** Network namespace to run it in, as a path. */
  netns?: string;
}

export class EtcdServer {
  readonly endpoint: string;
  readonly #folder: string;
  readonly #peer: string;
  readonly #options: EtcdServerOptions;
  #process: ChildProcess | undefined;
  #token = "first";

  private constructor(ports: readonly number[], options: EtcdServerOptions) {
    this.#folder = mkdtempSync(join(tmpdir(), "imker-etcd-"));
    this.#options = options;
    const host = options.host ?? "127.0.0.1";
    this.endpoint = `${options.scheme ?? "http"}://${host}:${ports[0]}`;
    this.#peer = `http://127.0.0.1:${ports[1]}`;
  }

  static async start(options: EtcdServerOptions = {}): Promise<EtcdServer> {
    const server = new EtcdServer([await freePort(), await freePort()], options);
    await server.resume();
    return server;
  }

  /** Starts it on the data it had. */
  async resume(): Promise<void> {
    const etcd = [
      ...[
        "etcd",
        "--data-dir",
        join(this.#folder, "data"),
        "--name",
        "test",
        "--log-level",
        "error",
      ],
      ...["--listen-client-urls", this.endpoint, "--advertise-client-urls", this.endpoint],
      ...["--listen-peer-urls", this.#peer, "--initial-advertise-peer-urls", this.#peer],
      ...["--initial-cluster", `test=${this.#peer}`],
      ...["--initial-cluster-token", this.#token],
      ...(this.#options.args ?? []),
    ];
    const { netns } = this.#options;
    const [command = "", ...args] =
      netns === undefined ? etcd : ["nsenter", `--net=${netns}`, ...etcd];
    const child = spawn(command, args, { stdio: ["ignore", "ignore", "pipe"] });
    this.#process = child;
    let said = "";
    child.stderr.on("data", (chunk) => (said += String(chunk)));
    const deadlineMs = performance.now() + START_TIMEOUT_MS;
    while (!this.#answers()) {
      if (child.exitCode !== null || performance.now() > deadlineMs) {
        throw new Error(`Cannot start etcd: ${said || "it does not answer"}`);
      }
      await new Promise((resolve) => setTimeout(resolve, POLL_MS));
    }
  }

  async stop(signal: NodeJS.Signals = "SIGKILL"): Promise<void> {
    const child = this.#process;
    if (child === undefined || child.exitCode !== null || child.signalCode !== null) return;
    const ended = once(child, "exit");
    child.kill(signal);
    await ended;
  }

  /** It is there and answers nothing, until `proceed`. */
  pause(): void {
    this.#process?.kill("SIGSTOP");
  }

  proceed(): void {
    this.#process?.kill("SIGCONT");
  }

  /** Starts it anew with nothing in it; as another cluster, or as one of the same name. */
  async wipe(token = "another"): Promise<void> {
    await this.stop();
    rmSync(join(this.#folder, "data"), { recursive: true });
    this.#token = token;
    await this.resume();
  }

  async remove(): Promise<void> {
    await this.stop();
    rmSync(this.#folder, { recursive: true, force: true });
  }

  /** Forgets all revisions before `revision`. */
  compact(revision: number): void {
    this.ctl("compaction", String(revision));
  }

  /** `etcdctl` with this endpoint: what another client sees. */
  ctl(...args: string[]): string {
    return this.#enter("etcdctl", "--endpoints", this.endpoint, ...args);
  }

  #answers(): boolean {
    try {
      const tls = this.endpoint.startsWith("https") ? ["-k"] : [];
      this.#enter("curl", "-sf", "-m", "1", ...tls, ...this.#curlArgs(), `${this.endpoint}/health`);
      return true;
    } catch {
      return false;
    }
  }

  /** A server that wants certificates gives its own to its own health check. */
  #curlArgs(): string[] {
    const args = this.#options.args ?? [];
    const at = (name: string): string | undefined => args[args.indexOf(name) + 1];
    if (!args.includes("--client-cert-auth")) return [];
    return ["--cert", at("--cert-file") ?? "", "--key", at("--key-file") ?? ""];
  }

  #enter(command: string, ...args: string[]): string {
    const { netns } = this.#options;
    const [first = "", ...rest] =
      netns === undefined ? [command, ...args] : ["nsenter", `--net=${netns}`, command, ...args];
    const env = { ...process.env, ETCDCTL_API: "3" };
    return execFileSync(first, rest, { encoding: "utf8", env, stdio: ["ignore", "pipe", "pipe"] });
  }
}

async function freePort(): Promise<number> {
  const server = createServer().listen(0, "127.0.0.1");
  await once(server, "listening");
  const address = server.address();
  server.close();
  await once(server, "close");
  if (address === null || typeof address === "string") throw new Error("Cannot find a free port");
  return address.port;
}
