/** Errors of the admin API as RFC 9457 problem documents. */
import type { Context } from "hono";
import type { ContentfulStatusCode } from "hono/utils/http-status";

export interface Problem {
  type: string;
  title: string;
  status: number;
  detail: string;
}

const TITLES: Record<number, string> = {
  400: "Bad request",
  404: "Not found",
  409: "Conflict",
  413: "Too large",
  422: "Invalid policy",
  500: "Internal error",
  503: "Not in force",
};

/** An expected failure of a request; anything else thrown is a bug of ours and becomes 500. */
export class ProblemError extends Error {
  override readonly name = "ProblemError";
  readonly status: number;
  constructor(status: number, detail: string, options?: ErrorOptions) {
    super(detail, options);
    this.status = status;
  }
}

/** The status an error carries, or 500. */
function statusOf(error: Error): number {
  const status = (error as { status?: unknown }).status;
  return typeof status === "number" && status >= 400 && status < 600 ? status : 500;
}

export function problemResponse(context: Context, error: Error): Response {
  const status = statusOf(error);
  const problem: Problem = {
    type: "about:blank",
    title: TITLES[status] ?? "Error",
    status,
    detail: error.message,
  };
  return context.json(problem, status as ContentfulStatusCode, {
    "content-type": "application/problem+json",
  });
}
