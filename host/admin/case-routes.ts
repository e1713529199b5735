/** Routes of recordings and cases: bytes of connections, so for admins only, and written down. */
import type { Hono } from "hono";
import { z } from "zod";
import type { Admin } from "./access.ts";
import { caseFile, caseParams, caseView, recordingRequest, recordingView } from "./case-schema.ts";
import { pluginParams } from "./plugin-schema.ts";
import type { PluginBackend } from "./plugin-types.ts";
import { type RouteRegistry, route } from "./route.ts";

const EXAMPLE = { params: { name: "l7-http" } };
const CASE_EXAMPLE = { params: { id: "5f0c1a9be2d4" } };

export function addCaseRoutes(
  app: Hono<Admin>,
  registry: RouteRegistry,
  plugins: PluginBackend,
): void {
  addRecordings(app, registry, plugins);
  route(
    app,
    registry,
    {
      ...{ method: "GET", path: "/v1/cases", id: "listCases" },
      ...{ tag: "Cases", role: "admin", summary: "Recorded connections that ended badly" },
      answers: { 200: { kind: "json", description: "Newest first", schema: z.array(caseView) } },
    },
    (_input, reply) => reply(200, plugins.cases.list()),
  );
  route(
    app,
    registry,
    {
      ...{ method: "GET", path: "/v1/cases/:id", id: "getCase" },
      ...{ tag: "Cases", role: "admin", summary: "One case as a file, by its id or its flow's" },
      audited: true,
      params: caseParams,
      example: CASE_EXAMPLE,
      answers: { 200: { kind: "json", description: "The file", schema: caseFile } },
    },
    ({ params }, reply) => reply(200, plugins.cases.get(params.id)),
  );
  route(
    app,
    registry,
    {
      ...{ method: "DELETE", path: "/v1/cases/:id", id: "removeCase" },
      ...{ tag: "Cases", role: "admin", summary: "Remove a case" },
      params: caseParams,
      example: CASE_EXAMPLE,
      answers: { 200: { kind: "json", description: "As it was", schema: caseView } },
    },
    ({ params }, reply) => reply(200, plugins.cases.remove(params.id)),
  );
}

function addRecordings(app: Hono<Admin>, registry: RouteRegistry, plugins: PluginBackend): void {
  const path = "/v1/plugins/:name/recordings";
  const list = z.array(recordingView);
  route(
    app,
    registry,
    {
      ...{ method: "GET", path, id: "listRecordings" },
      ...{ tag: "Cases", role: "admin", summary: "Recordings of a plugin that run" },
      params: pluginParams,
      example: EXAMPLE,
      answers: { 200: { kind: "json", description: "All of them", schema: list } },
    },
    ({ params }, reply) => reply(200, plugins.recordings.list(params.name)),
  );
  route(
    app,
    registry,
    {
      ...{ method: "POST", path, id: "startRecording" },
      ...{ tag: "Cases", role: "admin", summary: "Keep the bytes of a plugin's new connections" },
      description: "Of those that end badly a case is made. Ends by itself, and with the agent.",
      params: pluginParams,
      body: recordingRequest,
      example: EXAMPLE,
      answers: { 201: { kind: "json", description: "It runs", schema: recordingView } },
    },
    async ({ params, body }, reply) =>
      reply(201, await plugins.recordings.start(params.name, body)),
  );
  route(
    app,
    registry,
    {
      ...{ method: "DELETE", path, id: "stopRecordings" },
      ...{ tag: "Cases", role: "admin", summary: "End all recordings of a plugin" },
      params: pluginParams,
      example: EXAMPLE,
      answers: { 200: { kind: "json", description: "Those that ran", schema: list } },
    },
    async ({ params }, reply) => reply(200, await plugins.recordings.stop(params.name)),
  );
}
