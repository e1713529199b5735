/** Shapes of the admin API's tokens and of its audit log. */
import { z } from "zod";
import { TOKEN_ROLES } from "./role.ts";

const DAY_SECONDS = 86_400;
const TOKEN_TTL_DEFAULT_SECONDS = 30 * DAY_SECONDS;
const TOKEN_TTL_MAX_SECONDS = 3660 * DAY_SECONDS;

const tokenName = z
  .string()
  .max(63)
  .regex(/^[a-z0-9]([-a-z0-9.]*[a-z0-9])?$/, "expected a name: a-z, 0-9, '-' and '.'");

export const tokenParams = z.object({ name: tokenName });

export const tokenRequest = z
  .object({
    name: tokenName,
    role: z.enum(TOKEN_ROLES),
    ttlSeconds: z
      .int()
      .min(1)
      .max(TOKEN_TTL_MAX_SECONDS)
      .default(TOKEN_TTL_DEFAULT_SECONDS)
      .meta({ description: "Seconds until it ends" }),
  })
  .strict()
  .meta({
    id: "TokenRequest",
    examples: [{ name: "ci", role: "operator", ttlSeconds: 7 * DAY_SECONDS }],
  });

export type TokenRequest = z.output<typeof tokenRequest>;

const tokenFields = {
  name: z.string(),
  role: z.enum(TOKEN_ROLES),
  createdAt: z.iso.datetime(),
  expiresAt: z.iso.datetime(),
  expired: z.boolean(),
};

export const tokenView = z.object(tokenFields).meta({ id: "Token" });
export type TokenView = z.infer<typeof tokenView>;

export const tokenCreated = z
  .object({
    ...tokenFields,
    token: z.string().meta({ description: "The secret; it is shown only here" }),
  })
  .meta({ id: "CreatedToken" });
export type Created = z.infer<typeof tokenCreated>;

export const AUDIT_LAST_MAX = 10_000;

export const auditQuery = z.object({
  last: z.coerce
    .number()
    .int()
    .min(1)
    .max(AUDIT_LAST_MAX)
    .default(100)
    .meta({ description: "So many, the newest" }),
});

export const auditEntry = z
  .object({
    time: z.iso.datetime(),
    who: z.discriminatedUnion("kind", [
      z.object({ kind: z.literal("unix"), uid: z.int(), pid: z.int() }),
      z.object({ kind: z.literal("token"), name: z.string(), address: z.string() }),
    ]),
    role: z.enum(TOKEN_ROLES),
    method: z.string(),
    path: z.string().meta({ description: "With its query, cut at 1,024 characters" }),
    status: z.int(),
    body: z
      .object({ bytes: z.int(), sha256: z.string().meta({ description: "First 16 hex digits" }) })
      .optional()
      .meta({ description: "Absent when there was none, or it was refused unread" }),
  })
  .meta({
    id: "AuditEntry",
    description: "One request that could have changed something",
    examples: [
      {
        time: "2026-11-25T12:00:00.000Z",
        who: { kind: "token", name: "ci", address: "192.0.2.7" },
        role: "operator",
        method: "POST",
        path: "/v1/policies?wait=true",
        status: 200,
        body: { bytes: 512, sha256: "9f86d081884c7d65" },
      },
    ],
  });
export type AuditEntry = z.infer<typeof auditEntry>;
