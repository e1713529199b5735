/** Routes of what serves: activations, rollback, shadow and canary trials. */
import type { Hono } from "hono";
import { z } from "zod";
import type { Admin } from "./access.ts";
import {
  activationRequest,
  activationView,
  pluginParams,
  promoteRequest,
  rollbackRequest,
  trialParams,
  trialRequest,
  trialView,
} from "./plugin-schema.ts";
import type { PluginBackend } from "./plugin-types.ts";
import { type RouteRegistry, route } from "./route.ts";

const EXAMPLE = { params: { name: "l7-http" } };
const TRIAL_EXAMPLE = { params: { name: "l7-http", id: "7" } };

export function addRolloutRoutes(
  app: Hono<Admin>,
  registry: RouteRegistry,
  plugins: PluginBackend,
): void {
  const serving = { kind: "json", description: "What serves now", schema: activationView } as const;
  route(
    app,
    registry,
    {
      ...{ method: "GET", path: "/v1/plugins/:name/activation", id: "getActivation" },
      ...{ tag: "Roll-out", role: "viewer", summary: "Which version serves, and which did" },
      params: pluginParams,
      example: EXAMPLE,
      answers: { 200: serving },
    },
    ({ params }, reply) => reply(200, plugins.activation(params.name)),
  );
  route(
    app,
    registry,
    {
      ...{ method: "PUT", path: "/v1/plugins/:name/activation", id: "activatePlugin" },
      ...{ tag: "Roll-out", role: "operator", summary: "Let a version serve new connections" },
      description: "Answered when every worker has it. The version before drains.",
      params: pluginParams,
      body: activationRequest,
      example: EXAMPLE,
      answers: { 200: serving },
    },
    async ({ params, body }, reply) => reply(200, await plugins.activate(params.name, body)),
  );
  route(
    app,
    registry,
    {
      ...{ method: "POST", path: "/v1/plugins/:name/rollback", id: "rollBackPlugin" },
      ...{ tag: "Roll-out", role: "operator", summary: "Back to the last known good version" },
      params: pluginParams,
      body: rollbackRequest,
      example: EXAMPLE,
      answers: { 200: serving },
    },
    async ({ params, body }, reply) =>
      reply(200, await plugins.rollBack(params.name, body.drainSeconds)),
  );
  addTrials(app, registry, plugins);
  addTrialEnds(app, registry, plugins);
}

function addTrials(app: Hono<Admin>, registry: RouteRegistry, plugins: PluginBackend): void {
  route(
    app,
    registry,
    {
      ...{ method: "GET", path: "/v1/plugins/:name/trials", id: "listTrials" },
      ...{ tag: "Roll-out", role: "viewer", summary: "Shadow and canary trials" },
      params: pluginParams,
      example: EXAMPLE,
      answers: { 200: { kind: "json", description: "Oldest first", schema: z.array(trialView) } },
    },
    ({ params }, reply) => reply(200, plugins.trials(params.name)),
  );
  route(
    app,
    registry,
    {
      ...{ method: "POST", path: "/v1/plugins/:name/trials", id: "startTrial" },
      ...{ tag: "Roll-out", role: "operator", summary: "Try a version beside the one that serves" },
      params: pluginParams,
      body: trialRequest,
      example: EXAMPLE,
      answers: { 201: { kind: "json", description: "It runs", schema: trialView } },
    },
    async ({ params, body }, reply) => {
      const trial = await plugins.startTrial(params.name, body);
      const location = `/v1/plugins/${params.name}/trials/${trial.id}`;
      return reply(201, trial, { headers: { location } });
    },
  );
  route(
    app,
    registry,
    {
      ...{ method: "GET", path: "/v1/plugins/:name/trials/:id", id: "getTrial" },
      ...{ tag: "Roll-out", role: "viewer", summary: "One trial, with what it found so far" },
      params: trialParams,
      example: TRIAL_EXAMPLE,
      answers: { 200: { kind: "json", description: "The trial", schema: trialView } },
    },
    async ({ params }, reply) => reply(200, await plugins.trial(params.name, params.id)),
  );
}

function addTrialEnds(app: Hono<Admin>, registry: RouteRegistry, plugins: PluginBackend): void {
  const ended = { kind: "json", description: "The trial as it ended", schema: trialView } as const;
  route(
    app,
    registry,
    {
      ...{ method: "POST", path: "/v1/plugins/:name/trials/:id/promote", id: "promoteTrial" },
      ...{ tag: "Roll-out", role: "operator", summary: "Let the tried version serve" },
      params: trialParams,
      body: promoteRequest,
      example: TRIAL_EXAMPLE,
      answers: { 200: ended },
    },
    async ({ params, body }, reply) =>
      reply(200, await plugins.promote(params.name, params.id, body)),
  );
  route(
    app,
    registry,
    {
      ...{ method: "DELETE", path: "/v1/plugins/:name/trials/:id", id: "abortTrial" },
      ...{ tag: "Roll-out", role: "operator", summary: "End a trial without promoting it" },
      params: trialParams,
      example: TRIAL_EXAMPLE,
      answers: { 200: ended },
    },
    async ({ params }, reply) => reply(200, await plugins.abort(params.name, params.id)),
  );
}
