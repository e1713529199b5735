/** Shapes of the prefilter's routes. */
import { z } from "zod";

/** More are loaded as a list. */
export const PREFIXES_PER_REQUEST_MAX = 10_000;
/** A million IPv6 addresses as text, and comments. */
export const LIST_BYTES_MAX = 96 << 20;

export const prefixesRequest = z
  .object({
    prefixes: z
      .array(z.string().max(64))
      .min(1)
      .max(PREFIXES_PER_REQUEST_MAX)
      .meta({ description: "Prefixes, or addresses for themselves" }),
  })
  .meta({ examples: [{ prefixes: ["192.0.2.0/24", "2001:db8::1"] }] });

export const prefilterChange = z
  .object({
    added: z.int(),
    deleted: z.int(),
    prefixes: z.int().meta({ description: "In the list now" }),
  })
  .meta({ id: "PrefilterChange" });

const familyCounters = z.object({
  droppedPackets: z.int(),
  droppedBytes: z.int(),
  passedPackets: z.int(),
  passedBytes: z.int(),
});

export const prefilterStatus = z
  .object({
    ipv4: z.int().meta({ description: "Prefixes in the list, as they were given" }),
    ipv6: z.int(),
    bytes: z.int().meta({ description: "Kernel memory of the list" }),
    bytesPerPrefix: z.number(),
    devices: z.array(
      z.object({
        name: z.string(),
        attached: z.boolean().meta({ description: "Only while the list is not empty" }),
        mode: z.enum(["native", "generic"]).optional(),
        detail: z.string().meta({ description: "Why it is not attached, or not in native mode" }),
      }),
    ),
    counters: z
      .object({
        ipv4: familyCounters,
        ipv6: familyCounters,
        others: z.int().meta({ description: "Frames that are neither; they pass" }),
        eventsLost: z.int(),
      })
      .meta({ description: "Since the maps were made" }),
  })
  .meta({ id: "PrefilterStatus" });
