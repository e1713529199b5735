/**
 * Bodies pass through here, after the caller was let in, when a handler reads them: bounded by what
 * the route declares, with their digest for the audit log. Nothing is kept.
 */
import { createHash } from "node:crypto";
import type { MiddlewareHandler } from "hono";
import { type Admin, type BodyFacts, CHANGES_NOTHING } from "./access.ts";
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
      const body = raw.body.pipeThrough(
        meter(bytesMax, (facts) => {
          context.set("body", facts);
        }),
      );
      // The web worker types that the compiler is given do not know `duplex`; Node demands it.
      const init = { body, duplex: "half" };
      context.req.raw = new Request(raw, init);
    }
    await next();
  };
}

function meter(
  bytesMax: number,
  onEnd: (facts: BodyFacts) => void,
): TransformStream<Uint8Array<ArrayBuffer>, Uint8Array<ArrayBuffer>> {
  const hash = createHash("sha256");
  let bytes = 0;
  return new TransformStream({
    transform(chunk, controller) {
      bytes += chunk.length;
      if (bytes > bytesMax) {
        controller.error(tooLarge(bytesMax));
        return;
      }
      hash.update(chunk);
      controller.enqueue(chunk);
    },
    flush() {
      const sha256 = hash.digest("hex").slice(0, DIGEST_DIGITS);
      if (bytes > 0) onEnd({ bytes, sha256 });
    },
  });
}

function tooLarge(bytesMax: number): ProblemError {
  return new ProblemError(413, `Cannot take the request: over ${bytesMax} bytes`, {
    // What was not read cannot be told from the next request.
    headers: { connection: "close" },
  });
}
