/**
 * Which requests the audit log tells of: all of known callers that are not mere reading, refused
 * ones too, and reads of what routes call audited. Strangers (401) are left out, or they could push
 * everybody else's entries out.
 */
import type { MiddlewareHandler } from "hono";
import { type Admin, CHANGES_NOTHING, principalOf } from "./access.ts";
import type { AuditLog } from "./audit-log.ts";
import type { RouteRegistry } from "./route.ts";

const PATH_CHARACTERS_MAX = 1024;

/** Stands outside of everything else, so that it sees how a request ended. */
export function auditTrail(
  audit: AuditLog,
  registry: RouteRegistry,
  nowMs: () => number,
): MiddlewareHandler<Admin> {
  return async (context, next) => {
    await next();
    const { method, url } = context.req;
    const principal = principalOf(context);
    if (principal === undefined) return;
    if (CHANGES_NOTHING.has(method) && registry.find(context)?.audited !== true) return;
    const { pathname, search } = new URL(url);
    const body = context.get("body");
    audit.append({
      time: new Date(nowMs()).toISOString(),
      who: principal.who,
      role: principal.role,
      method,
      path: (pathname + search).slice(0, PATH_CHARACTERS_MAX),
      status: context.res.status,
      ...(body === undefined ? {} : { body }),
    });
  };
}
