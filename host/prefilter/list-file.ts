/**
 * The list on disk: one prefix a line, and beside it a journal of the changes since (`+10.0.0.0/8`,
 * `-10.0.0.0/8`). What is acknowledged is synced. Reading the journal twice does no harm, so a
 * crash between a new list and the end of its journal loses nothing.
 */
import { existsSync, readFileSync } from "node:fs";
import { open, rename, rm } from "node:fs/promises";
import { join } from "node:path";
import { finish } from "../piecework.ts";
import type { Lists } from "./generations.ts";
import { parseDenied } from "./prefix.ts";
import { PrefixList } from "./prefix-list.ts";
import { readingPrefixes } from "./text-list.ts";

/** A longer journal is made part of the list. */
const JOURNAL_LINES_MAX = 10_000;
const WRITE_LINES = 10_000;

export class ListFile {
  readonly #list: string;
  readonly #journal: string;
  #journalLines = 0;

  constructor(stateDir: string) {
    this.#list = join(stateDir, "prefilter.list");
    this.#journal = join(stateDir, "prefilter.journal");
  }

  /** @throws PrefixError: the files are not ours any more. */
  read(): Lists {
    const text = existsSync(this.#list) ? readFileSync(this.#list, "utf8") : "";
    const lists = finish(readingPrefixes(text));
    if (!existsSync(this.#journal)) return lists;
    // A line cut short was never acknowledged.
    const lines = readFileSync(this.#journal, "utf8").split("\n").slice(0, -1);
    this.#journalLines = lines.length;
    for (const line of lines) {
      const prefix = parseDenied(line.slice(1));
      if (line.startsWith("+")) lists[prefix.family].add(prefix);
      else lists[prefix.family].delete(prefix);
    }
    return lists;
  }

  /** Durable when it settles. */
  async append(lines: readonly string[]): Promise<void> {
    if (lines.length === 0) return;
    await writeSynced(this.#journal, "a", [`${lines.join("\n")}\n`]);
    this.#journalLines += lines.length;
  }

  /** To be called with the lists as they are after what was appended. */
  async compact(lists: Lists): Promise<void> {
    if (this.#journalLines > JOURNAL_LINES_MAX) await this.replace(lists);
  }

  /** Durable when it settles. The lists may not change until then. */
  async replace(lists: Lists): Promise<void> {
    await writeSynced(`${this.#list}.new`, "w", textOf(lists));
    await rename(`${this.#list}.new`, this.#list);
    await rm(this.#journal, { force: true });
    this.#journalLines = 0;
  }
}

/** The list as text, in pieces. */
export function* textOf(lists: Lists): Generator<string> {
  for (const family of [4, 6] as const) {
    const list: PrefixList = lists[family];
    for (let from = 0; from < list.size; from += WRITE_LINES) {
      const count = Math.min(WRITE_LINES, list.size - from);
      yield Array.from({ length: count }, (_, at) => `${list.text(from + at)}\n`).join("");
    }
  }
}

export function emptyLists(): Lists {
  return { 4: new PrefixList(4), 6: new PrefixList(6) };
}

async function writeSynced(path: string, mode: "a" | "w", pieces: Iterable<string>): Promise<void> {
  const file = await open(path, mode, 0o600);
  try {
    for (const piece of pieces) await file.write(piece);
    await file.sync();
  } finally {
    await file.close();
  }
}
