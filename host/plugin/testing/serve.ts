/** The admin API with the plugin routes over a real unix socket, for tests. */
import type { Server } from "node:http";
import { join } from "node:path";
import { pino } from "pino";
import { createAdminApp } from "../../admin/app.ts";
import { addPluginRoutes } from "../../admin/plugin-routes.ts";
import type { AdminBackend } from "../../admin/types.ts";
import { listenAdmin } from "../../agent/listen.ts";
import type { PluginNode } from "./fixture.ts";

export interface Served {
  socket: string;
  close(): void;
}

/** Only the plugin resources answer; what else the API has needs a whole agent. */
export async function servePlugins(node: PluginNode): Promise<Served> {
  const app = createAdminApp({} as AdminBackend, pino({ level: "silent" }));
  addPluginRoutes(app, node.backend);
  const socket = join(node.folder, "admin.sock");
  const server: Server = await listenAdmin(app, socket);
  return {
    socket,
    close: () => {
      server.close();
      server.closeAllConnections();
    },
  };
}
