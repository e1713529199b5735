/** The route of flows: what was decided, as a stream of lines. */
import type { Hono } from "hono";
import type { Admin } from "./access.ts";
import { type RouteRegistry, route } from "./route.ts";
import { flowsQuery } from "./schema.ts";
import type { AdminBackend } from "./types.ts";
import { flowLine } from "./view-schema.ts";

const FLOWS_LAST_DEFAULT = 20;

export function addFlowRoutes(
  app: Hono<Admin>,
  registry: RouteRegistry,
  backend: AdminBackend,
): void {
  route(
    app,
    registry,
    {
      ...{ method: "GET", path: "/v1/flows", id: "getFlows", tag: "Flows", role: "viewer" },
      summary: "Flows of this node",
      query: flowsQuery,
      example: { query: "last=20" },
      answers: {
        200: { kind: "ndjson", description: "A flow a line, oldest first", schema: flowLine },
      },
    },
    ({ query }, reply) => {
      const { last, follow, since, until } = query;
      const fallback = follow || since !== undefined ? undefined : FLOWS_LAST_DEFAULT;
      const wanted = { last: last ?? fallback, follow, since, until };
      return reply(200, (signal) => backend.flows(wanted, signal));
    },
  );
}
