/** Routes that describe the others: the OpenAPI document and a page made from it. */
import type { Hono } from "hono";
import { z } from "zod";
import type { Admin } from "./access.ts";
import { DOCS_PAGE_CSP, docsPage } from "./docs-page.ts";
import { openApiDocument } from "./openapi.ts";
import { type RouteRegistry, route } from "./route.ts";

export function addDocumentRoutes(
  app: Hono<Admin>,
  registry: RouteRegistry,
  version: string,
): void {
  // Made once, when all routes are declared: strangers may ask for it as often as they like.
  const document = once(() => openApiDocument(registry, version));
  const page = once(() => docsPage(document()));
  route(
    app,
    registry,
    {
      ...{ method: "GET", path: "/v1/openapi.json", id: "getOpenApi", tag: "About", role: "none" },
      summary: "This document",
      answers: {
        200: { kind: "json", description: "OpenAPI 3.1", schema: z.looseObject({}) },
      },
    },
    (_input, reply) => reply(200, { ...document() }),
  );
  route(
    app,
    registry,
    {
      ...{ method: "GET", path: "/v1/docs", id: "getDocs", tag: "About", role: "none" },
      summary: "This document as a page",
      answers: {
        200: { kind: "bytes", description: "HTML", mediaType: "text/html; charset=utf-8" },
      },
    },
    (_input, reply) =>
      reply(200, page(), {
        headers: { "content-security-policy": DOCS_PAGE_CSP },
      }),
  );
}

function once<T>(make: () => T): () => T {
  let made: { value: T } | undefined;
  return () => {
    made ??= { value: make() };
    return made.value;
  };
}
