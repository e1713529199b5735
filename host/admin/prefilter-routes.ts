/** Routes of the prefilter: sources whose packets are dropped before anything else. */
import type { Hono } from "hono";
import type { Admin } from "./access.ts";
import {
  LIST_BYTES_MAX,
  prefilterChange,
  prefilterStatus,
  prefixesRequest,
} from "./prefilter-schema.ts";
import { type RouteRegistry, route } from "./route.ts";
import type { PrefilterBackend } from "./types.ts";

const PREFIXES = "/v1/prefilter/prefixes";
const TEXT = "text/plain; charset=utf-8";
const changed = { kind: "json", description: "It is in force", schema: prefilterChange } as const;

export function addPrefilterRoutes(
  app: Hono<Admin>,
  registry: RouteRegistry,
  prefilter: PrefilterBackend,
): void {
  route(
    app,
    registry,
    {
      ...{ method: "GET", path: "/v1/prefilter", id: "getPrefilter", tag: "Prefilter" },
      ...{ role: "viewer", summary: "Size, interfaces and counters of the prefilter" },
      answers: { 200: { kind: "json", description: "Its state", schema: prefilterStatus } },
    },
    (_input, reply) => reply(200, prefilter.status()),
  );
  route(
    app,
    registry,
    {
      ...{ method: "GET", path: PREFIXES, id: "listPrefilter", tag: "Prefilter" },
      ...{ role: "viewer", summary: "The prefixes whose packets are dropped" },
      answers: { 200: { kind: "bytes", description: "One a line, in order", mediaType: TEXT } },
    },
    async (_input, reply) => reply(200, await prefilter.text()),
  );
  addChanges(app, registry, prefilter);
}

function addChanges(app: Hono<Admin>, registry: RouteRegistry, prefilter: PrefilterBackend): void {
  route(
    app,
    registry,
    {
      ...{ method: "POST", path: PREFIXES, id: "addToPrefilter", tag: "Prefilter" },
      ...{ role: "admin", summary: "Drop packets from more prefixes" },
      body: prefixesRequest,
      answers: { 200: changed },
    },
    async ({ body }, reply) => reply(200, await prefilter.add(body.prefixes)),
  );
  route(
    app,
    registry,
    {
      ...{ method: "POST", path: "/v1/prefilter/delete", id: "deleteFromPrefilter" },
      ...{ tag: "Prefilter", role: "admin", summary: "Take prefixes off the list" },
      description:
        "Those that are not in the list are no error. A part of one cannot be taken off.",
      body: prefixesRequest,
      answers: { 200: changed },
    },
    async ({ body }, reply) => reply(200, await prefilter.delete(body.prefixes)),
  );
  route(
    app,
    registry,
    {
      ...{ method: "PUT", path: PREFIXES, id: "loadPrefilter", tag: "Prefilter", role: "admin" },
      summary: "Replace the whole list at once",
      description:
        "A prefix or address a line; `#` and `;` begin a comment. A line that is neither refuses " +
        "the whole list, and the one in force stays.",
      upload: { mediaType: "text/plain", description: "The list, at most 96 MiB" },
      bodyBytesMax: LIST_BYTES_MAX,
      answers: { 200: changed },
    },
    async ({ request }, reply) => reply(200, await prefilter.load(await request.text())),
  );
}
