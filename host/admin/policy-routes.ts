/** Routes of policies: look, validate, apply, delete. */
import type { Hono } from "hono";
import { z } from "zod";
import { type CutConnection, cutText } from "../enforce/lockout-guard.ts";
import type { Admin } from "./access.ts";
import { type RouteRegistry, type RouteSpec, route } from "./route.ts";
import {
  applyQuery,
  deleteQuery,
  policyFilesRequest,
  policyParams,
  validateQuery,
} from "./schema.ts";
import type { AdminBackend, ApplyResult } from "./types.ts";
import { appliedPolicy, applyResult, cutConnections, policyView } from "./view-schema.ts";

const POLICY_BYTES_MAX = 32 << 20;
const CUTS_SHOWN_MAX = 100;

/** Of `apply` and `validate`. */
const files = {
  tag: "Policies",
  role: "operator",
  body: policyFilesRequest,
  bodyBytesMax: POLICY_BYTES_MAX,
  answers: {
    200: { kind: "json", description: "All of them", schema: applyResult },
    422: {
      kind: "problem",
      description: "Some are wrong; nothing of a file with an error is applied",
      schema: applyResult,
    },
  },
} satisfies Partial<RouteSpec>;

export function addPolicyRoutes(
  app: Hono<Admin>,
  registry: RouteRegistry,
  { policies }: AdminBackend,
): void {
  route(
    app,
    registry,
    {
      ...{ method: "GET", path: "/v1/policies", id: "listPolicies" },
      ...{ tag: "Policies", role: "viewer" },
      summary: "Policies in force",
      answers: { 200: { kind: "json", description: "All of them", schema: z.array(policyView) } },
    },
    async (_input, reply) => reply(200, await policies.list()),
  );
  route(
    app,
    registry,
    {
      ...files,
      ...{ method: "POST", path: "/v1/policies/validate", id: "validatePolicies" },
      summary: "Check policy files without applying them",
      query: validateQuery,
      example: { query: "forApply=true" },
    },
    ({ body, query }, reply) => {
      const result = policies.validate(body.files, query.forApply);
      return result.errors.length === 0
        ? reply(200, result)
        : reply(422, result, { problem: problemText(result) });
    },
  );
  addApply(app, registry, policies);
  route(
    app,
    registry,
    {
      ...{ method: "DELETE", path: "/v1/policies/:kind/:namespace/:name", id: "deletePolicy" },
      ...{ tag: "Policies", role: "operator" },
      summary: "Take a policy out of force",
      description:
        "What would cut an open connection into the node is refused, unless it is forced.",
      params: policyParams,
      query: deleteQuery,
      example: {
        params: { kind: "CiliumNetworkPolicy", namespace: "shop", name: "web" },
        query: "wait=true",
      },
      answers: { 200: { kind: "json", description: "As it was", schema: appliedPolicy } },
    },
    async ({ params, query }, reply) => {
      const scope = params.namespace === "-" ? "" : params.namespace;
      const { wait, force, connection: callers } = query;
      const options = { wait, force, callers };
      return reply(200, await policies.delete(params.kind, scope, params.name, options));
    },
  );
}

function addApply(
  app: Hono<Admin>,
  registry: RouteRegistry,
  policies: AdminBackend["policies"],
): void {
  route(
    app,
    registry,
    {
      ...files,
      ...{ method: "POST", path: "/v1/policies", id: "applyPolicies" },
      summary: "Put policies in force",
      description:
        "What would cut an open connection into the node is refused, unless it is forced or is to " +
        "be confirmed.",
      query: applyQuery,
      example: { query: "wait=true" },
      answers: {
        200: files.answers[200],
        422: files.answers[422],
        409: {
          kind: "problem",
          description: "It would cut open connections into the node, or a change is unconfirmed",
          schema: cutConnections.partial(),
        },
      },
    },
    async ({ body, query }, reply) => {
      const { wait, force, connection } = query;
      const confirmTimeoutMs = query["confirm-timeout"];
      const options = { wait, force, confirmTimeoutMs, callers: connection };
      const { cuts = [], ...result } = await policies.apply(body.files, options);
      if (result.errors.length > 0) return reply(422, result, { problem: problemText(result) });
      if (cuts.length === 0) return reply(200, result);
      const shown = cuts.slice(0, CUTS_SHOWN_MAX);
      return reply(409, { cuts: shown }, { problem: refusalText(cuts) });
    },
  );
  route(
    app,
    registry,
    {
      ...{ method: "POST", path: "/v1/policies/confirm", id: "confirmPolicies" },
      ...{ tag: "Policies", role: "operator" },
      summary: "Keep what was applied with a confirm timeout",
      answers: {
        200: { kind: "json", description: "What is kept", schema: z.array(appliedPolicy) },
      },
    },
    async (_input, reply) => reply(200, await policies.confirm()),
  );
}

function refusalText(cuts: readonly CutConnection[]): string {
  return (
    `Cannot apply the policies: they would cut ${cutText(cuts)}; ` +
    "force it (--force), or apply it until it is confirmed (--confirm-timeout 60s)"
  );
}

export function problemText({ errors }: Pick<ApplyResult, "errors">): string {
  const count = errors.length === 1 ? "1 error" : `${errors.length} errors`;
  return `Cannot accept the policies: ${count}`;
}
