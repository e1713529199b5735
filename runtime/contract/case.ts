/**
 * A case: one connection that a plugin judged, as a file that judges it again. Fuel, time and bytes
 * are all inputs, so an exact case always reproduces with the plugin that judged it; one that lacks
 * something says what.
 */
import { z } from "zod";

/** Of a whole file. */
export const CASE_BYTES_MAX = 16 << 20;
const STEPS_MAX = 65_536;

const direction = z.enum(["request", "response"]);
const identity = z.number().int().min(0).max(0xffff_ffff);
const port = z.number().int().min(0).max(65_535);

/** Rules of one stage, as the policy gave them: each a map of keys to texts. */
const rulesSchema = z.array(z.record(z.string(), z.string())).max(10_000);

const outcomeSchema = z
  .object({
    /** Records, one readable line each (runtime/testkit/record-log.ts). */
    records: z.array(z.string()).max(STEPS_MAX),
    /** Why the plugin closed the connection. */
    close: z.enum(["finished", "denied", "malformed"]).optional(),
    /** Message of the fault it ended with. */
    fault: z.string().max(4096).optional(),
    /** Base64; absent: not recorded. */
    upstream: z.base64().optional(),
    client: z.base64().optional(),
  })
  .strict();

export const caseSchema = z
  .object({
    format: z.literal("imker case 1"),
    plugin: z
      .object({
        name: z.string(),
        version: z.string(),
        digest: z.string().regex(/^sha256:[0-9a-f]{64}$/),
      })
      .strict(),
    /** In the order of the connection's stages. */
    stages: z
      .array(z.object({ point: z.enum(["egress", "ingress"]), rules: rulesSchema }).strict())
      .max(8),
    facts: z
      .object({
        source: z.string(),
        destination: z.string(),
        sourcePort: port,
        destinationPort: port,
        sourceIdentity: identity,
        destinationIdentity: identity,
      })
      .strict(),
    /** What the plugin was given, in order. */
    steps: z
      .array(
        z
          .object({
            direction,
            /** Base64 of what came since the last step of this direction. */
            bytes: z.base64(),
            /**
             * So many of them, the first, were passed or dropped without the plugin seeing them;
             * nobody kept them, and zeros stand for them.
             */
            unseen: z.number().int().min(1).exactOptional(),
            end: z.enum(["open", "closed", "failed"]),
            /** Nanoseconds since 1970, decimal. */
            now: z.string().regex(/^\d{1,20}$/),
          })
          .strict(),
      )
      .max(STEPS_MAX),
    observed: outcomeSchema,
    /** Whether `steps` are everything the plugin saw of the connection, from its first byte on. */
    exact: z.boolean(),
    /** Why not, for people; empty when exact. */
    partial: z.array(z.string().max(256)).max(16),
  })
  .strict()
  .refine(({ exact, partial }) => exact === (partial.length === 0), {
    message: "a partial case says why, an exact one has nothing to say",
    path: ["partial"],
  });

export type Case = z.infer<typeof caseSchema>;

/** The file is no case. */
export class CaseError extends Error {
  override readonly name = "CaseError";
}

/** Reads a case file. Throws CaseError naming the field that is wrong. */
export function readCase(text: string): Case {
  if (text.length > CASE_BYTES_MAX) {
    throw new CaseError(`Cannot read the case: ${text.length} bytes, at most ${CASE_BYTES_MAX}`);
  }
  let json: unknown;
  try {
    json = JSON.parse(text);
  } catch (cause) {
    throw new CaseError("Cannot read the case: not JSON", { cause });
  }
  const parsed = caseSchema.safeParse(json);
  if (parsed.success) return parsed.data;
  const [issue] = parsed.error.issues;
  throw new CaseError(
    `Cannot read the case: ${issue?.path.join(".") ?? ""}: ${issue?.message ?? ""}`,
  );
}
