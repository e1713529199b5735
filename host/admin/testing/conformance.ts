/**
 * Holds an answer against the OpenAPI document: status, media type and every field must be what the
 * document says, and nothing more.
 */
import { z } from "zod";
import type { ApiDocument, ApiOperation, ApiResponse, JsonSchema } from "../openapi.ts";

export interface Exchange {
  method: string;
  /** Without query. */
  path: string;
  status: number;
  contentType: string;
  body: string;
}

/** `GET /v1/endpoints/{reference}`, and what is wrong with the answer; empty when nothing is. */
export interface Judgement {
  operation: string;
  problems: string[];
}

export function judgeExchange(document: ApiDocument, exchange: Exchange): Judgement {
  const found = operationOf(document, exchange);
  if (found === undefined) {
    const operation = `${exchange.method} ${exchange.path}`;
    return { operation, problems: ["the document has no such operation"] };
  }
  const { name, operation } = found;
  const answer = operation.responses[exchange.status] ?? operation.responses.default;
  if (answer === undefined) {
    return { operation: name, problems: [`no answer ${exchange.status} is declared`] };
  }
  const { content = {} } = resolve(document, answer);
  const media = content[exchange.contentType];
  if (media === undefined) {
    return { operation: name, problems: [`${exchange.contentType} is not declared`] };
  }
  if (media.schema === undefined) return { operation: name, problems: [] };
  const schema = zodOf(document, media.schema);
  const lines = exchange.contentType === "application/x-ndjson";
  const values = (lines ? exchange.body.trim().split("\n") : [exchange.body])
    .filter((text) => text !== "")
    .map((text): unknown => JSON.parse(text));
  const problems = values.flatMap((value) =>
    (schema.safeParse(value).error?.issues ?? []).map(
      (issue) => `${exchange.status} ${issue.path.join(".")}: ${issue.message}`,
    ),
  );
  return { operation: name, problems };
}

function operationOf(
  document: ApiDocument,
  { method, path }: Exchange,
): { name: string; operation: ApiOperation } | undefined {
  for (const [template, methods] of Object.entries(document.paths)) {
    const operation = methods[method.toLowerCase()];
    if (operation === undefined) continue;
    const escaped = template.replaceAll(".", "\\.");
    const last = escaped.replace(/\{(?:reference)\}$/, "(.+)").replace(/\{\w+\}/g, "([^/]+)");
    if (new RegExp(`^${last}$`).test(path)) return { name: `${method} ${template}`, operation };
  }
  return undefined;
}

function resolve(document: ApiDocument, answer: ApiResponse | { $ref: string }): ApiResponse {
  if (!("$ref" in answer)) return answer;
  const name = answer.$ref.split("/").at(-1) ?? "";
  return document.components.responses[name] ?? { description: "missing" };
}

function zodOf(document: ApiDocument, schema: JsonSchema): z.ZodType {
  const whole = closed({ ...schema, $defs: document.components.schemas });
  const text = JSON.stringify(whole).replaceAll("#/components/schemas/", "#/$defs/");
  return z.fromJSONSchema(JSON.parse(text));
}

/** Objects with named members get no others. */
function closed(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(closed);
  if (typeof value !== "object" || value === null) return value;
  const entries = Object.entries(value).map(([key, inner]) => [key, closed(inner)]);
  const object = Object.fromEntries(entries);
  const named = object.type === "object" && object.properties !== undefined;
  return named && object.additionalProperties === undefined
    ? { ...object, additionalProperties: false }
    : object;
}
