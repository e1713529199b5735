import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { existsSync, mkdtempSync, rmSync, statSync, writeFileSync } from "node:fs";
import { createConnection, createServer, type Server, type Socket } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import type { ControlReply, ProxyState, RuleSet } from "../contract/control.ts";
import { assemblePackage, digestOf } from "../contract/package.ts";
import { FIXTURE_MANIFEST, guestComponent } from "../isolate/guest-fixture.ts";

const PROJECT = join(import.meta.dirname, "..", "..");
const MAIN = join(PROJECT, "runtime", "main.ts");
const COMMANDS = {
  node: [process.execPath, MAIN],
  deno: [join(PROJECT, "node_modules", ".bin", "deno"), "run", "--no-prompt", "-A", MAIN],
} as const;
const WAIT_MS_MAX = 20_000;

/** A list of one `pass(length)`, or of nothing when there are no bytes. */
const PASS_ALL = `
  (i32.store (i32.const 1024) (i32.const 1040))
  (i32.store (i32.const 1028) (i32.ne (local.get $length) (i32.const 0)))
  (i32.store8 (i32.const 1040) (i32.const 1))
  (i64.store (i32.const 1048) (i64.extend_i32_u (local.get $length)))
  (i32.const 1024)`;

let folder = "";
let upstream: Server;
let upstreamPort = 0;
const children: ChildProcess[] = [];
const sockets: Socket[] = [];

beforeEach(async () => {
  folder = mkdtempSync(join(tmpdir(), "imk-proxy-"));
  upstream = createServer({ allowHalfOpen: true }, (socket) => {
    sockets.push(socket);
    socket.on("error", () => {});
    socket.pipe(socket);
  });
  upstream.listen(0, "127.0.0.1");
  await once(upstream, "listening");
  const address = upstream.address();
  upstreamPort = typeof address === "object" && address !== null ? address.port : 0;
});

afterEach(() => {
  for (const child of children.splice(0)) child.kill("SIGKILL");
  for (const socket of sockets.splice(0)) socket.destroy();
  upstream.close();
  rmSync(folder, { recursive: true });
});

