/** Shapes of recordings and cases in the admin API. Times are RFC 3339. */
import { z } from "zod";
import { caseSchema } from "../../runtime/contract/case.ts";
import { RECORDED_BYTES_MAX } from "../../runtime/contract/control.ts";

export const caseParams = z.object({ id: z.string() });

export const recordingRequest = z
  .object({
    /** `NAMESPACE/NAME`, or `NAME` of one without a namespace; empty: all that use the plugin. */
    policies: z.array(z.string().min(1).max(512)).max(256).default([]),
    seconds: z.number().int().min(1).max(3600).default(600),
    /** Of each direction of a connection. */
    bytesMax: z.number().int().min(1).max(RECORDED_BYTES_MAX).default(16_384),
  })
  .strict()
  .meta({ id: "RecordingRequest", examples: [{ policies: ["shop/web"], seconds: 600 }] });

export const recordingView = z
  .object({
    plugin: z.string(),
    policies: z.array(z.string()),
    until: z.iso.datetime(),
    bytesMax: z.number(),
  })
  .meta({ id: "Recording" });

export const caseView = z
  .object({
    id: z.string(),
    time: z.iso.datetime(),
    /** Uuid of the flow that shows it; null when none does, or the agent is a later one. */
    flow: z.string().nullable(),
    plugin: caseSchema.shape.plugin,
    facts: caseSchema.shape.facts,
    cause: z.enum(["denied", "malformed", "fault"]),
    exact: z.boolean(),
    /** Why it is not exact. */
    partial: z.array(z.string()),
    /** Of the file. */
    bytes: z.number(),
  })
  .meta({ id: "CaseSummary" });

export const caseFile = caseSchema.meta({ id: "Case" });

export type RecordingRequest = z.output<typeof recordingRequest>;
export type RecordingView = z.output<typeof recordingView>;
export type CaseView = z.output<typeof caseView>;
