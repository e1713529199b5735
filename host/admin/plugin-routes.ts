/**
 * The plugin resources of the admin API: plugins, versions, activations, trials, instances, logs,
 * metrics. Translates between HTTP and the backend, decides nothing.
 */
import type { Hono } from "hono";
import { stream } from "hono/streaming";
import { PACKAGE_BYTES_MAX } from "../../runtime/contract/package.ts";
import { addKeyRoutes } from "./key-routes.ts";
import { parsed, parsedBody } from "./plugin-body.ts";
import {
  activationRequest,
  grantQuery,
  promoteRequest,
  rollbackRequest,
  trialRequest,
} from "./plugin-schema.ts";
import type { PluginBackend } from "./plugin-types.ts";
import { ProblemError } from "./problem.ts";
import { Uploads } from "./upload.ts";

const LOG_LAST_DEFAULT = 100;
const LOG_LAST_MAX = 1000;

export function addPluginRoutes(app: Hono, backend: PluginBackend): void {
  // Before /v1/plugins/:name, which would take them for names.
  app.get("/v1/plugins/instances", async (context) => context.json(await backend.instances()));
  app.get("/v1/metrics", async (context) => {
    const text = await backend.metrics();
    return context.body(text, 200, { "content-type": "text/plain; version=0.0.4; charset=utf-8" });
  });
  addVersionRoutes(app, backend);
  addActivationRoutes(app, backend);
  addTrialRoutes(app, backend);
  addLogRoute(app, backend);
  addKeyRoutes(app, backend.keys);
}

function addVersionRoutes(app: Hono, backend: PluginBackend): void {
  const uploads = new Uploads();
  app.get("/v1/plugins", (context) => context.json(backend.list()));
  app.post("/v1/plugins", (context) => {
    const grant = context.req.query("grant");
    const granted = grant === undefined ? undefined : parsed(grantQuery, grant, "grant");
    return uploads.take(context.req.raw, PACKAGE_BYTES_MAX, (file) => {
      const { view, created } = backend.install(file, granted);
      return context.json(view, created ? 201 : 200, {
        location: `/v1/plugins/${view.name}/versions/${view.version}`,
      });
    });
  });
  app.get("/v1/plugins/:name", (context) => context.json(backend.get(context.req.param("name"))));
  app.get("/v1/plugins/:name/versions/:version", (context) => {
    const { name, version } = context.req.param();
    return context.json(backend.version(name, version));
  });
  app.delete("/v1/plugins/:name/versions/:version", async (context) => {
    const { name, version } = context.req.param();
    return context.json(await backend.remove(name, version));
  });
  app.get("/v1/plugins/:name/versions/:version/package", (context) => {
    const { name, version } = context.req.param();
    const file = backend.package(name, version);
    return context.body(new Uint8Array(file), 200, {
      "content-type": "application/wasm",
      "content-disposition": `attachment; filename="${name}-${version}.wasm"`,
    });
  });
}

function addActivationRoutes(app: Hono, backend: PluginBackend): void {
  app.get("/v1/plugins/:name/activation", (context) =>
    context.json(backend.activation(context.req.param("name"))),
  );
  app.put("/v1/plugins/:name/activation", async (context) => {
    const request = await parsedBody(activationRequest, context);
    return context.json(await backend.activate(context.req.param("name"), request));
  });
  app.post("/v1/plugins/:name/rollback", async (context) => {
    const { drainSeconds } = await parsedBody(rollbackRequest, context);
    return context.json(await backend.rollBack(context.req.param("name"), drainSeconds));
  });
}

function addTrialRoutes(app: Hono, backend: PluginBackend): void {
  app.get("/v1/plugins/:name/trials", (context) =>
    context.json(backend.trials(context.req.param("name"))),
  );
  app.post("/v1/plugins/:name/trials", async (context) => {
    const request = await parsedBody(trialRequest, context);
    const name = context.req.param("name");
    const trial = await backend.startTrial(name, request);
    return context.json(trial, 201, { location: `/v1/plugins/${name}/trials/${trial.id}` });
  });
  app.get("/v1/plugins/:name/trials/:id", async (context) => {
    const { name, id } = context.req.param();
    return context.json(await backend.trial(name, id));
  });
  app.post("/v1/plugins/:name/trials/:id/promote", async (context) => {
    const { name, id } = context.req.param();
    const request = await parsedBody(promoteRequest, context);
    return context.json(await backend.promote(name, id, request));
  });
  app.delete("/v1/plugins/:name/trials/:id", async (context) => {
    const { name, id } = context.req.param();
    return context.json(await backend.abort(name, id));
  });
}

function addLogRoute(app: Hono, backend: PluginBackend): void {
  app.get("/v1/plugins/:name/logs", (context) => {
    const last = Number(context.req.query("last") ?? LOG_LAST_DEFAULT);
    if (!Number.isInteger(last) || last < 0 || last > LOG_LAST_MAX) {
      throw new ProblemError(
        400,
        `Cannot read last=${context.req.query("last")}: expected a number up to ${LOG_LAST_MAX}`,
      );
    }
    const stop = new AbortController();
    const follow = context.req.query("follow") === "true";
    const lines = backend.logs(context.req.param("name"), { last, follow }, stop.signal);
    context.header("content-type", "application/x-ndjson");
    return stream(context, async (out) => {
      out.onAbort(() => stop.abort());
      for await (const line of lines) await out.writeln(JSON.stringify(line));
    });
  });
}
