/** The body of a `case` frame, checked: rare, so by a schema (those of open-body.ts are not). */
import { z } from "zod";
import type { CaseBody } from "../../runtime/contract/records.ts";
import { parseOpenBody } from "./open-body.ts";

const u32 = z.number().int().min(0).max(0xffff_ffff);
const byte = z.number().int().min(0).max(255);

const bodySchema = z.object({
  cause: z.enum(["denied", "malformed", "fault"]),
  steps: z.array(
    z.object({
      direction: z.enum(["request", "response"]),
      bytes: z.base64(),
      unseen: z.number().int().min(1).exactOptional(),
      end: z.enum(["open", "closed", "failed"]),
      now: z.string().regex(/^\d{1,20}$/),
    }),
  ),
  records: z.array(
    z.object({
      ...{ kind: byte, verdict: byte, stage: byte, exchange: u32 },
      fields: z.array(z.object({ key: u32, value: z.union([z.number(), z.base64()]) })),
    }),
  ),
  close: z.enum(["finished", "denied", "malformed"]).exactOptional(),
  fault: z.string().exactOptional(),
  missing: z.array(z.string().max(256)).max(8),
});

/** Undefined when the text is not what `CaseBody` says. */
export function parseCaseBody(text: string): CaseBody | undefined {
  let json: unknown;
  try {
    json = JSON.parse(text);
  } catch {
    return undefined;
  }
  const parsed = bodySchema.safeParse(json);
  if (!parsed.success) return undefined;
  const open = parseOpenBody(JSON.stringify((json as { open?: unknown }).open ?? null));
  return open === undefined ? undefined : { open, ...parsed.data };
}
