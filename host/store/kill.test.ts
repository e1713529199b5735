/**
 * The embedded store loses no acknowledged write: a process that writes is killed (SIGKILL) a
 * thousand times at random moments, opening and writing alike, and the next finds all of it.
 */
import { execFileSync, spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { DatabaseSync } from "node:sqlite";
import { fileURLToPath } from "node:url";
import { expect, it } from "vitest";

const KILLS = 1_000;
/** Databases, and writers, at a time. */
const LANES = 4;
const DELAY_MAX_MS = 6;
/** Of ten writers one is killed at a moment of its start. */
const EARLY_SHARE = 0.1;
const START_MS = 50;
const WRITER = fileURLToPath(new URL("testdata/writer.ts", import.meta.url));

interface Life {
  /** What it found; undefined: it did not come so far. */
  found: number | undefined;
  acknowledged: number;
}

/** Without it a thousand starts would mostly be compiling. */
function envOf(folder: string): NodeJS.ProcessEnv {
  return { ...process.env, NODE_COMPILE_CACHE: join(folder, "compiled") };
}

/** Runs a writer and kills it. */
async function live(file: string): Promise<Life> {
  const child = spawn(process.execPath, [WRITER, file], {
    stdio: ["ignore", "pipe", "inherit"],
    env: envOf(dirname(file)),
  });
  const exit = once(child, "close");
  const kill = (delayMs: number): void => void setTimeout(() => child.kill("SIGKILL"), delayMs);
  const early = Math.random() < EARLY_SHARE;
  if (early) kill(Math.random() * START_MS);
  let text = "";
  child.stdout.on("data", (chunk) => {
    if (text === "" && !early) kill(Math.random() * DELAY_MAX_MS);
    text += String(chunk);
  });
  const [code, signal] = (await exit) as [number | null, string | null];
  if (signal !== "SIGKILL") throw new Error(`The writer ended by itself: ${code ?? signal}`);
  // The pipe holds what was acknowledged; a line cut short was not.
  const numbers = text.split("\n").slice(0, -1).map(Number);
  return { found: numbers[0], acknowledged: numbers.at(-1) ?? 0 };
}

async function lane(file: string, kills: number): Promise<number> {
  let acknowledged = 0;
  for (let killed = 0; killed < kills; killed++) {
    const life = await live(file);
    if (life.found !== undefined) expect(life.found).toBeGreaterThanOrEqual(acknowledged);
    acknowledged = Math.max(acknowledged, life.acknowledged);
  }
  const database = new DatabaseSync(file);
  expect(database.prepare("PRAGMA integrity_check").get()).toEqual({ integrity_check: "ok" });
  const { last, rows } = database
    .prepare(
      `SELECT (SELECT CAST(value AS INTEGER) FROM shared WHERE key = 'last') AS last,
              (SELECT count(*) FROM shared WHERE key LIKE 'b/%') AS rows`,
    )
    .get() as { last: number; rows: number };
  database.close();
  expect(last).toBeGreaterThanOrEqual(acknowledged);
  // Whole transactions only: every number has its row.
  expect(rows).toBe(last);
  return acknowledged;
}

it(`a writer killed ${KILLS} times loses no acknowledged write`, async () => {
  const folder = mkdtempSync(join(tmpdir(), "imker-kill-"));
  // The cache is written at an orderly end only.
  execFileSync(process.execPath, [WRITER, join(folder, "first.db"), "1"], { env: envOf(folder) });
  const lanes = Array.from({ length: LANES }, (_, n) =>
    lane(join(folder, `${n}.db`), KILLS / LANES),
  );
  const acknowledged = await Promise.all(lanes);
  rmSync(folder, { recursive: true });
  expect(acknowledged.reduce((sum, one) => sum + one, 0)).toBeGreaterThan(KILLS);
}, 240_000);
