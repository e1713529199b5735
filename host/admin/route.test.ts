/** What a declared route gives its handler and makes of its answer. */
import { Hono } from "hono";
import { expect, it } from "vitest";
import { z } from "zod";
import type { Admin } from "./access.ts";
import { openApiDocument } from "./openapi.ts";
import { ProblemError, problemResponse } from "./problem.ts";
import { boundedBodies } from "./request-body.ts";
import { RouteRegistry, type RouteSpec, route } from "./route.ts";

function stage() {
  const app = new Hono<Admin>();
  app.onError((error, context) => problemResponse(context, error));
  return { app, registry: new RouteRegistry() };
}

const base = { tag: "T", role: "viewer", summary: "s" } as const;
const json = (schema: z.ZodType) => ({ 200: { kind: "json", description: "d", schema } }) as const;

it("an upload reaches the handler as bytes, and is in the document", async () => {
  const { app, registry } = stage();
  app.use(boundedBodies(registry));
  const upload = { mediaType: "application/wasm", description: "A package" };
  route(
    app,
    registry,
    {
      ...{ method: "POST", path: "/p", id: "put", ...base, upload, bodyBytesMax: 7 },
      answers: { ...json(z.unknown()), 201: { kind: "json", description: "New", schema: z.int() } },
    },
    async ({ request }, reply) => {
      const { byteLength } = await request.arrayBuffer();
      return reply(201, byteLength, { headers: { location: "/p/1" } });
    },
  );
  const body = Uint8Array.of(0, 97, 115, 109);
  const answer = await app.request("/p", { method: "POST", body });
  expect([answer.status, await answer.json(), answer.headers.get("location")]).toEqual([
    201,
    4,
    "/p/1",
  ]);
  const tooMuch = await app.request("/p", { method: "POST", body: new Uint8Array(8) });
  expect(await tooMuch.json()).toMatchObject({ type: "urn:imker:problem:too-large" });
  const operation = openApiDocument(registry, "1").paths["/p"]?.post;
  expect(operation?.requestBody).toMatchObject({
    content: { "application/wasm": {} },
    description: "A package. At most 7 bytes",
  });
  expect(operation?.["x-codeSamples"][0]?.source).toContain("--data-binary @FILE");
});

it("bytes are answered with their media type", async () => {
  const { app, registry } = stage();
  const answers = { 200: { kind: "bytes", description: "d", mediaType: "text/plain" } } as const;
  route(app, registry, { ...base, method: "GET", path: "/b", id: "b", answers }, (_input, reply) =>
    reply(200, Uint8Array.of(104, 105)),
  );
  const answer = await app.request("/b");
  expect([answer.headers.get("content-type"), await answer.text()]).toEqual(["text/plain", "hi"]);
});

it("parameters are decoded and typed; a missing body is an empty object", async () => {
  const { app, registry } = stage();
  const spec = {
    ...base,
    method: "POST" as const,
    ...{ path: "/v/:name", id: "v" },
    params: z.object({ name: z.string() }),
    query: z.object({ n: z.coerce.number().default(3) }),
    body: z.object({ deep: z.boolean().default(true) }).strict(),
    answers: json(z.unknown()),
  } satisfies RouteSpec;
  route(app, registry, spec, (input, reply) => reply(200, { ...input, request: undefined }));
  const answer = await app.request("/v/a%2Fb?n=5", { method: "POST" });
  expect(await answer.json()).toEqual({
    params: { name: "a/b" },
    query: { n: 5 },
    body: { deep: true },
  });
});

it("an id is declared once", () => {
  const { app, registry } = stage();
  const spec = { ...base, method: "GET", path: "/a", id: "a", answers: json(z.unknown()) } as const;
  route(app, registry, spec, (_input, reply) => reply(200, 1));
  expect(() => route(app, registry, spec, (_input, reply) => reply(200, 1))).toThrow(
    /Cannot declare route a/,
  );
});

it("a stream that cannot begin is a problem", async () => {
  const { app, registry } = stage();
  const answers = { 200: { kind: "ndjson", description: "d", schema: z.unknown() } } as const;
  const spec = { ...base, method: "GET", path: "/l", id: "l", answers } as const;
  route(app, registry, spec, (_input, reply) =>
    reply(200, () => {
      throw new ProblemError(404, "Cannot find it");
    }),
  );
  expect((await app.request("/l")).status).toBe(404);
});
