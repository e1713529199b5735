/** Routes of endpoints: the pods of this node. */
import type { Hono } from "hono";
import { z } from "zod";
import type { Admin } from "./access.ts";
import { type RouteRegistry, route } from "./route.ts";
import { endpointOptions, endpointPatch, endpointRequest, referenceParams } from "./schema.ts";
import type { AdminBackend } from "./types.ts";
import { endpointView } from "./view-schema.ts";

const one = { params: referenceParams, example: { params: { reference: "shop/web" } } };

export function addEndpointRoutes(
  app: Hono<Admin>,
  registry: RouteRegistry,
  { endpoints }: AdminBackend,
): void {
  route(
    app,
    registry,
    {
      ...{ method: "GET", path: "/v1/endpoints", id: "listEndpoints" },
      ...{ tag: "Endpoints", role: "viewer" },
      summary: "All endpoints of this node",
      answers: { 200: { kind: "json", description: "By id", schema: z.array(endpointView) } },
    },
    (_input, reply) => reply(200, endpoints.list()),
  );
  route(
    app,
    registry,
    {
      ...{ method: "POST", path: "/v1/endpoints", id: "createEndpoint" },
      ...{ tag: "Endpoints", role: "operator" },
      summary: "Add a pod: a network namespace with an address, labels and policy",
      description: "Without `netns` a network namespace is made, and removed with the endpoint.",
      body: endpointRequest,
      answers: {
        201: { kind: "json", description: "The new endpoint", schema: endpointView },
      },
    },
    async ({ body }, reply) => reply(201, await endpoints.create(body)),
  );
  route(
    app,
    registry,
    {
      ...{ method: "GET", path: "/v1/endpoints/:reference{.+}", id: "getEndpoint" },
      ...{ tag: "Endpoints", role: "viewer", ...one },
      summary: "One endpoint",
      answers: { 200: { kind: "json", description: "The endpoint", schema: endpointView } },
    },
    ({ params }, reply) => reply(200, endpoints.get(params.reference)),
  );
  addRelabel(app, registry, endpoints);
  route(
    app,
    registry,
    {
      ...{ method: "DELETE", path: "/v1/endpoints/:reference{.+}", id: "deleteEndpoint" },
      ...{ tag: "Endpoints", role: "operator", ...one },
      summary: "Remove an endpoint, its interface, and its namespace if Imker made it",
      answers: { 200: { kind: "json", description: "As it was", schema: endpointView } },
    },
    async ({ params }, reply) => reply(200, await endpoints.delete(params.reference)),
  );
  route(
    app,
    registry,
    {
      ...{ method: "PUT", path: "/v1/endpoint-options/:reference{.+}", id: "configureEndpoint" },
      ...{ tag: "Endpoints", role: "operator", ...one },
      summary: "Change an endpoint's options; they end with the agent",
      body: endpointOptions,
      answers: { 200: { kind: "json", description: "As it is now", schema: endpointView } },
    },
    ({ params, body }, reply) => reply(200, endpoints.configure(params.reference, body)),
  );
}

function addRelabel(
  app: Hono<Admin>,
  registry: RouteRegistry,
  endpoints: AdminBackend["endpoints"],
): void {
  route(
    app,
    registry,
    {
      ...{ method: "PATCH", path: "/v1/endpoints/:reference{.+}", id: "labelEndpoint" },
      ...{ tag: "Endpoints", role: "operator", ...one },
      summary: "Change labels of an endpoint, and with them its identity",
      description:
        "Answers when the new identity is in force. Until then, for the agent's grace period at " +
        "least, the endpoint keeps the old one.",
      body: endpointPatch,
      answers: { 200: { kind: "json", description: "As it is now", schema: endpointView } },
    },
    async ({ params, body }, reply) => {
      const changes = Object.entries(body.labels).map(([key, value]) => [key, value ?? undefined]);
      return reply(200, await endpoints.relabel(params.reference, Object.fromEntries(changes)));
    },
  );
}
