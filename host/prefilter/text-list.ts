/**
 * Lists as people publish them: one prefix or address a line, `#` and `;` begin a comment. A line
 * that is neither refuses the whole text.
 */

import type { Piecework } from "../piecework.ts";
import type { Lists } from "./generations.ts";
import { PrefixError, parseDenied } from "./prefix.ts";
import { PrefixList } from "./prefix-list.ts";

/** Of both families together. */
export const PREFIXES_MAX = 1 << 21;
const LINES_PER_TURN = 2_000;

/** The lists that a text holds; counts the lines. @throws PrefixError naming the line. */
export function* readingPrefixes(text: string): Piecework<Lists> {
  const lists: Lists = { 4: new PrefixList(4), 6: new PrefixList(6) };
  let number = 0;
  for (const line of linesOf(text)) {
    number++;
    if (number % LINES_PER_TURN === 0) yield number;
    const entry = line.replace(/[#;].*$/s, "").trim();
    if (entry === "") continue;
    const prefix = parseLine(entry, number);
    lists[prefix.family].push(prefix);
    if (lists[4].size + lists[6].size > PREFIXES_MAX) {
      throw new PrefixError(`Cannot read the list: it has more than ${PREFIXES_MAX} prefixes`);
    }
  }
  yield* lists[4].sorting();
  yield* lists[6].sorting();
  return lists;
}

/** Without a second copy of the text. */
function* linesOf(text: string): Generator<string> {
  let from = 0;
  while (from < text.length) {
    const end = text.indexOf("\n", from);
    yield text.slice(from, end < 0 ? undefined : end);
    from = end < 0 ? text.length : end + 1;
  }
}

function parseLine(entry: string, number: number) {
  try {
    return parseDenied(entry);
  } catch (cause) {
    if (!(cause instanceof PrefixError)) throw cause;
    throw new PrefixError(`Cannot read line ${number}: ${cause.message}`, { cause });
  }
}
