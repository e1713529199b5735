/** Errors of the admin API as RFC 9457 problem documents. */
import type { Context } from "hono";
import type { ContentfulStatusCode } from "hono/utils/http-status";
import { z } from "zod";

export const PROBLEM_MEDIA_TYPE = "application/problem+json";

/** One field that is wrong. */
const problemIssue = z.object({
  path: z.string().meta({ description: "Of the field, such as `ports.0.port`; empty: the whole" }),
  message: z.string(),
});

export type ProblemIssue = z.infer<typeof problemIssue>;

export const problemSchema = z
  .object({
    type: z.string().meta({ description: "`urn:imker:problem:…`; stable, to be compared" }),
    title: z.string(),
    status: z.int(),
    detail: z.string().meta({ description: "What could not be done and why, for a person" }),
    instance: z.string().meta({ description: "Path of the request" }),
    errors: z.array(problemIssue).optional(),
  })
  .meta({
    id: "Problem",
    description: "What went wrong (RFC 9457)",
    examples: [
      {
        type: "urn:imker:problem:not-found",
        title: "Not found",
        status: 404,
        detail: 'Cannot find endpoint "shop/nope"',
        instance: "/v1/endpoints/shop/nope",
      },
    ],
  });

export type Problem = z.infer<typeof problemSchema>;

const TYPE_PREFIX = "urn:imker:problem:";

/** Last part of `type`, and `title`, by status. */
const KINDS: Record<number, readonly [type: string, title: string]> = {
  400: ["bad-request", "Bad request"],
  401: ["unauthorized", "Unauthorized"],
  403: ["forbidden", "Forbidden"],
  404: ["not-found", "Not found"],
  405: ["method-not-allowed", "Method not allowed"],
  409: ["conflict", "Conflict"],
  413: ["too-large", "Too large"],
  415: ["unsupported-media-type", "Unsupported media type"],
  421: ["misdirected-request", "Misdirected request"],
  422: ["invalid-policy", "Invalid policy"],
  429: ["too-many", "Too many"],
  500: ["internal", "Internal error"],
  503: ["not-in-force", "Not in force"],
};
const OTHER_KIND = ["error", "Error"] as const;
/** A package, key or case that was understood and is not good; policies have their own answer. */
const REFUSED_KIND = ["refused", "Refused"] as const;

export interface ProblemOptions extends ErrorOptions {
  errors?: ProblemIssue[];
  headers?: Record<string, string>;
}

/** An expected failure of a request; anything else thrown is a bug of ours and becomes 500. */
export class ProblemError extends Error {
  override readonly name = "ProblemError";
  readonly status: number;
  readonly errors: ProblemIssue[] | undefined;
  readonly headers: Record<string, string>;

  constructor(status: number, detail: string, options: ProblemOptions = {}) {
    const { errors, headers = {}, ...rest } = options;
    super(detail, rest);
    this.status = status;
    this.errors = errors;
    this.headers = headers;
  }
}

/** The status an error carries, or 500. */
function statusOf(error: Error): number {
  const status = (error as { status?: unknown }).status;
  return typeof status === "number" && status >= 400 && status < 600 ? status : 500;
}

export function problemOf(status: number, detail: string, instance: string): Problem {
  const [type, title] = KINDS[status] ?? OTHER_KIND;
  return { type: TYPE_PREFIX + type, title, status, detail, instance };
}

export function problemResponse(context: Context, error: Error): Response {
  const status = statusOf(error);
  const more = error instanceof ProblemError ? error : undefined;
  const [type, title] = status === 422 ? REFUSED_KIND : (KINDS[status] ?? OTHER_KIND);
  const problem: Problem = {
    ...problemOf(status, error.message, context.req.path),
    ...{ type: TYPE_PREFIX + type, title },
    ...(more?.errors === undefined ? {} : { errors: more.errors }),
  };
  return context.json(problem, status as ContentfulStatusCode, {
    ...more?.headers,
    "content-type": PROBLEM_MEDIA_TYPE,
  });
}
