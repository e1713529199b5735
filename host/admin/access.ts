/**
 * Who may ask what. The unix socket's file permissions are its access control, so whoever can open
 * it is an admin; over TCP a bearer token gives a role. A caller of unknown kind gets nothing.
 */
import type { Context, MiddlewareHandler } from "hono";
import { ProblemError } from "./problem.ts";
import { type Role, roleSuffices, type TokenRole } from "./role.ts";
import type { RouteRegistry } from "./route.ts";
import type { AuditEntry } from "./token-schema.ts";
import type { Tokens } from "./tokens.ts";

/** The other end of a connection, as the listener knows it. */
export type Caller =
  | { kind: "unix"; uid: number; pid: number }
  | {
      kind: "tcp";
      address: string;
      /** Is this a name of ours? (the Host header) */
      isOurName(host: string): boolean;
      /** Its token is good: it may be silent, as the reader of a stream is. */
      admit(): void;
    };

export interface Principal {
  who: AuditEntry["who"];
  role: TokenRole;
  /** False once the token has ended or was revoked. */
  isValid(): boolean;
}

/** Of a body that was read, for the audit log. */
export type BodyFacts = NonNullable<AuditEntry["body"]>;

/** What a request carries through the app. */
export interface Admin {
  Bindings: { caller?: Caller };
  Variables: {
    principal?: Principal;
    body?: BodyFacts;
    /** Is told why a stream ended too early; its answer has begun and cannot say so. */
    onStreamError?: (error: Error) => void;
  };
}

/** Methods that read. */
export const CHANGES_NOTHING: ReadonlySet<string> = new Set(["GET", "HEAD", "OPTIONS"]);
const CHALLENGE = 'Bearer realm="imker"';

/** Lets a request pass whose caller has the role that its route needs. */
export function accessControl(
  registry: RouteRegistry,
  tokens: Tokens | undefined,
): MiddlewareHandler<Admin> {
  return async (context, next) => {
    const { caller } = context.env;
    // A page that made a browser call us under its own name has no business here.
    if (caller?.kind === "tcp" && !caller.isOurName(context.req.header("host") ?? "")) {
      throw new ProblemError(421, "Cannot answer: this server has no such name (Host header)");
    }
    const principal = principalFor(caller, context.req.header("authorization"), tokens);
    if (principal !== undefined) context.set("principal", principal);
    const needed = neededRole(registry, context);
    if (needed !== "none") demand(needed, principal);
    await next();
  };
}

/** Of a request that `accessControl` let pass. */
export function principalOf(context: Context<Admin>): Principal | undefined {
  return context.get("principal");
}

function principalFor(
  caller: Caller | undefined,
  authorization: string | undefined,
  tokens: Tokens | undefined,
): Principal | undefined {
  if (caller?.kind === "unix") return { who: { ...caller }, role: "admin", isValid: () => true };
  if (caller === undefined || authorization === undefined) return undefined;
  const [, token] = /^Bearer +([\w-]{1,128})$/i.exec(authorization) ?? [];
  const holder = token === undefined ? undefined : tokens?.verify(token);
  if (holder === undefined) {
    throw new ProblemError(401, "Cannot answer: the token is unknown, revoked or has ended", {
      headers: { "www-authenticate": `${CHALLENGE}, error="invalid_token"`, connection: "close" },
    });
  }
  caller.admit();
  const who = { kind: "token", name: holder.name, address: caller.address } as const;
  return { who, role: holder.role, isValid: () => holder.isValid() };
}

/** What is not declared is for viewers to read and for admins to change. */
function neededRole(registry: RouteRegistry, context: Context<Admin>): Role {
  const declared = registry.find(context);
  if (declared !== undefined) return declared.role;
  return CHANGES_NOTHING.has(context.req.method) ? "viewer" : "admin";
}

function demand(needed: Role, principal: Principal | undefined): void {
  if (principal === undefined) {
    throw new ProblemError(401, "Cannot answer: a token is needed (Authorization: Bearer …)", {
      headers: { "www-authenticate": CHALLENGE, connection: "close" },
    });
  }
  if (roleSuffices(principal.role, needed)) return;
  throw new ProblemError(403, `Cannot answer: this needs the role ${needed}, not less`, {
    headers: {
      "www-authenticate": `${CHALLENGE}, error="insufficient_scope", scope="${needed}"`,
    },
  });
}
