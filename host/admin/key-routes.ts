/** Routes of keys: whose signatures count on this node. */
import type { Hono } from "hono";
import { z } from "zod";
import type { Admin } from "./access.ts";
import { keyParams, keyRequest, keyView } from "./plugin-schema.ts";
import type { PluginBackend } from "./plugin-types.ts";
import { type RouteRegistry, route } from "./route.ts";

const EXAMPLE = { params: { name: "acme" } };

export function addKeyRoutes(
  app: Hono<Admin>,
  registry: RouteRegistry,
  { keys }: PluginBackend,
): void {
  route(
    app,
    registry,
    {
      ...{ method: "GET", path: "/v1/keys", id: "listKeys" },
      ...{ tag: "Keys", role: "viewer", summary: "Keys that may vouch for plugins" },
      answers: { 200: { kind: "json", description: "All of them", schema: z.array(keyView) } },
    },
    (_input, reply) => reply(200, keys.list()),
  );
  route(
    app,
    registry,
    {
      ...{ method: "POST", path: "/v1/keys", id: "trustKey" },
      ...{ tag: "Keys", role: "admin", summary: "Trust a public key for some plugin names" },
      body: keyRequest,
      answers: {
        200: { kind: "json", description: "It was trusted already", schema: keyView },
        201: { kind: "json", description: "Trusted", schema: keyView },
      },
    },
    ({ body }, reply) => {
      const { view, created } = keys.trust(body);
      return reply(created ? 201 : 200, view, { headers: { location: `/v1/keys/${view.name}` } });
    },
  );
  route(
    app,
    registry,
    {
      ...{ method: "POST", path: "/v1/keys/:name/revoke", id: "revokeKey" },
      ...{ tag: "Keys", role: "admin", summary: "Trust nothing more that a key signs" },
      description: "Versions it vouches for go on serving, flagged; none can be activated.",
      params: keyParams,
      example: EXAMPLE,
      answers: { 200: { kind: "json", description: "The key", schema: keyView } },
    },
    ({ params }, reply) => reply(200, keys.revoke(params.name)),
  );
  route(
    app,
    registry,
    {
      ...{ method: "DELETE", path: "/v1/keys/:name", id: "removeKey" },
      ...{ tag: "Keys", role: "admin", summary: "Forget a key that vouches for nothing" },
      params: keyParams,
      example: EXAMPLE,
      answers: { 200: { kind: "json", description: "As it was", schema: keyView } },
    },
    ({ params }, reply) => reply(200, keys.remove(params.name)),
  );
}
