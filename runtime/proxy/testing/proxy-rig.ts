/**
 * A proxy process with a real upstream for tests, on Node or Deno: its folder, its control socket,
 * clients that talk through it, and states made of real packages.
 */
import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { createConnection, createServer, type Server, type Socket } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createInterface } from "node:readline";
import type { ControlReply, FailurePolicy, ProxyState } from "../../contract/control.ts";
import { assemblePackage, digestOf } from "../../contract/package.ts";
import { FIXTURE_MANIFEST, guestComponent } from "../../isolate/guest-fixture.ts";

const PROJECT = join(import.meta.dirname, "..", "..", "..");
const MAIN = join(PROJECT, "runtime", "main.ts");
export const COMMANDS = {
  node: [process.execPath, MAIN],
  deno: [join(PROJECT, "node_modules", ".bin", "deno"), "run", "--no-prompt", "-A", MAIN],
} as const;
export type Runtime = keyof typeof COMMANDS;
const WAIT_MS_MAX = 20_000;

/** A list of one `pass(length)`, or of nothing when there are no bytes. */
export const PASS_ALL = `
  (i32.store (i32.const 1024) (i32.const 1040))
  (i32.store (i32.const 1028) (i32.ne (local.get $length) (i32.const 0)))
  (i32.store8 (i32.const 1040) (i32.const 1))
  (i64.store (i32.const 1048) (i64.extend_i32_u (local.get $length)))
  (i32.const 1024)`;

export async function until<T>(what: string, find: () => Promise<T | undefined>): Promise<T> {
  const deadline = performance.now() + WAIT_MS_MAX;
  for (;;) {
    const found = await find().catch(() => undefined);
    if (found !== undefined) return found;
    if (performance.now() > deadline) throw new Error(`Cannot see ${what}: waited in vain`);
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
}

export class Control {
  readonly #socket: Socket;
  readonly #waiting: { resolve: (reply: ControlReply) => void; reject: (why: Error) => void }[] =
    [];
  #seq = 0;

  constructor(socket: Socket) {
    this.#socket = socket;
    socket.on("error", () => {});
    socket.on("close", () => {
      for (const { reject } of this.#waiting.splice(0)) reject(new Error("the proxy hung up"));
    });
    const lines = createInterface({ input: socket });
    lines.on("error", () => {});
    lines.on("line", (line) => this.#waiting.shift()?.resolve(JSON.parse(line) as ControlReply));
  }

  close(): void {
    this.#socket.destroy();
  }

  send(request: Record<string, unknown>): Promise<ControlReply> {
    return this.raw(JSON.stringify({ seq: ++this.#seq, ...request }));
  }

  raw(line: string): Promise<ControlReply> {
    this.#socket.write(`${line}\n`);
    return new Promise((resolve, reject) => this.#waiting.push({ resolve, reject }));
  }
}

/** Package of a guest whose `on-data` is this; passes everything by default. */
export async function guestPackage(onData: string = PASS_ALL, vectors = ""): Promise<Uint8Array> {
  return assemblePackage(await guestComponent({ onData }), FIXTURE_MANIFEST, vectors);
}

export class ProxyRig {
  readonly folder = mkdtempSync(join(tmpdir(), "imk-proxy-"));
  readonly #children: ChildProcess[] = [];
  readonly #sockets: Socket[] = [];
  readonly #upstream: Server;
  #upstreamPort = 0;

  private constructor() {
    this.#upstream = createServer({ allowHalfOpen: true }, (socket) => {
      this.#sockets.push(socket);
      socket.on("error", () => {});
      socket.pipe(socket);
    });
  }

  static async open(): Promise<ProxyRig> {
    const rig = new ProxyRig();
    rig.#upstream.listen(0, "127.0.0.1");
    await once(rig.#upstream, "listening");
    const address = rig.#upstream.address();
    rig.#upstreamPort = typeof address === "object" && address !== null ? address.port : 0;
    return rig;
  }

  close(): void {
    for (const child of this.#children) child.kill("SIGKILL");
    for (const socket of this.#sockets) socket.destroy();
    this.#upstream.close();
    rmSync(this.folder, { recursive: true });
  }

  /** Starts a proxy; resolves when it is the one that answers at the socket. */
  async start(runtime: Runtime, port: number): Promise<[Control, ChildProcess]> {
    const [program = "", ...args] = COMMANDS[runtime];
    const flags = ["--run-dir", this.folder, "--state-dir", this.folder, "--workers", "2"];
    const listen = `127.0.0.1:${port}=127.0.0.1:${this.#upstreamPort},egress=1`;
    const child = spawn(program, [...args, ...flags, "--static", listen], {
      stdio: ["ignore", "inherit", "ignore"],
    });
    this.#children.push(child);
    const control = await until("the control socket", async () => {
      const socket = createConnection(join(this.folder, "proxy.sock"));
      await once(socket, "connect");
      this.#sockets.push(socket);
      const found = new Control(socket);
      const reply = await found.send({ kind: "hello", protocol: 2 });
      if (reply.ok && reply.hello?.pid === child.pid) return found;
      found.close();
      return undefined;
    });
    return [control, child];
  }

  /** A state whose rule set 1 is served by this package. */
  state(revision: number, file: Uint8Array, failure: FailurePolicy = "closed"): ProxyState {
    const digest = digestOf(file);
    const path = join(this.folder, `${digest.slice(7, 19)}.wasm`);
    writeFileSync(path, file);
    return {
      revision,
      plugins: [{ digest, manifest: FIXTURE_MANIFEST, path }],
      services: [{ plugin: "fixture", active: digest }],
      ruleSets: [
        {
          id: 1,
          plugin: "fixture",
          mode: "enforce",
          failure,
          forms: [{ digest, compiled: "AA==", patterns: [] }],
        },
      ],
    };
  }

  /** A connection that has got an echo. */
  async echo(port: number, text: string): Promise<Socket> {
    const socket = createConnection({ port, host: "127.0.0.1" });
    this.#sockets.push(socket);
    await once(socket, "connect");
    await talk(socket, text);
    return socket;
  }
}

/** Sends a text and awaits it; throws what ended the connection. */
export async function talk(socket: Socket, text: string): Promise<void> {
  socket.write(text);
  let got = "";
  while (got.length < text.length) {
    const [chunk] = (await Promise.race([
      once(socket, "data"),
      once(socket, "close").then(() => Promise.reject(new Error("closed"))),
    ])) as [Buffer];
    got += chunk.toString();
  }
  if (got !== text) throw new Error(`Cannot accept ${got}: not ${text}`);
}

export async function freePort(): Promise<number> {
  const server = createServer();
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  const address = server.address();
  server.close();
  return typeof address === "object" && address !== null ? address.port : 0;
}
