/**
 * The manifest of a plugin (`plugin.json`): what it is called, what it speaks and what its records
 * mean. The schema itself is what validates uploads; the types are derived from it.
 */
import { z } from "zod";

/** What a call may come to beside the plugin's own code: collecting, memory that grows. */
export const FUEL_BASE_MIN = 2_000_000;
/** A field of a record or a rule: shown to people and, of a rule, written by them. */
const fieldName = z
  .string()
  .regex(/^[\x21-\x7e]{1,128}$/, "expected 1 to 128 printable characters");

const recordShape = z
  .object({
    /** Names of the fields a record may carry, in the order of their `key` on the wire. */
    fields: z.array(fieldName).max(256),
    /**
     * One line for people: `{field}` is that field's value, a part in `[ ]` is left out when a
     * field in it is missing. Without it a flow shows `<Name> Fields: map[…]`, as Hubble does.
     */
    summary: z.string().max(256).optional(),
    /** Fields that hold secrets: masked wherever bytes or values are kept. */
    sensitive: z.array(fieldName).max(256).optional(),
  })
  .strict();

/** Levels of objects and lists in a schema: the manifest is written out again by recursion. */
const SCHEMA_DEPTH_MAX = 64;

function nests(value: unknown, levels: number): boolean {
  if (typeof value !== "object" || value === null) return true;
  return levels > 0 && Object.values(value).every((inner) => nests(inner, levels - 1));
}

export const manifestSchema = z
  .object({
    /** Unique name; a policy asks for the plugin by it (`l7proto: NAME`). */
    name: z.string().regex(/^[a-z0-9]([a-z0-9.-]{0,61}[a-z0-9])?$/),
    version: z
      .string()
      .max(64)
      .regex(/^\d+\.\d+\.\d+(-[0-9A-Za-z.-]+)?$/),
    /** The contract it was built for. */
    contract: z.literal("imker:l7@1.0.0"),
    description: z.string().max(256),
    /**
     * What `plugin.ts` is written in: the portable subset, compiled to machine-like code (default),
     * or all of TypeScript, run by an interpreter inside the sandbox: larger and slower.
     */
    language: z.enum(["portable", "typescript"]).optional(),
    status: z.enum(["alpha", "beta", "stable"]),
    securityPosture: z.string().max(512),
    /** Which Hubble L7 message its records fill; `generic` becomes `<Name> Fields: map[…]`. */
    flow: z.enum(["http", "dns", "kafka", "generic"]),
    /** Imports of `imker:l7/host` it uses. */
    capabilities: z.array(z.enum(["emit", "log", "match"])).max(3),
    rules: z
      .object({
        /** Keys of a rule, with what they mean. A key that is not here is an error. */
        fields: z.record(
          fieldName,
          z
            .object({
              description: z.string(),
              /** `regex`: RE2 full match, handed to the plugin as automaton or handle. */
              match: z.enum(["literal", "regex"]),
            })
            .strict(),
        ),
        /**
         * JSON Schema (2020-12) of one rule as the policy writes it, for nested values and for what
         * `fields` cannot say. Without it a rule is a map of the keys above to strings.
         */
        schema: z
          .record(z.string(), z.unknown())
          .refine((schema) => nests(schema, SCHEMA_DEPTH_MAX), "nested too deep")
          .optional(),
      })
      .strict(),
    records: z.object({ request: recordShape, response: recordShape }).strict(),
    limits: z
      .object({
        /** Linear memory of one instance, in 64 KiB pages. */
        memoryPagesMax: z.number().int().min(1).max(1024),
        /**
         * Fuel of one call: base + perByte × bytes given (runtime/isolate/cost.ts has the prices).
         * The base also pays for the collector's work after the call and for memory that grows.
         */
        fuelBase: z
          .number()
          .int()
          .min(FUEL_BASE_MIN, `at least ${FUEL_BASE_MIN}, or no call could pay its collector`)
          .max(1_000_000_000),
        fuelPerByte: z.number().int().min(0).max(100_000),
      })
      .strict(),
  })
  .strict();

export type Manifest = z.infer<typeof manifestSchema>;
