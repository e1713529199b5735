/** Routes that explain policies: why a connection is allowed or not, what a change would do. */
import type { Hono } from "hono";
import type { Admin } from "./access.ts";
import {
  diffRequest,
  diffView,
  endpointPolicy,
  refusedChange,
  traceRequest,
  traceView,
} from "./explain-schema.ts";
import { problemText } from "./policy-routes.ts";
import { type RouteRegistry, type RouteSpec, route } from "./route.ts";
import { referenceParams } from "./schema.ts";
import type { AdminBackend } from "./types.ts";

const POLICY_BYTES_MAX = 32 << 20;

const common = {
  ...{ tag: "Policies", role: "operator", bodyBytesMax: POLICY_BYTES_MAX },
} satisfies Partial<RouteSpec>;
const refused = {
  kind: "problem",
  description: "Files are wrong; nothing is explained",
  schema: refusedChange,
} as const;

export function addExplainRoutes(
  app: Hono<Admin>,
  registry: RouteRegistry,
  { explain }: AdminBackend,
): void {
  route(
    app,
    registry,
    {
      ...{ ...common, method: "POST", path: "/v1/policies/trace", id: "tracePolicies" },
      summary: "Why a connection is allowed or denied: by which rule",
      description:
        "With `files` or `deletes` it is explained as it would be after that change. Without, what " +
        "the kernel's map says is compared.",
      body: traceRequest,
      answers: {
        200: { kind: "json", description: "The explanation", schema: traceView },
        422: refused,
      },
    },
    ({ body }, reply) => {
      const { errors, warnings, view } = explain.trace(body);
      return view
        ? reply(200, { ...view, warnings })
        : reply(422, { errors, warnings }, { problem: problemText({ errors }) });
    },
  );
  route(
    app,
    registry,
    {
      ...{ ...common, method: "POST", path: "/v1/policies/diff", id: "diffPolicies" },
      summary: "What a change of policies would allow or deny",
      description: "Over the endpoints of this node and the flows it still remembers.",
      body: diffRequest,
      answers: {
        200: { kind: "json", description: "The differences", schema: diffView },
        422: refused,
      },
    },
    async ({ body }, reply) => {
      const { errors, warnings, view } = await explain.diff(body);
      return view
        ? reply(200, { ...view, warnings })
        : reply(422, { errors, warnings }, { problem: problemText({ errors }) });
    },
  );
  route(
    app,
    registry,
    {
      ...{ method: "GET", path: "/v1/policies/of/:reference{.+}", id: "getEndpointPolicy" },
      ...{ tag: "Policies", role: "viewer" },
      summary: "Which policies are for an endpoint",
      params: referenceParams,
      example: { params: { reference: "shop/web" } },
      answers: { 200: { kind: "json", description: "By direction", schema: endpointPolicy } },
    },
    ({ params }, reply) => reply(200, explain.endpoint(params.reference)),
  );
}
