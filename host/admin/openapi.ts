/**
 * The OpenAPI 3.1 document, made from the same route declarations and schemas that validate
 * requests. Schemas with an `id` become components; everything else stands where it is used.
 */
import { z } from "zod";
import { PROBLEM_MEDIA_TYPE, problemSchema } from "./problem.ts";
import { type Answer, BODY_BYTES_MAX, type RouteRegistry, type RouteSpec } from "./route.ts";

export type JsonSchema = Record<string, unknown>;

export interface MediaType {
  schema?: JsonSchema;
  example?: unknown;
}

export interface ApiResponse {
  description: string;
  content?: Record<string, MediaType>;
  headers?: Record<string, { description: string; schema: JsonSchema }>;
}

export interface ApiParameter {
  name: string;
  in: "path" | "query";
  required: boolean;
  description?: string;
  schema: JsonSchema;
  example?: string;
}

export interface ApiOperation {
  operationId: string;
  summary: string;
  description: string;
  tags: string[];
  /** Role that it needs, or `none`. */
  "x-imker-role": string;
  "x-codeSamples": { lang: string; label: string; source: string }[];
  security: Record<string, string[]>[];
  parameters?: ApiParameter[];
  requestBody?: { required: boolean; content: Record<string, MediaType>; description?: string };
  responses: Record<string, ApiResponse | { $ref: string }>;
}

export interface ApiDocument {
  openapi: "3.1.0";
  info: { title: string; version: string; description: string; license: JsonSchema };
  servers: { url: string; description: string; variables?: JsonSchema }[];
  tags: { name: string }[];
  paths: Record<string, Record<string, ApiOperation>>;
  components: {
    schemas: Record<string, JsonSchema>;
    responses: Record<string, ApiResponse>;
    securitySchemes: Record<string, JsonSchema>;
  };
}

export const UNIX_SOCKET_DEFAULT = "/var/run/imker/admin.sock";

const DESCRIPTION = `\
Everything the \`imker\` command does. The API listens on a unix socket, where whoever can open the
file is an admin, and on TCP with TLS if the agent is told to, where a bearer token has one of the
roles viewer (reads), operator (also changes policies, endpoints and what plugins serve) and admin
(everything). What goes wrong is a problem document (RFC 9457); compare its \`type\`.`;

const SERVERS = [
  {
    url: "http://localhost",
    description: `On the node: the unix socket ${UNIX_SOCKET_DEFAULT} (any host name)`,
  },
  {
    url: "https://{address}",
    description: "Over TCP, after --api-listen",
    variables: { address: { default: "localhost:9443" } },
  },
];

/** What every route may answer besides its own, with the statuses it happens under. */
const PROBLEMS = {
  BadRequest: [400, "A field, a parameter or the path is wrong; `errors` says which"],
  Unauthorized: [401, "Over TCP: no token, or one that is not good"],
  Forbidden: [403, "The token's role is not enough"],
  TooLarge: [413, "The body is over the route's limit"],
  Problem: ["default", "Whatever else went wrong"],
} as const;

/** The document of everything in `registry`. */
export function openApiDocument(registry: RouteRegistry, version: string): ApiDocument {
  const schemas: Record<string, JsonSchema> = {};
  const paths: ApiDocument["paths"] = {};
  for (const spec of registry.all()) {
    const path = templateOf(spec.path);
    paths[path] ??= {};
    paths[path][spec.method.toLowerCase()] = operationOf(spec, schemas);
  }
  const problem = jsonSchema(problemSchema, schemas);
  return {
    openapi: "3.1.0",
    info: {
      title: "Imker admin API",
      version,
      description: DESCRIPTION,
      license: { name: "Apache-2.0", identifier: "Apache-2.0" },
    },
    servers: SERVERS,
    tags: [...new Set(registry.all().map((spec) => spec.tag))].map((name) => ({ name })),
    paths,
    components: {
      schemas: Object.fromEntries(Object.entries(schemas).sort(([a], [b]) => (a < b ? -1 : 1))),
      responses: Object.fromEntries(
        Object.entries(PROBLEMS).map(([name, [, description]]) => [
          name,
          { description, content: { [PROBLEM_MEDIA_TYPE]: { schema: problem } } },
        ]),
      ),
      securitySchemes: {
        token: {
          type: "http",
          scheme: "bearer",
          description: "Made by `imker api token create`; not needed on the unix socket",
        },
      },
    },
  };
}

/** `/v1/endpoints/:reference{.+}` → `/v1/endpoints/{reference}` */
export function templateOf(path: string): string {
  return path.replace(/:(\w+)(\{[^}]*\})?/g, "{$1}");
}

function operationOf(spec: RouteSpec, schemas: Record<string, JsonSchema>): ApiOperation {
  const open = spec.role === "none";
  const parameters = parametersOf(spec, schemas);
  const requestBody = requestBodyOf(spec, schemas);
  return {
    operationId: spec.id,
    summary: spec.summary,
    description: [
      ...(spec.description === undefined ? [] : [spec.description]),
      open ? "Open to everybody." : `Role: ${spec.role}.`,
    ].join("\n\n"),
    tags: [spec.tag],
    "x-imker-role": spec.role,
    "x-codeSamples": [{ lang: "Shell", label: "curl", source: curlOf(spec) }],
    security: open ? [] : [{}, { token: [] }],
    ...(parameters.length === 0 ? {} : { parameters }),
    ...(requestBody === undefined ? {} : { requestBody }),
    responses: {
      ...Object.fromEntries(
        Object.entries(spec.answers).map(([status, answer]) => [
          status,
          responseOf(answer, schemas),
        ]),
      ),
      ...problemsOf(spec),
    },
  };
}

