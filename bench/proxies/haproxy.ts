/**
 * haproxy from Debian, one thread, with the same three rules as ACLs. It pools its upstream
 * connections, which a proxy that keeps the client's address cannot.
 */
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { start } from "../process.ts";
import { requireTool } from "../tools.ts";
import { ADDRESS } from "../topology.ts";
import type { ProxyRow, ProxySetting, RunningProxy } from "./proxy.ts";
import { HTTP_RULES, type HttpRule } from "./rules.ts";

const PORT = 9002;

export const haproxyRow: ProxyRow = {
  name: "haproxy",
  enforces: true,
  async prepare(): Promise<void> {
    requireTool("haproxy");
  },
  async start(setting: ProxySetting): Promise<RunningProxy> {
    const listen = `${ADDRESS.proxyToClient}:${PORT}`;
    const file = join(setting.folder, "haproxy.cfg");
    writeFileSync(file, haproxyConfig(listen, setting.upstream, HTTP_RULES));
    const program = start("haproxy", setting.placement, [
      requireTool("haproxy"),
      "-db",
      "-f",
      file,
    ]);
    await program.waitForListener(PORT);
    return { target: listen, stop: () => program.stop() };
  },
};

export function haproxyConfig(
  listen: string,
  upstream: string,
  rules: readonly HttpRule[],
): string {
  const acls = rules.map(({ simple }, i) => {
    const test = simple.kind === "prefix" ? "path_beg" : "path";
    return `  acl path${i} ${test} ${simple.value}`;
  });
  const allowed = rules.map(({ method }, i) => `METH_${method} path${i}`).join(" or ");
  return `global
  nbthread 1
  maxconn 4096

defaults
  mode http
  timeout connect 5s
  timeout client 60s
  timeout server 60s

frontend bench
  bind ${listen}
${acls.join("\n")}
  http-request deny deny_status 403 unless ${allowed}
  default_backend server

backend server
  server server ${upstream}
`;
}
