/**
 * The admin API, /v1. Routes translate between HTTP and the agent's parts and hold no logic of
 * their own. Every request passes audit trail, access control and the bound on its body, in this
 * order, before its route sees it.
 */
import { Hono } from "hono";
import { methodNotAllowed } from "hono/method-not-allowed";
import type { Logger } from "pino";
import { type Admin, accessControl } from "./access.ts";
import { type AccessParts, addAccessRoutes } from "./access-routes.ts";
import { auditTrail } from "./audit-trail.ts";
import { addCaseRoutes } from "./case-routes.ts";
import { addDocumentRoutes } from "./document-routes.ts";
import { addEndpointRoutes } from "./endpoint-routes.ts";
import { addExplainRoutes } from "./explain-routes.ts";
import { addFlowRoutes } from "./flow-routes.ts";
import { addKeyRoutes } from "./key-routes.ts";
import { addNodeRoutes } from "./node-routes.ts";
import { addPluginRoutes } from "./plugin-routes.ts";
import type { PluginBackend } from "./plugin-types.ts";
import { addPolicyRoutes } from "./policy-routes.ts";
import { addPrefilterRoutes } from "./prefilter-routes.ts";
import { ProblemError, problemResponse } from "./problem.ts";
import { boundedBodies } from "./request-body.ts";
import { addRolloutRoutes } from "./rollout-routes.ts";
import { RouteRegistry } from "./route.ts";
import type { AdminBackend } from "./types.ts";

export interface AdminParts extends AccessParts {
  backend: AdminBackend;
  plugins: PluginBackend;
  log: Logger;
  /** Of the agent; the document carries it. */
  version: string;
  /** Milliseconds since 1970. */
  nowMs: () => number;
}

export function createAdminApp(parts: AdminParts): Hono<Admin> {
  const { log, tokens, audit, nowMs } = parts;
  const app = new Hono<Admin>();
  const registry = new RouteRegistry();
  app.onError((error, context) => {
    const response = problemResponse(context, error);
    if (response.status === 500) log.error({ error, path: context.req.path }, "request failed");
    return response;
  });
  app.notFound((context) =>
    problemResponse(context, new ProblemError(404, `Cannot find ${context.req.path}`)),
  );
  app.use(auditTrail(audit, registry, nowMs));
  app.use(async (context, next) => {
    const { path } = context.req;
    context.set("onStreamError", (error) => log.error({ error, path }, "a stream broke off"));
    await next();
    context.header("cache-control", "no-store");
    context.header("x-content-type-options", "nosniff");
  });
  app.use(accessControl(registry, tokens));
  app.use(
    methodNotAllowed({
      app,
      onMethodNotAllowed: ({ req }, allowed) => {
        throw new ProblemError(405, `Cannot ${req.method} ${req.path}: see the Allow header`, {
          headers: { allow: allowed.join(", ") },
        });
      },
    }),
  );
  app.use(boundedBodies(registry));
  addRoutes(app, registry, parts);
  return app;
}

/** Everything that is declared, without an agent behind it. */
export function describeAdminApi(): RouteRegistry {
  const registry = new RouteRegistry();
  // Handlers are made and never called.
  addRoutes(new Hono<Admin>(), registry, { backend: {}, plugins: {}, version: "" } as AdminParts);
  return registry;
}

function addRoutes(app: Hono<Admin>, registry: RouteRegistry, parts: AdminParts): void {
  const { backend, plugins } = parts;
  addNodeRoutes(app, registry, backend);
  addEndpointRoutes(app, registry, backend);
  addPolicyRoutes(app, registry, backend);
  addExplainRoutes(app, registry, backend);
  addFlowRoutes(app, registry, backend);
  addPrefilterRoutes(app, registry, backend.prefilter);
  addPluginRoutes(app, registry, plugins);
  addRolloutRoutes(app, registry, plugins);
  addCaseRoutes(app, registry, plugins);
  addKeyRoutes(app, registry, plugins);
  addAccessRoutes(app, registry, parts);
  addDocumentRoutes(app, registry, parts.version);
}
