/** Routes of what the kernel holds: policy maps, connections, the ipcache; listed and looked up. */
import type { Hono } from "hono";
import { z } from "zod";
import type { Admin } from "./access.ts";
import { addressParams, connectionQuery, policyQuestionQuery } from "./kernel-schema.ts";
import { ProblemError } from "./problem.ts";
import { type RouteRegistry, route } from "./route.ts";
import { referenceParams } from "./schema.ts";
import type { AdminBackend } from "./types.ts";
import { ctRow, ctStatus, ipcacheRow, policyMapEntry } from "./view-schema.ts";

export function addKernelRoutes(
  app: Hono<Admin>,
  registry: RouteRegistry,
  backend: AdminBackend,
): void {
  addLists(app, registry, backend);
  addLookups(app, registry, backend);
}

function addLists(app: Hono<Admin>, registry: RouteRegistry, backend: AdminBackend): void {
  route(
    app,
    registry,
    {
      ...{ method: "GET", path: "/v1/bpf/policy/:reference{.+}", id: "listPolicyMap" },
      ...{ tag: "Kernel", role: "viewer" },
      summary: "An endpoint's policy map",
      params: referenceParams,
      example: { params: { reference: "shop/web" } },
      answers: {
        200: { kind: "json", description: "Its entries", schema: z.array(policyMapEntry) },
      },
    },
    ({ params }, reply) => {
      const { id } = backend.endpoints.get(params.reference);
      return reply(200, backend.kernel.policy(id));
    },
  );
  route(
    app,
    registry,
    {
      ...{ method: "GET", path: "/v1/bpf/ct", id: "listConnections", tag: "Kernel" },
      role: "viewer",
      summary: "Connections that the kernel tracks",
      answers: { 200: { kind: "json", description: "All of them", schema: z.array(ctRow) } },
    },
    (_input, reply) => reply(200, backend.kernel.ct()),
  );
  route(
    app,
    registry,
    {
      ...{ method: "GET", path: "/v1/bpf/ipcache", id: "listIpcache", tag: "Kernel" },
      role: "viewer",
      summary: "Which address has which identity",
      answers: { 200: { kind: "json", description: "All rows", schema: z.array(ipcacheRow) } },
    },
    (_input, reply) => reply(200, backend.kernel.ipcache()),
  );
}

function addLookups(
  app: Hono<Admin>,
  registry: RouteRegistry,
  { kernel, endpoints }: AdminBackend,
): void {
  route(
    app,
    registry,
    {
      ...{ method: "GET", path: "/v1/bpf/decision/:reference{.+}", id: "lookupPolicy" },
      ...{ tag: "Kernel", role: "viewer" },
      summary: "The entry of an endpoint's policy map that decides",
      description: "Found as the kernel finds it. 404: none matches, so it is denied.",
      params: referenceParams,
      query: policyQuestionQuery,
      example: {
        params: { reference: "shop/web" },
        query: "identity=1001&direction=ingress&protocol=6&port=8080",
      },
      answers: {
        200: { kind: "json", description: "The entry", schema: policyMapEntry },
      },
    },
    ({ params, query }, reply) => {
      const found = kernel.lookupPolicy(endpoints.get(params.reference).id, query);
      if (found === undefined)
        throw new ProblemError(404, "Cannot find an entry: none matches, so it is denied");
      return reply(200, found);
    },
  );
  route(
    app,
    registry,
    {
      ...{ method: "GET", path: "/v1/bpf/connection", id: "lookupConnection", tag: "Kernel" },
      role: "viewer",
      summary: "One connection that the kernel tracks, given from either end",
      query: connectionQuery,
      example: { query: "protocol=6&source=10.0.0.1:4000&destination=10.0.0.2:80" },
      answers: { 200: { kind: "json", description: "The connection", schema: ctRow } },
    },
    ({ query: { protocol, source, destination } }, reply) => {
      const found = kernel.lookupCt({
        protocol,
        ...{ source: source.address, sourcePort: source.port },
        ...{ destination: destination.address, destinationPort: destination.port },
      });
      if (found === undefined)
        throw new ProblemError(404, "Cannot find the connection: the kernel does not know it");
      return reply(200, found);
    },
  );
  route(
    app,
    registry,
    {
      ...{ method: "POST", path: "/v1/bpf/ct/collect", id: "collectConnections", tag: "Kernel" },
      role: "operator",
      summary: "Take expired connections out of the kernel's map now",
      answers: { 200: { kind: "json", description: "What is left", schema: ctStatus } },
    },
    async (_input, reply) => reply(200, await kernel.collectCt()),
  );
  route(
    app,
    registry,
    {
      ...{ method: "GET", path: "/v1/bpf/ipcache/:address", id: "lookupIpcache", tag: "Kernel" },
      role: "viewer",
      summary: "Which identity the kernel takes an address for",
      params: addressParams,
      example: { params: { address: "10.0.0.1" } },
      answers: { 200: { kind: "json", description: "Its identity", schema: ipcacheRow } },
    },
    ({ params: { address } }, reply) => {
      const identity = kernel.lookupIpcache(address);
      if (identity === undefined)
        throw new ProblemError(404, `Cannot find ${address}: no prefix covers it`);
      return reply(200, { prefix: address, identity });
    },
  );
}
