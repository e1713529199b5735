/** Reads what plugin and key requests carry, by the schemas in plugin-schema.ts. */
import type { Context } from "hono";
import type { z } from "zod";
import { ProblemError } from "./problem.ts";
import { issuesText } from "./schema.ts";

/** The JSON body as `schema` has it; an empty one counts as `{}`. Throws ProblemError (400). */
export async function parsedBody<T extends z.ZodType>(
  schema: T,
  context: Context,
): Promise<z.output<T>> {
  const text = await context.req.text();
  let value: unknown;
  try {
    value = text === "" ? {} : JSON.parse(text);
  } catch (cause) {
    throw new ProblemError(400, `Cannot read the body: ${(cause as Error).message}`, { cause });
  }
  return parsed(schema, value, "body");
}

/** Throws ProblemError (400) that names `what`. */
export function parsed<T extends z.ZodType>(schema: T, value: unknown, what: string): z.output<T> {
  const result = schema.safeParse(value);
  if (result.success) return result.data;
  throw new ProblemError(400, `Cannot read the ${what}: ${issuesText(result.error)}`);
}