async function until<T>(what: string, find: () => Promise<T | undefined>): Promise<T> {
  const deadline = performance.now() + WAIT_MS_MAX;
  for (;;) {
    const found = await find().catch(() => undefined);
    if (found !== undefined) return found;
    if (performance.now() > deadline) throw new Error(`Cannot see ${what}: waited in vain`);
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
}

class Control {
  readonly #socket: Socket;
  readonly #waiting: { resolve: (reply: ControlReply) => void; reject: (why: Error) => void }[] =
    [];
  #seq = 0;

  constructor(socket: Socket) {
    this.#socket = socket;
    sockets.push(socket);
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

/** Starts a proxy; resolves when it is the one that answers at the socket. */
async function start(
  runtime: keyof typeof COMMANDS,
  port: number,
): Promise<[Control, ChildProcess]> {
  const [program = "", ...args] = COMMANDS[runtime];
  const flags = ["--run-dir", folder, "--state-dir", folder, "--workers", "2"];
  const listen = `127.0.0.1:${port}=127.0.0.1:${upstreamPort},egress=1`;
  const child = spawn(program, [...args, ...flags, "--static", listen], {
    stdio: ["ignore", "inherit", "ignore"],
  });
  children.push(child);
  const control = await until("the control socket", async () => {
    const socket = createConnection(join(folder, "proxy.sock"));
    await once(socket, "connect");
    const found = new Control(socket);
    const reply = await found.send({ kind: "hello", protocol: 1 });
    if (reply.ok && reply.hello?.pid === child.pid) return found;
    found.close();
    return undefined;
  });
  return [control, child];
}

async function freePort(): Promise<number> {
  const server = createServer();
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  const address = server.address();
  server.close();
  return typeof address === "object" && address !== null ? address.port : 0;
}

/** A plugin that passes everything, and a rule set of it. */
async function passState(revision: number): Promise<ProxyState> {
  const component = await guestComponent({ onData: PASS_ALL });
  const path = join(folder, "plugin.wasm");
  const file = assemblePackage(component, FIXTURE_MANIFEST, "");
  writeFileSync(path, file);
  const digest = digestOf(file);
  return {
    revision,
    plugins: [{ digest, manifest: FIXTURE_MANIFEST, path }],
    services: [{ plugin: "fixture", active: digest }],
    ruleSets: [
      {
        id: 1,
        plugin: "fixture",
        mode: "enforce",
        failure: "closed",
        forms: [{ digest, compiled: "AA==", patterns: [] }],
      },
    ],
  };
}

async function echo(port: number, text: string): Promise<Socket> {
  const socket = createConnection({ port, host: "127.0.0.1" });
  sockets.push(socket);
  await once(socket, "connect");
  socket.on("error", () => {});
  await talk(socket, text);
  return socket;
}

async function refuses(port: number): Promise<true | undefined> {
  const socket = createConnection({ port, host: "127.0.0.1" });
  try {
    await once(socket, "connect");
    return undefined;
  } catch {
    return true;
  } finally {
    socket.destroy();
  }
}

async function talk(socket: Socket, text: string): Promise<void> {
  socket.write(text);
  const [chunk] = (await once(socket, "data")) as [Buffer];
  expect(chunk.toString()).toBe(text);
}

describe.each(["node", "deno"] as const)("the proxy process on %s", (runtime) => {
  test("takes a state, serves, survives kill -9 with it", { timeout: 60_000 }, async () => {
    const port = await freePort();
    const [control, child] = await start(runtime, port);
    expect(statSync(join(folder, "proxy.sock")).mode & 0o777).toBe(0o600);
    await expect(echo(port, "too early")).rejects.toThrow(/ECONNREFUSED/);

    const state = await passState(7);
    expect(await control.send({ kind: "state", state })).toEqual({ seq: 2, ok: true });
    const live = await echo(port, "hello");
    const reply = await control.send({ kind: "status" });
    const status = reply.ok ? reply.status : undefined;
    expect(status).toMatchObject({
      revision: 7,
      workers: 2,
      connections: 1,
      instances: 1,
      runtime,
    });
    expect(await control.send({ kind: "reevaluate", endpoints: [1] })).toMatchObject({ ok: true });
    await talk(live, "still here");

    child.kill("SIGKILL");
    await once(child, "exit");
    const [again] = await start(runtime, port);
    const hello = await again.send({ kind: "hello", protocol: 1 });
    expect(hello.ok && hello.hello?.revision).toBe(7);
    await echo(port, "enforcing without an agent");
  });

  test("refuses what it cannot use and keeps what it has", { timeout: 60_000 }, async () => {
    const port = await freePort();
    const [control] = await start(runtime, port);
    const state = await passState(1);
    await control.send({ kind: "state", state });
    const wrong = async (change: Partial<ProxyState>): Promise<string> => {
      const reply = await control.send({ kind: "state", state: { ...state, ...change } });
      return reply.ok ? "accepted" : reply.error;
    };
    const digest = state.plugins[0]?.digest ?? "";
    const form = { digest, compiled: "", patterns: [] };
    const fresh: RuleSet = {
      ...{ id: 2, plugin: "fixture", mode: "enforce", failure: "closed" },
      forms: [form],
    };
    const bad = { ...form, patterns: [{ handle: 1, source: "(" }] };
    expect(await wrong({ ruleSets: [{ ...fresh, plugin: "gone" }] })).toMatch(/gone is not/);
    expect(await wrong({ ruleSets: [{ ...fresh, forms: [bad] }] })).not.toBe("accepted");
    expect(await wrong({ ruleSets: [{ ...fresh, forms: [] }] })).toMatch(/no form for version/);
    const other = `sha256:${"0".repeat(64)}`;
    expect(await wrong({ services: [{ plugin: "fixture", active: other }] })).toMatch(
      /sha256:0000.* is not in the state/,
    );
    expect(await control.send({ kind: "nonsense" })).toMatchObject({ ok: false });
    expect(await control.raw("{")).toMatchObject({ ok: false, seq: 0 });
    expect(await control.send({ kind: "status" })).toMatchObject({ status: { revision: 1 } });
    await echo(port, "as before");
  });

  test("an upgrade: old connections stay, new ones go to the new", {
    timeout: 60_000,
  }, async () => {
    const port = await freePort();
    const [old, oldChild] = await start(runtime, port);
    await old.send({ kind: "state", state: await passState(1) });
    const live = await echo(port, "old");
    const [fresh] = await start(runtime, port);
    expect(await old.send({ kind: "drain", timeoutMs: 10_000 })).toMatchObject({ ok: true });
    await new Promise((resolve) => setTimeout(resolve, 600));
    await talk(live, "still served by the old");
    const next = await echo(port, "new");
    const status = await fresh.send({ kind: "status" });
    expect(status).toMatchObject({ status: { connections: 1 } });
    live.destroy();
    await once(oldChild, "exit");
    expect(oldChild.exitCode).toBe(0);
    await talk(next, "undisturbed");
    expect(existsSync(join(folder, "proxy.sock"))).toBe(true);
    expect(existsSync(join(folder, "records-0.sock"))).toBe(true);
  });

  test("SIGTERM: an open connection may end, then it exits", { timeout: 60_000 }, async () => {
    const port = await freePort();
    const [control, child] = await start(runtime, port);
    await control.send({ kind: "state", state: await passState(1) });
    const live = await echo(port, "open");
    child.kill("SIGTERM");
    await until("no listener", () => refuses(port));
    await talk(live, "last words");
    live.end();
    await once(child, "exit");
    expect(child.exitCode).toBe(0);
    expect(existsSync(join(folder, "proxy.sock"))).toBe(false);
  });
});

test("wrong options: one line, exit code 1", async () => {
  const [program, ...args] = COMMANDS.node;
  const child = spawn(program, [...args, "--workers", "none"]);
  let text = "";
  child.stderr.on("data", (chunk) => {
    text += chunk;
  });
  const [code] = await once(child, "exit");
  expect(code).toBe(1);
  expect(text).toBe("Cannot use --workers none: not 1 to 64\n");
});
