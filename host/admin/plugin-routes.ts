/** Routes of plugins and versions: look, install, download, remove; instances, log, metrics. */
import type { Hono } from "hono";
import { z } from "zod";
import { PACKAGE_BYTES_MAX } from "../../runtime/contract/package.ts";
import type { Admin } from "./access.ts";
import {
  grantQuery,
  instanceView,
  logLine,
  logsQuery,
  pluginParams,
  pluginView,
  versionParams,
  versionView,
} from "./plugin-schema.ts";
import type { PluginBackend } from "./plugin-types.ts";
import { type RouteRegistry, route } from "./route.ts";

const EXAMPLE = { params: { name: "l7-http" } };
const VERSION_EXAMPLE = { params: { name: "l7-http", version: "0.1.0" } };
const METRICS_TYPE = "text/plain; version=0.0.4; charset=utf-8";

export function addPluginRoutes(
  app: Hono<Admin>,
  registry: RouteRegistry,
  plugins: PluginBackend,
): void {
  // Before /v1/plugins/:name, which would take it for a name.
  route(
    app,
    registry,
    {
      ...{ method: "GET", path: "/v1/plugins/instances", id: "listPluginInstances" },
      ...{ tag: "Plugins", role: "viewer", summary: "Sandboxes of all workers" },
      answers: { 200: { kind: "json", description: "All of them", schema: z.array(instanceView) } },
    },
    async (_input, reply) => reply(200, await plugins.instances()),
  );
  route(
    app,
    registry,
    {
      ...{ method: "GET", path: "/v1/metrics", id: "getMetrics" },
      ...{ tag: "Node", role: "viewer", summary: "Metrics, as Prometheus reads them" },
      answers: {
        200: { kind: "bytes", description: "Text format 0.0.4", mediaType: METRICS_TYPE },
      },
    },
    async (_input, reply) => reply(200, await plugins.metrics()),
  );
  addInstalled(app, registry, plugins);
  addVersion(app, registry, plugins);
  route(
    app,
    registry,
    {
      ...{ method: "GET", path: "/v1/plugins/:name/logs", id: "getPluginLog" },
      ...{ tag: "Plugins", role: "viewer", summary: "What a plugin wrote" },
      params: pluginParams,
      query: logsQuery,
      example: { ...EXAMPLE, query: "last=20" },
      answers: {
        200: { kind: "ndjson", description: "A line each, oldest first", schema: logLine },
      },
    },
    // Asked for here, not with the first line: too many readers hear it before the answer begins.
    ({ params, query }, reply) =>
      reply(200, (signal) => jsonLines(plugins.logs(params.name, query, signal))),
  );
}

function addInstalled(app: Hono<Admin>, registry: RouteRegistry, plugins: PluginBackend): void {
  route(
    app,
    registry,
    {
      ...{ method: "GET", path: "/v1/plugins", id: "listPlugins" },
      ...{ tag: "Plugins", role: "viewer", summary: "Installed plugins" },
      answers: { 200: { kind: "json", description: "All of them", schema: z.array(pluginView) } },
    },
    (_input, reply) => reply(200, plugins.list()),
  );
  route(
    app,
    registry,
    {
      ...{ method: "POST", path: "/v1/plugins", id: "installPlugin" },
      ...{ tag: "Plugins", role: "operator", summary: "Install a version from its package" },
      description: "Checks signature, imports and limits and compiles it. It serves nothing yet.",
      query: grantQuery,
      upload: { mediaType: "application/wasm", description: "The package, at most 8 MiB" },
      bodyBytesMax: PACKAGE_BYTES_MAX,
      answers: {
        200: { kind: "json", description: "It was installed already", schema: versionView },
        201: { kind: "json", description: "Installed", schema: versionView },
      },
    },
    async ({ request, query }, reply) => {
      const file = new Uint8Array(await request.arrayBuffer());
      const { view, created } = plugins.install(file, query.grant);
      const location = `/v1/plugins/${view.name}/versions/${view.version}`;
      return reply(created ? 201 : 200, view, { headers: { location } });
    },
  );
  route(
    app,
    registry,
    {
      ...{ method: "GET", path: "/v1/plugins/:name", id: "getPlugin" },
      ...{ tag: "Plugins", role: "viewer", summary: "One plugin and its versions" },
      params: pluginParams,
      example: EXAMPLE,
      answers: { 200: { kind: "json", description: "The plugin", schema: pluginView } },
    },
    ({ params }, reply) => reply(200, plugins.get(params.name)),
  );
}

function addVersion(app: Hono<Admin>, registry: RouteRegistry, plugins: PluginBackend): void {
  const version = "/v1/plugins/:name/versions/:version";
  route(
    app,
    registry,
    {
      ...{ method: "GET", path: version, id: "getPluginVersion" },
      ...{ tag: "Plugins", role: "viewer", summary: "One version" },
      params: versionParams,
      example: VERSION_EXAMPLE,
      answers: { 200: { kind: "json", description: "The version", schema: versionView } },
    },
    ({ params }, reply) => reply(200, plugins.version(params.name, params.version)),
  );
  route(
    app,
    registry,
    {
      ...{ method: "DELETE", path: version, id: "removePluginVersion" },
      ...{ tag: "Plugins", role: "operator", summary: "Remove a version that nothing uses" },
      params: versionParams,
      example: VERSION_EXAMPLE,
      answers: { 200: { kind: "json", description: "As it was", schema: versionView } },
    },
    async ({ params }, reply) => reply(200, await plugins.remove(params.name, params.version)),
  );
  route(
    app,
    registry,
    {
      ...{ method: "GET", path: `${version}/package`, id: "getPluginPackage" },
      ...{ tag: "Plugins", role: "viewer", summary: "Download a version's package" },
      params: versionParams,
      example: VERSION_EXAMPLE,
      answers: {
        200: { kind: "bytes", description: "With its signatures", mediaType: "application/wasm" },
      },
    },
    ({ params }, reply) => {
      const file = new Uint8Array(plugins.package(params.name, params.version));
      const name = `${params.name}-${params.version}.wasm`;
      return reply(200, file, {
        headers: { "content-disposition": `attachment; filename="${name}"` },
      });
    },
  );
}

async function* jsonLines(source: AsyncIterable<unknown>): AsyncGenerator<string> {
  for await (const line of source) yield JSON.stringify(line);
}
