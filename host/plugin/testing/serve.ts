/** The admin API with a test's plugins behind it, over a real unix socket. */
import { StillAgent } from "../../admin/testing/still-agent.ts";
import type { PluginNode } from "./fixture.ts";

export interface Served {
  socket: string;
  close(): void;
}

/** Of everything else that the API has, a still agent answers. */
export async function servePlugins(node: PluginNode): Promise<Served> {
  const agent = new StillAgent({ plugins: node.backend });
  await agent.listen();
  return { socket: agent.socket, close: () => agent.close() };
}
