/** Routes of policies: look, validate, apply, delete. */
import type { Hono } from "hono";
import { z } from "zod";
import type { Admin } from "./access.ts";
import { type RouteRegistry, type RouteSpec, route } from "./route.ts";
import { policyFilesRequest, policyParams, validateQuery, waitQuery } from "./schema.ts";
import type { AdminBackend, ApplyResult } from "./types.ts";
import { appliedPolicy, applyResult, policyView } from "./view-schema.ts";

const POLICY_BYTES_MAX = 32 << 20;

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
  route(
    app,
    registry,
    {
      ...files,
      ...{ method: "POST", path: "/v1/policies", id: "applyPolicies" },
      summary: "Put policies in force",
      query: waitQuery,
      example: { query: "wait=true" },
    },
    async ({ body, query }, reply) => {
      const result = await policies.apply(body.files, query.wait);
      return result.errors.length === 0
        ? reply(200, result)
        : reply(422, result, { problem: problemText(result) });
    },
  );
  route(
    app,
    registry,
    {
      ...{ method: "DELETE", path: "/v1/policies/:kind/:namespace/:name", id: "deletePolicy" },
      ...{ tag: "Policies", role: "operator" },
      summary: "Take a policy out of force",
      params: policyParams,
      query: waitQuery,
      example: {
        params: { kind: "CiliumNetworkPolicy", namespace: "shop", name: "web" },
        query: "wait=true",
      },
      answers: { 200: { kind: "json", description: "As it was", schema: appliedPolicy } },
    },
    async ({ params, query }, reply) => {
      const scope = params.namespace === "-" ? "" : params.namespace;
      const gone = await policies.delete(params.kind, scope, params.name, query.wait);
      return reply(200, gone);
    },
  );
}

export function problemText({ errors }: Pick<ApplyResult, "errors">): string {
  const count = errors.length === 1 ? "1 error" : `${errors.length} errors`;
  return `Cannot accept the policies: ${count}`;
}
