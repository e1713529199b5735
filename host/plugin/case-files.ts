/**
 * Cases on disk: `<stateDir>/cases/<id>.json`, readable by their owner only, few and not for long.
 * They hold bytes of connections; what is over a bound goes, the oldest first.
 */
import { randomBytes } from "node:crypto";
import {
  mkdirSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  statSync,
  writeFileSync,
} from "node:fs";
import { join } from "node:path";
import { type Case, CaseError, readCase } from "../../runtime/contract/case.ts";

const CASES_MAX = 256;
const CASES_BYTES_MAX = 32 << 20;
const CASE_AGE_MS_MAX = 86_400_000;
const FILE = /^([0-9a-f]{12})\.json$/;

/** What a list shows of a case. */
export interface CaseEntry {
  id: string;
  /** Milliseconds since 1970. */
  time: number;
  bytes: number;
  plugin: Case["plugin"];
  facts: Case["facts"];
  cause: "denied" | "malformed" | "fault";
  exact: boolean;
  partial: string[];
}

export class CaseFiles {
  readonly #folder: string;
  readonly #now: () => number;
  /** The oldest first. */
  #entries: CaseEntry[] = [];

  /** @param now Milliseconds since 1970. */
  constructor(folder: string, now: () => number) {
    this.#folder = folder;
    this.#now = now;
    mkdirSync(folder, { recursive: true, mode: 0o700 });
    for (const name of readdirSync(folder)) this.#takeUp(name);
    this.#entries.sort((a, b) => a.time - b.time);
  }

  /** One that another agent wrote; what is none, or is damaged, goes. */
  #takeUp(name: string): void {
    const path = join(this.#folder, name);
    const id = FILE.exec(name)?.[1];
    try {
      if (id === undefined) throw new CaseError(`Cannot use ${path}: it is no case`);
      const { mtimeMs, size } = statSync(path);
      this.#entries.push(entryOf(readCase(readFileSync(path, "utf8")), id, mtimeMs, size));
    } catch (error) {
      if (!(error instanceof CaseError)) throw error;
      rmSync(path, { force: true, recursive: true });
    }
  }

  /** Throws what the file system throws. */
  add(content: Case): CaseEntry {
    const text = `${JSON.stringify(content, undefined, 2)}\n`;
    const id = randomBytes(6).toString("hex");
    const part = join(this.#folder, `${id}.part`);
    writeFileSync(part, text, { mode: 0o600 });
    renameSync(part, this.#pathOf(id));
    const entry = entryOf(content, id, this.#now(), Buffer.byteLength(text));
    this.#entries.push(entry);
    this.#tidy();
    return entry;
  }

  /** The newest first. */
  list(): CaseEntry[] {
    this.#tidy();
    return this.#entries.toReversed();
  }

  find(id: string): CaseEntry | undefined {
    this.#tidy();
    return this.#entries.find((one) => one.id === id);
  }

  /** Throws CaseError, or what reading throws. */
  read({ id }: CaseEntry): Case {
    return readCase(readFileSync(this.#pathOf(id), "utf8"));
  }

  remove({ id }: CaseEntry): void {
    rmSync(this.#pathOf(id), { force: true });
    this.#entries = this.#entries.filter((one) => one.id !== id);
  }

  #tidy(): void {
    let bytes = this.#entries.reduce((sum, one) => sum + one.bytes, 0);
    for (const one of [...this.#entries]) {
      const old = this.#now() - one.time > CASE_AGE_MS_MAX;
      if (!old && this.#entries.length <= CASES_MAX && bytes <= CASES_BYTES_MAX) return;
      bytes -= one.bytes;
      this.remove(one);
    }
  }

  #pathOf(id: string): string {
    return join(this.#folder, `${id}.json`);
  }
}

function entryOf(content: Case, id: string, time: number, bytes: number): CaseEntry {
  const { plugin, facts, exact, partial, observed } = content;
  const denied =
    observed.close === "denied" || observed.records.some((line) => / denied by stage /.test(line));
  const ended = denied ? "denied" : "malformed";
  const cause = observed.fault === undefined ? ended : "fault";
  return { id, time, bytes, plugin, facts, cause, exact, partial };
}
