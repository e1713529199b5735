/** Serves the admin API on a unix socket that only root may open. */
import { chmodSync, rmSync } from "node:fs";
import type { Server } from "node:http";
import { createConnection } from "node:net";
import { createAdaptorServer } from "@hono/node-server";
import type { Hono } from "hono";
import { EnvironmentError } from "./environment.ts";

/** @throws EnvironmentError when an agent answers on the socket already. */
export async function refuseSecondAgent(socket: string): Promise<void> {
  if (!(await answers(socket))) return;
  throw new EnvironmentError(
    `Cannot run the agent: another one answers on ${socket}; stop it, or choose ` +
      "--run-dir, --state-dir and --bpffs",
  );
}

export async function listenAdmin(app: Hono, socket: string): Promise<Server> {
  rmSync(socket, { force: true });
  const server = createAdaptorServer({ fetch: app.fetch }) as Server;
  // Between bind and chmod nobody else may get in.
  const mask = process.umask(0o177);
  try {
    await new Promise<void>((resolve, reject) => {
      server.once("error", reject);
      server.listen(socket, resolve);
    });
  } finally {
    process.umask(mask);
  }
  chmodSync(socket, 0o600);
  return server;
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
