/** Routes of who may use this API and who did: tokens and the audit log. */
import type { Hono } from "hono";
import { z } from "zod";
import type { Admin } from "./access.ts";
import type { AuditLog } from "./audit-log.ts";
import { type RouteRegistry, route } from "./route.ts";
import {
  auditEntry,
  auditQuery,
  tokenCreated,
  tokenParams,
  tokenRequest,
  tokenView,
} from "./token-schema.ts";
import type { Tokens } from "./tokens.ts";

export interface AccessParts {
  tokens: Tokens;
  audit: AuditLog;
}

export function addAccessRoutes(
  app: Hono<Admin>,
  registry: RouteRegistry,
  { tokens, audit }: AccessParts,
): void {
  route(
    app,
    registry,
    {
      ...{ method: "GET", path: "/v1/tokens", id: "listTokens", tag: "Access", role: "admin" },
      summary: "Bearer tokens, without their secrets",
      answers: { 200: { kind: "json", description: "By name", schema: z.array(tokenView) } },
    },
    (_input, reply) => reply(200, tokens.list()),
  );
  route(
    app,
    registry,
    {
      ...{ method: "POST", path: "/v1/tokens", id: "createToken", tag: "Access", role: "admin" },
      summary: "Make a bearer token for the API over TCP",
      body: tokenRequest,
      answers: {
        201: { kind: "json", description: "With its secret, once", schema: tokenCreated },
      },
    },
    ({ body }, reply) => reply(201, tokens.create(body)),
  );
  route(
    app,
    registry,
    {
      ...{ method: "DELETE", path: "/v1/tokens/:name", id: "revokeToken" },
      ...{ tag: "Access", role: "admin" },
      summary: "Revoke a token, at once",
      params: tokenParams,
      example: { params: { name: "ci" } },
      answers: { 200: { kind: "json", description: "As it was", schema: tokenView } },
    },
    ({ params }, reply) => reply(200, tokens.revoke(params.name)),
  );
  route(
    app,
    registry,
    {
      ...{ method: "GET", path: "/v1/audit", id: "getAudit", tag: "Access", role: "viewer" },
      summary: "Who asked for which change",
      query: auditQuery,
      example: { query: "last=20" },
      answers: {
        200: { kind: "json", description: "Oldest first", schema: z.array(auditEntry) },
      },
    },
    ({ query }, reply) => reply(200, audit.last(query.last)),
  );
}
