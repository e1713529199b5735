/**
 * The bare epoll relay (relay.c): the practical limit of a user-space proxy, since it parses
 * nothing.
 */
import { join } from "node:path";
import { run, start } from "../process.ts";
import { ADDRESS } from "../topology.ts";
import type { BenchPaths, ProxyRow, ProxySetting, RunningProxy } from "./proxy.ts";

const PORT = 9001;

export const relayRow: ProxyRow = {
  name: "relay",
  enforces: false,
  async prepare(paths: BenchPaths): Promise<void> {
    run(["make", "-s", ".build/bench/relay"], { cwd: paths.root });
  },
  async start(setting: ProxySetting): Promise<RunningProxy> {
    const listen = `${ADDRESS.proxyToClient}:${PORT}`;
    const binary = join(setting.paths.build, "relay");
    const program = start("relay", setting.placement, [binary, listen, setting.upstream]);
    await program.waitForListener(PORT);
    return { target: listen, stop: () => program.stop() };
  },
};
