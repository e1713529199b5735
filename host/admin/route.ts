/**
 * A route of the admin API, declared once as data. `route` serves it: requests are validated by
 * exactly the schemas that the OpenAPI document shows, and an answer that the declaration does not
 * name does not compile.
 */
import type { Context, Hono } from "hono";
import { matchedRoutes } from "hono/route";
import { stream } from "hono/streaming";
import type { ContentfulStatusCode } from "hono/utils/http-status";
import { z } from "zod";
import { type Admin, principalOf } from "./access.ts";
import { PROBLEM_MEDIA_TYPE, ProblemError, type ProblemIssue, problemOf } from "./problem.ts";
import type { Role } from "./role.ts";
import { issuesText } from "./schema.ts";

/** What a request is answered with: JSON, a problem with more members, a stream, or other bytes. */
export type Answer =
  | { kind: "json"; description: string; schema: z.ZodType }
  /** `schema`: the members it has besides those of every problem. */
  | { kind: "problem"; description: string; schema: z.ZodObject }
  | { kind: "ndjson"; description: string; schema: z.ZodType }
  | { kind: "bytes"; description: string; mediaType: string };

export interface RouteSpec {
  method: "GET" | "POST" | "PUT" | "PATCH" | "DELETE";
  /** As Hono has it: `/v1/endpoints/:reference{.+}`. */
  path: string;
  /** Name in the OpenAPI document, unique. */
  id: string;
  summary: string;
  /** Markdown. */
  description?: string;
  tag: string;
  role: Role;
  /** The audit log tells of it although it changes nothing. */
  audited?: true;
  /** Values of an example call, for the documentation; needed when the path has parameters. */
  example?: { params?: Record<string, string>; query?: string };
  params?: z.ZodObject;
  query?: z.ZodObject;
  /** JSON body; an absent one is `{}`. */
  body?: z.ZodType;
  /** A body that is not JSON. */
  upload?: { mediaType: string; description: string };
  /** At most so much is read; default `BODY_BYTES_MAX`. */
  bodyBytesMax?: number;
  /** By status. What every route may answer (`defaultProblems` in openapi.ts) is not repeated. */
  answers: Record<number, Answer>;
}

/** Of routes that do not say otherwise. */
export const BODY_BYTES_MAX = 1 << 20;

type Output<T> = T extends z.ZodType ? z.output<T> : undefined;

export interface RouteInput<S extends RouteSpec> {
  params: Output<S["params"]>;
  query: Output<S["query"]>;
  body: Output<S["body"]>;
  /** An `upload` reads its body from here; more than `bodyBytesMax` fails with a 413. */
  request: Request;
}

/** Lines until the signal comes. */
export type LineSource = (signal: AbortSignal) => AsyncIterable<string>;

type BodyOf<A> = A extends { kind: "json" | "problem"; schema: infer T }
  ? T extends z.ZodType
    ? z.input<T>
    : never
  : A extends { kind: "ndjson" }
    ? LineSource
    : Uint8Array<ArrayBuffer> | string;

/** Besides the body. A `problem` is the text of the problem's `detail`. */
interface ReplyMore {
  headers?: Record<string, string>;
  problem?: string;
}

/** Makes one of the declared answers. */
export type Reply<S extends RouteSpec> = <K extends keyof S["answers"]>(
  status: K,
  body: BodyOf<S["answers"][K]>,
  more?: ReplyMore,
) => Response;

/** All declared routes of an API, in the order of their declaration. */
export class RouteRegistry {
  readonly #routes: RouteSpec[] = [];

  add(spec: RouteSpec): void {
    if (this.#routes.some((one) => one.id === spec.id)) {
      throw new Error(`Cannot declare route ${spec.id}: it is declared already`);
    }
    this.#routes.push(spec);
  }

  all(): readonly RouteSpec[] {
    return this.#routes;
  }

  /** The route that serves this request; undefined when it is not declared. */
  find(context: Context): RouteSpec | undefined {
    const method = context.req.method === "HEAD" ? "GET" : context.req.method;
    for (const { path } of matchedRoutes(context)) {
      const found = this.#routes.find((one) => one.method === method && one.path === path);
      if (found !== undefined) return found;
    }
    return undefined;
  }
}

/** Declares a route and serves it. */
export function route<const S extends RouteSpec>(
  app: Hono<Admin>,
  registry: RouteRegistry,
  spec: S,
  handler: (input: RouteInput<S>, reply: Reply<S>) => Response | Promise<Response>,
): void {
  registry.add(spec);
  app.on(spec.method, spec.path, async (context) => {
    const input = await readInput(spec, context);
    return handler(input as RouteInput<S>, (status, body, more = {}) =>
      send(spec, context, Number(status), body, more),
    );
  });
}

async function readInput(spec: RouteSpec, context: Context<Admin>): Promise<RouteInput<RouteSpec>> {
  const { req } = context;
  const params = spec.params && parse(spec.params, req.param(), "the path");
  // Fail closed: a misspelt parameter must not silently mean its default.
  const query = parse((spec.query ?? z.object()).strict(), req.query(), "the query");
  const body = spec.body && parse(spec.body, await readJson(context), "the body");
  return { params, query, body, request: req.raw } as RouteInput<RouteSpec>;
}

async function readJson(context: Context): Promise<unknown> {
  const text = await context.req.text();
  if (text === "") return {};
  try {
    return JSON.parse(text);
  } catch (cause) {
    throw new ProblemError(400, `Cannot read the body: ${(cause as Error).message}`, { cause });
  }
}

const ISSUES_MAX = 32;

function parse<T extends z.ZodType>(schema: T, value: unknown, what: string): z.output<T> {
  const result = schema.safeParse(value);
  if (result.success) return result.data;
  const errors: ProblemIssue[] = result.error.issues
    .slice(0, ISSUES_MAX)
    .map((issue) => ({ path: issue.path.join("."), message: issue.message }));
  throw new ProblemError(400, `Cannot read ${what}: ${issuesText(result.error)}`, { errors });
}

function send(
  spec: RouteSpec,
  context: Context<Admin>,
  status: number,
  body: unknown,
  { headers = {}, problem = "" }: ReplyMore,
): Response {
  const answer = spec.answers[status];
  if (answer === undefined) throw new Error(`${spec.id} has no answer ${status}`);
  const code = status as ContentfulStatusCode;
  switch (answer.kind) {
    case "json":
      return context.json(body as object, code, headers);
    case "problem": {
      const whole = { ...problemOf(status, problem, context.req.path), ...(body as object) };
      return context.json(whole, code, { ...headers, "content-type": PROBLEM_MEDIA_TYPE });
    }
    case "ndjson":
      return sendLines(context, body as LineSource);
    case "bytes":
      return context.body(body as string, code, { ...headers, "content-type": answer.mediaType });
  }
}

/** Ends when the source does, the client goes, or the caller's token is no longer good. */
function sendLines(context: Context<Admin>, source: LineSource): Response {
  const stop = new AbortController();
  // What cannot be read at all is refused before the answer begins.
  const lines = source(stop.signal);
  const principal = principalOf(context);
  context.header("content-type", "application/x-ndjson");
  const onError = context.get("onStreamError") ?? (() => {});
  return stream(
    context,
    async (out) => {
      out.onAbort(() => stop.abort());
      for await (const line of lines) {
        if (principal?.isValid() === false) break;
        await out.write(`${line}\n`);
      }
      stop.abort();
    },
    async (error) => onError(error),
  );
}
