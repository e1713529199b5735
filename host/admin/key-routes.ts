/** The key resources of the admin API: whose signatures count on this node. */
import type { Hono } from "hono";
import { parsedBody } from "./plugin-body.ts";
import { keyRequest } from "./plugin-schema.ts";
import type { PluginBackend } from "./plugin-types.ts";

export function addKeyRoutes(app: Hono, keys: PluginBackend["keys"]): void {
  app.get("/v1/keys", (context) => context.json(keys.list()));
  app.post("/v1/keys", async (context) => {
    const { view, created } = keys.trust(await parsedBody(keyRequest, context));
    return context.json(view, created ? 201 : 200, { location: `/v1/keys/${view.name}` });
  });
  app.post("/v1/keys/:name/revoke", (context) =>
    context.json(keys.revoke(context.req.param("name"))),
  );
  app.delete("/v1/keys/:name", (context) => context.json(keys.remove(context.req.param("name"))));
}
