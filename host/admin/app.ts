/**
 * The admin API, /v1. Routes translate between HTTP and the agent's parts and hold no logic of
 * their own. It listens on a unix socket whose file permissions are its access control.
 */
import { Hono } from "hono";
import { bodyLimit } from "hono/body-limit";
import { streamText } from "hono/streaming";
import type { Logger } from "pino";
import type { z } from "zod";
import { ProblemError, problemResponse } from "./problem.ts";
import { endpointRequest, issuesText, policyFilesRequest, upgradeRequest } from "./schema.ts";
import type { AdminBackend, FlowQuery } from "./types.ts";

const BODY_BYTES_MAX = 32 << 20;
const FLOWS_LAST_DEFAULT = 20;

export function createAdminApp(backend: AdminBackend, log: Logger): Hono {
  const app = new Hono();
  app.onError((error, context) => {
    const response = problemResponse(context, error);
    if (response.status === 500) log.error({ error, path: context.req.path }, "request failed");
    return response;
  });
  app.notFound((context) =>
    problemResponse(context, new ProblemError(404, `Cannot find ${context.req.path}`)),
  );
  app.use(
    bodyLimit({
      maxSize: BODY_BYTES_MAX,
      onError: () => {
        throw new ProblemError(413, `Cannot take the request: over ${BODY_BYTES_MAX} bytes`);
      },
    }),
  );
  app.get("/v1/status", async (context) => context.json(await backend.status()));
  app.get("/v1/identities", (context) => context.json(backend.identities()));
  app.post("/v1/proxy/upgrade", async (context) => {
    const { drainSeconds } = parse(upgradeRequest, await body(context.req.raw));
    return context.json(await backend.upgradeProxy(drainSeconds));
  });
  app.post("/v1/stop", (context) => {
    backend.stop(context.req.query("proxy") === "true");
    return context.json({ stopping: true }, 202);
  });
  addEndpoints(app, backend);
  addPolicies(app, backend);
  addFlows(app, backend);
  addKernel(app, backend);
  return app;
}

function addEndpoints(app: Hono, { endpoints }: AdminBackend): void {
  app.get("/v1/endpoints", (context) => context.json(endpoints.list()));
  app.post("/v1/endpoints", async (context) => {
    const spec = parse(endpointRequest, await body(context.req.raw));
    return context.json(await endpoints.create(spec), 201);
  });
  // A reference is an id, a name, or namespace/name.
  app.get("/v1/endpoints/:reference{.+}", (context) =>
    context.json(endpoints.get(context.req.param("reference"))),
  );
  app.delete("/v1/endpoints/:reference{.+}", async (context) =>
    context.json(await endpoints.delete(context.req.param("reference"))),
  );
}

function addPolicies(app: Hono, { policies }: AdminBackend): void {
  app.get("/v1/policies", (context) => context.json(policies.list()));
  app.post("/v1/policies/validate", async (context) => {
    const { files } = parse(policyFilesRequest, await body(context.req.raw));
    const result = policies.validate(files);
    return context.json(result, result.errors.length > 0 ? 422 : 200);
  });
  app.post("/v1/policies", async (context) => {
    const { files } = parse(policyFilesRequest, await body(context.req.raw));
    const result = await policies.apply(files, context.req.query("wait") === "true");
    return context.json(result, result.errors.length > 0 ? 422 : 200);
  });
  app.delete("/v1/policies/:kind/:namespace/:name", async (context) => {
    const { kind, namespace, name } = context.req.param();
    const scope = namespace === "-" ? "" : namespace;
    return context.json(
      await policies.delete(kind, scope, name, context.req.query("wait") === "true"),
    );
  });
}

function addFlows(app: Hono, backend: AdminBackend): void {
  app.get("/v1/flows", (context) => {
    const query = flowQuery((name) => context.req.query(name));
    context.header("content-type", "application/x-ndjson");
    return streamText(context, async (stream) => {
      const stop = new AbortController();
      stream.onAbort(() => stop.abort());
      for await (const line of backend.flows(query, stop.signal)) await stream.writeln(line);
    });
  });
}

function addKernel(app: Hono, { kernel, endpoints }: AdminBackend): void {
  app.get("/v1/bpf/policy/:reference{.+}", (context) =>
    context.json(kernel.policy(endpoints.get(context.req.param("reference")).id)),
  );
  app.get("/v1/bpf/ct", (context) => context.json(kernel.ct()));
  app.get("/v1/bpf/ipcache", (context) => context.json(kernel.ipcache()));
}

function flowQuery(get: (name: string) => string | undefined): FlowQuery {
  const last = get("last");
  const count = last === undefined ? undefined : Number(last);
  if (count !== undefined && !(Number.isInteger(count) && count >= 0)) {
    throw new ProblemError(400, `Cannot read last=${last}: expected a number`);
  }
  for (const name of ["since", "until"]) {
    const value = get(name);
    if (value !== undefined && Number.isNaN(Date.parse(value))) {
      throw new ProblemError(400, `Cannot read ${name}=${value}: expected an RFC 3339 time`);
    }
  }
  const follow = get("follow") === "true";
  const since = get("since");
  const fallback = follow || since !== undefined ? undefined : FLOWS_LAST_DEFAULT;
  return { last: count ?? fallback, follow, since, until: get("until") };
}

async function body(request: Request): Promise<unknown> {
  const text = await request.text();
  if (text === "") return {};
  try {
    return JSON.parse(text);
  } catch (cause) {
    throw new ProblemError(400, `Cannot read the body: ${(cause as Error).message}`, { cause });
  }
}

function parse<T extends z.ZodType>(schema: T, value: unknown): z.output<T> {
  const result = schema.safeParse(value);
  if (!result.success) throw new ProblemError(400, issuesText(result.error));
  return result.data;
}
