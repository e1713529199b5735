/**
 * Bodies are read here, once, after the caller was let in and before a handler runs: bounded by
 * what the route declares, with their digest for the audit log.
 */
import { createHash } from "node:crypto";
import type { MiddlewareHandler } from "hono";
import { type Admin, CHANGES_NOTHING } from "./access.ts";
import { ProblemError } from "./problem.ts";
import { BODY_BYTES_MAX, type RouteRegistry } from "./route.ts";

/** Of routes that are not declared. */
const UNDECLARED_BYTES_MAX = 32 << 20;
const DIGEST_DIGITS = 16;

export function boundedBodies(registry: RouteRegistry): MiddlewareHandler<Admin> {
  return async (context, next) => {
    const { raw } = context.req;
    if (!CHANGES_NOTHING.has(raw.method) && raw.body !== null) {
      const declared = registry.find(context);
      const bytesMax = declared ? (declared.bodyBytesMax ?? BODY_BYTES_MAX) : UNDECLARED_BYTES_MAX;
      if (Number(raw.headers.get("content-length") ?? 0) > bytesMax) throw tooLarge(bytesMax);
      const bytes = await readBody(raw.body, bytesMax);
      const sha256 = createHash("sha256").update(bytes).digest("hex").slice(0, DIGEST_DIGITS);
      if (bytes.length > 0) context.set("body", { bytes: bytes.length, sha256 });
      // Whoever comes next reads it as if nobody had.
      context.req.raw = new Request(raw, { body: bytes });
    }
    await next();
  };
}

async function readBody(
  body: ReadableStream<Uint8Array>,
  bytesMax: number,
): Promise<Uint8Array<ArrayBuffer>> {
  const chunks: Uint8Array[] = [];
  let bytes = 0;
  for await (const chunk of body) {
    bytes += chunk.length;
    if (bytes > bytesMax) throw tooLarge(bytesMax);
    chunks.push(chunk);
  }
  return Buffer.concat(chunks);
}

function tooLarge(bytesMax: number): ProblemError {
  return new ProblemError(413, `Cannot take the request: over ${bytesMax} bytes`, {
    // What was not read cannot be told from the next request.
    headers: { connection: "close" },
  });
}
