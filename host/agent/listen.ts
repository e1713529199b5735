/** Serves the admin API on a unix socket that only root may open; listen-tls.ts does on TCP. */
import { once } from "node:events";
import { chmodSync, rmSync } from "node:fs";
import type { Server } from "node:http";
import { createConnection, type ListenOptions, type Socket } from "node:net";
import { createAdaptorServer, type HttpBindings } from "@hono/node-server";
import type { Hono } from "hono";
import type { Admin, Caller } from "../admin/access.ts";
import { EnvironmentError } from "./environment.ts";

/** A request that does not come is not waited for. Of both listeners. */
export const HTTP_LIMITS = {
  headersTimeout: 10_000,
  /** Until the body is there; answering may take as long as it takes. */
  requestTimeout: 60_000,
  keepAliveTimeout: 10_000,
  connectionsCheckingInterval: 2_000,
  maxHeaderSize: 16 << 10,
} as const;

/** @throws EnvironmentError when an agent answers on the socket already. */
export async function refuseSecondAgent(socket: string): Promise<void> {
  if (!(await answers(socket))) return;
  throw new EnvironmentError(
    `Cannot run the agent: another one answers on ${socket}; stop it, or choose ` +
      "--run-dir, --state-dir and --bpffs",
  );
}

export interface ListenDeps {
  /** A connection could not be accepted; the listener goes on. */
  onError(error: Error): void;
}

export interface UnixListenDeps extends ListenDeps {
  /** Process and user at the other end of a connected unix socket. */
  peerOf(fd: number): readonly [pid: number, uid: number];
}

export async function listenAdmin(
  app: Hono<Admin>,
  socket: string,
  { peerOf, onError }: UnixListenDeps,
): Promise<Server> {
  rmSync(socket, { force: true });
  const callers = new WeakMap<Socket, Caller>();
  const server = createAdaptorServer({
    serverOptions: { ...HTTP_LIMITS },
    fetch: (request, env) => {
      const caller = callers.get((env as HttpBindings).incoming.socket);
      return app.fetch(request, { ...env, caller });
    },
  }) as Server;
  server.on("connection", (connection: Socket) => {
    try {
      const [pid, uid] = peerOf(fdOf(connection));
      callers.set(connection, { kind: "unix", pid, uid });
    } catch {
      // Gone already, or the kernel does not say who it is: then nobody is served.
      connection.destroy();
    }
  });
  // Between bind and chmod nobody else may get in.
  const mask = process.umask(0o177);
  try {
    await started(server, { path: socket }, onError);
  } finally {
    process.umask(mask);
  }
  chmodSync(socket, 0o600);
  return server;
}

/** Rejects when it cannot listen; what goes wrong later is reported. */
export async function started(
  server: Server,
  address: ListenOptions,
  onError: (error: Error) => void,
): Promise<void> {
  server.listen(address);
  await once(server, "listening");
  server.on("error", onError);
}

/** Node has no public name for it. Without one, the kernel refuses to name the peer. */
function fdOf(socket: Socket): number {
  const { _handle: handle } = socket as Socket & { _handle?: { fd?: number } | null };
  return handle?.fd ?? -1;
}

function answers(socket: string): Promise<boolean> {
  return new Promise((resolve) => {
    const probe = createConnection(socket);
    probe.once("connect", () => {
      probe.destroy();
      resolve(true);
    });
    probe.once("error", () => resolve(false));
  });
}
