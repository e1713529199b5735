/**
 * The list on disk: one prefix a line, and beside it a journal of the changes since (`+10.0.0.0/8`,
 * `-10.0.0.0/8`). What is acknowledged is synced. Reading the journal twice does no harm, so a
 * crash between a new list and the end of its journal loses nothing.
 */
import {
  closeSync,
  existsSync,
  fsyncSync,
  openSync,
  readFileSync,
  renameSync,
  rmSync,
  writeSync,
} from "node:fs";
import { join } from "node:path";
import type { Lists } from "./generations.ts";
import { parseDenied } from "./prefix.ts";
import { PrefixList } from "./prefix-list.ts";
import { readPrefixes } from "./text-list.ts";

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
    const lists = readPrefixes(existsSync(this.#list) ? readFileSync(this.#list, "utf8") : "");
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

  /** Durable when it returns. */
  append(lines: readonly string[]): void {
    if (lines.length === 0) return;
    writeSynced(this.#journal, "a", [`${lines.join("\n")}\n`]);
    this.#journalLines += lines.length;
  }

  /** To be called with the lists as they are after what was appended. */
  compact(lists: Lists): void {
    if (this.#journalLines > JOURNAL_LINES_MAX) this.replace(lists);
  }

  /** Durable when it returns. */
  replace(lists: Lists): void {
    writeSynced(`${this.#list}.new`, "w", textOf(lists));
    renameSync(`${this.#list}.new`, this.#list);
    rmSync(this.#journal, { force: true });
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

function writeSynced(path: string, mode: "a" | "w", pieces: Iterable<string>): void {
  const file = openSync(path, mode, 0o600);
  try {
    for (const piece of pieces) writeSync(file, piece);
    fsyncSync(file);
  } finally {
    closeSync(file);
  }
}
