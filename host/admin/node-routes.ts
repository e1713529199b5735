/** Routes of the node as a whole: status, identities, proxy and agent. */
import type { Hono } from "hono";
import { z } from "zod";
import type { Admin } from "./access.ts";
import { addKernelRoutes } from "./kernel-routes.ts";
import { ProblemError } from "./problem.ts";
import { type RouteRegistry, route } from "./route.ts";
import { identityParams, stopQuery, upgradeRequest } from "./schema.ts";
import type { AdminBackend } from "./types.ts";
import { agentStatus, identityView, proxyHello } from "./view-schema.ts";

export function addNodeRoutes(
  app: Hono<Admin>,
  registry: RouteRegistry,
  backend: AdminBackend,
): void {
  route(
    app,
    registry,
    {
      ...{ method: "GET", path: "/v1/status", id: "getStatus", tag: "Node", role: "viewer" },
      summary: "Agent, proxy, kernel features, and what is degraded",
      answers: { 200: { kind: "json", description: "The status", schema: agentStatus } },
    },
    async (_input, reply) => reply(200, await backend.status()),
  );
  addIdentities(app, registry, backend);
  addProcesses(app, registry, backend);
  addKernelRoutes(app, registry, backend);
}

function addIdentities(app: Hono<Admin>, registry: RouteRegistry, backend: AdminBackend): void {
  route(
    app,
    registry,
    {
      ...{ method: "GET", path: "/v1/identities", id: "listIdentities", tag: "Node" },
      role: "viewer",
      summary: "Identities this node knows",
      answers: {
        200: { kind: "json", description: "By number", schema: z.array(identityView) },
      },
    },
    (_input, reply) => reply(200, backend.identities()),
  );
  route(
    app,
    registry,
    {
      ...{ method: "GET", path: "/v1/identities/:id", id: "getIdentity", tag: "Node" },
      ...{ role: "viewer", params: identityParams, example: { params: { id: "1" } } },
      summary: "One identity",
      answers: { 200: { kind: "json", description: "The identity", schema: identityView } },
    },
    ({ params }, reply) => {
      const found = backend.identities().find(({ id }) => id === params.id);
      if (found === undefined) {
        throw new ProblemError(404, `Cannot find identity ${params.id}: see 'imker identity list'`);
      }
      return reply(200, found);
    },
  );
}

function addProcesses(app: Hono<Admin>, registry: RouteRegistry, backend: AdminBackend): void {
  route(
    app,
    registry,
    {
      ...{ method: "POST", path: "/v1/proxy/upgrade", id: "upgradeProxy", tag: "Node" },
      role: "admin",
      summary: "Start a new proxy, hand new connections to it, drain the old one",
      body: upgradeRequest,
      answers: {
        200: { kind: "json", description: "The new proxy, in service", schema: proxyHello },
      },
    },
    async ({ body }, reply) => reply(200, await backend.upgradeProxy(body.drainSeconds)),
  );
  route(
    app,
    registry,
    {
      ...{ method: "POST", path: "/v1/stop", id: "stopAgent", tag: "Node", role: "admin" },
      summary: "Stop the agent; the kernel and the proxy go on enforcing",
      query: stopQuery,
      answers: {
        202: {
          kind: "json",
          description: "It is stopping",
          schema: z.object({ stopping: z.literal(true) }),
        },
      },
    },
    ({ query }, reply) => {
      backend.stop(query.proxy);
      return reply(202, { stopping: true });
    },
  );
}