function problemsOf(spec: RouteSpec): Record<string, { $ref: string }> {
  const found: Record<string, { $ref: string }> = {};
  for (const [name, [status]] of Object.entries(PROBLEMS)) {
    if (spec.role === "none" && (status === 401 || status === 403)) continue;
    if (status === 413 && spec.body === undefined && spec.upload === undefined) continue;
    found[status] = { $ref: `#/components/responses/${name}` };
  }
  return found;
}

function parametersOf(spec: RouteSpec, schemas: Record<string, JsonSchema>): ApiParameter[] {
  const examples = new URLSearchParams(spec.example?.query ?? "");
  return (["params", "query"] as const).flatMap((where) => {
    const object = spec[where];
    if (object === undefined) return [];
    const { properties = {}, required = [] } = jsonSchema(object, schemas) as {
      properties?: Record<string, JsonSchema>;
      required?: string[];
    };
    return Object.entries(properties).map(([name, property]) => {
      const { description, ...schema } = property;
      const example =
        where === "params" ? spec.example?.params?.[name] : (examples.get(name) ?? undefined);
      return {
        name,
        in: where === "params" ? ("path" as const) : ("query" as const),
        required: where === "params" || required.includes(name),
        ...(description === undefined ? {} : { description: String(description) }),
        schema,
        ...(example === undefined ? {} : { example }),
      };
    });
  });
}

function requestBodyOf(
  spec: RouteSpec,
  schemas: Record<string, JsonSchema>,
): ApiOperation["requestBody"] {
  const description = `At most ${spec.bodyBytesMax ?? BODY_BYTES_MAX} bytes`;
  if (spec.upload !== undefined) {
    const text = `${spec.upload.description}. ${description}`;
    return { required: true, content: { [spec.upload.mediaType]: {} }, description: text };
  }
  if (spec.body === undefined) return undefined;
  const schema = jsonSchema(spec.body, schemas);
  // An absent body is `{}`.
  const required = !spec.body.safeParse({}).success;
  const example = exampleOf(spec);
  return {
    required,
    content: { "application/json": { schema, ...(example === undefined ? {} : { example }) } },
    description,
  };
}

function responseOf(answer: Answer, schemas: Record<string, JsonSchema>): ApiResponse {
  const { description } = answer;
  switch (answer.kind) {
    case "json":
      return content(description, "application/json", jsonSchema(answer.schema, schemas));
    case "problem": {
      const whole = problemSchema.extend(answer.schema.shape);
      return content(description, PROBLEM_MEDIA_TYPE, jsonSchema(whole, schemas));
    }
    case "ndjson": {
      const text = `${description}. The stream is JSON documents of this schema, one a line.`;
      return content(text, "application/x-ndjson", jsonSchema(answer.schema, schemas));
    }
    case "bytes":
      return { description, content: { [answer.mediaType]: {} } };
  }
}

function content(description: string, mediaType: string, schema: JsonSchema): ApiResponse {
  return { description, content: { [mediaType]: { schema } } };
}

/** The first example of the body's schema. */
export function exampleOf(spec: RouteSpec): unknown {
  const examples: unknown = spec.body?.meta()?.examples;
  return Array.isArray(examples) ? examples[0] : undefined;
}

/** A call to be pasted into a shell on the node. */
export function curlOf(spec: RouteSpec): string {
  const path = templateOf(spec.path).replace(
    /\{(\w+)\}/g,
    (_, name: string) => spec.example?.params?.[name] ?? name,
  );
  const query = spec.example?.query === undefined ? "" : `?${spec.example.query}`;
  const words = ["curl -sS", `--unix-socket ${UNIX_SOCKET_DEFAULT}`];
  if (spec.method !== "GET") words.push(`-X ${spec.method}`);
  const example = exampleOf(spec);
  if (spec.upload !== undefined) {
    words.push(`-H 'content-type: ${spec.upload.mediaType}' --data-binary @FILE`);
  } else if (example !== undefined) {
    const body = JSON.stringify(example).replaceAll("'", "'\\''");
    words.push(`-H 'content-type: application/json' -d '${body}'`);
  }
  words.push(`'http://localhost${path}${query}'`);
  return words.join(" \\\n  ");
}

/** Named schemas go to `schemas` and are referred to. */
function jsonSchema(schema: z.ZodType, schemas: Record<string, JsonSchema>): JsonSchema {
  // `input`: what may be left out is optional, and clients must bear members of later versions.
  const whole = z.toJSONSchema(schema, { io: "input", override: dropSafeIntegerBounds });
  const { $schema: _, $defs = {}, ...own } = whole as JsonSchema & { $defs?: object };
  for (const [name, definition] of Object.entries($defs)) schemas[name] ??= relocated(definition);
  return relocated(own) as JsonSchema;
}

/** That JSON numbers end at 2^53 goes without saying. */
function dropSafeIntegerBounds({ jsonSchema: schema }: { jsonSchema: JsonSchema }): void {
  if (schema.minimum === Number.MIN_SAFE_INTEGER) delete schema.minimum;
  if (schema.maximum === Number.MAX_SAFE_INTEGER) delete schema.maximum;
}

/** References to `$defs` as references to components. */
function relocated<T>(value: T): T {
  const text = JSON.stringify(value, (key, inner) =>
    key === "$ref" && typeof inner === "string"
      ? inner.replace(/^#\/\$defs\//, "#/components/schemas/")
      : inner,
  );
  return JSON.parse(text) as T;
}
