/**
 * The last confirmed state on disk, so that a proxy that starts without an agent enforces at once.
 * Readable by its owner only, checksummed, replaced as a whole; a file that is not exactly what was
 * written is refused.
 */
import { createHash } from "node:crypto";
import { closeSync, fsyncSync, openSync, readFileSync, renameSync, writeSync } from "node:fs";
import { join } from "node:path";
import { z } from "zod";
import { type ProxyState, RECORDED_BYTES_MAX } from "../contract/control.ts";
import { manifestSchema } from "../contract/manifest.ts";

const FILE_NAME = "proxy-state.json";

export class StateError extends Error {
  override readonly name = "StateError";
}

const digestSchema = z.string().regex(/^sha256:[0-9a-f]{64}$/);

const formSchema = z
  .object({
    digest: digestSchema,
    compiled: z.base64(),
    patterns: z.array(z.object({ handle: z.number().int().min(0), source: z.string() }).strict()),
  })
  .strict();

const trialSchema = z
  .object({
    id: z.string(),
    kind: z.enum(["shadow", "canary"]),
    digest: digestSchema,
    share: z.number().int().min(0).max(1000),
    ruleSets: z.array(z.number().int().min(1).max(0xffff_ffff)),
    stopOn: z
      .object({
        faults: z.number().min(0),
        differences: z.number().min(0),
        fuelRatio: z.number().min(0),
        callMicros: z.number().min(0),
      })
      .strict(),
  })
  .strict();

const recordingSchema = z
  .object({
    ruleSets: z.array(z.number().int().min(1).max(0xffff_ffff)),
    until: z.number().min(0),
    bytesMax: z.number().int().min(1).max(RECORDED_BYTES_MAX),
  })
  .strict();

const stateSchema = z
  .object({
    revision: z.number().int().min(0),
    plugins: z.array(
      z
        .object({
          digest: digestSchema,
          manifest: manifestSchema,
          path: z.string().startsWith("/"),
          drainUntil: z.number().min(0).optional(),
        })
        .strict(),
    ),
    services: z.array(
      z
        .object({
          plugin: z.string(),
          active: digestSchema.nullable(),
          trial: trialSchema.optional(),
        })
        .strict(),
    ),
    ruleSets: z.array(
      z
        .object({
          id: z.number().int().min(1).max(0xffff_ffff),
          plugin: z.string(),
          mode: z.enum(["enforce", "audit", "observe"]),
          failure: z.enum(["closed", "open"]),
          forms: z.array(formSchema),
        })
        .strict(),
    ),
    recordings: z.array(recordingSchema).optional(),
  })
  .strict();

const fileSchema = z.object({ sha256: z.string(), state: z.unknown() }).strict();

/** Throws StateError naming the field that is wrong. */
export function parseState(value: unknown): ProxyState {
  const parsed = stateSchema.safeParse(value);
  if (parsed.success) return parsed.data as ProxyState;
  const [issue] = parsed.error.issues;
  throw new StateError(`Cannot use the state: ${issue?.path.join(".")}: ${issue?.message}`);
}

function checksum(state: unknown): string {
  return createHash("sha256").update(JSON.stringify(state)).digest("hex");
}

/** Throws what the file system throws; then the old file is still there. */
export function saveState(folder: string, state: ProxyState): void {
  const path = join(folder, FILE_NAME);
  const temporary = `${path}.${process.pid}`;
  const file = openSync(temporary, "w", 0o600);
  try {
    writeSync(file, JSON.stringify({ sha256: checksum(state), state }));
    fsyncSync(file);
  } finally {
    closeSync(file);
  }
  renameSync(temporary, path);
}

/** Undefined: there is none. Throws StateError when it is damaged. */
export function loadState(folder: string): ProxyState | undefined {
  const path = join(folder, FILE_NAME);
  let text: string;
  try {
    text = readFileSync(path, "utf8");
  } catch (cause) {
    if ((cause as NodeJS.ErrnoException).code === "ENOENT") return undefined;
    throw new StateError(`Cannot read ${path}`, { cause });
  }
  const file = fileSchema.safeParse(parseJson(text, path));
  if (!file.success || file.data.sha256 !== checksum(file.data.state)) {
    throw new StateError(`Cannot use ${path}: its checksum is wrong`);
  }
  return parseState(file.data.state);
}

/** A plain state, without checksum, written by a person or a script. */
export function readStateFile(path: string): ProxyState {
  return parseState(parseJson(readFileSync(path, "utf8"), path));
}

function parseJson(text: string, path: string): unknown {
  try {
    return JSON.parse(text);
  } catch (cause) {
    throw new StateError(`Cannot use ${path}: not JSON`, { cause });
  }
}
