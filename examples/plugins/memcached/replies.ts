/**
 * The answers of a server, line by line: what one line means for the answer that is going on. Knows
 * nothing of bytes and policies.
 */
import type { Answer } from "./commands.ts";

export type Step =
  /** An item: this many bytes follow the line. */
  | { kind: "item"; dataBytes: number }
  /** A line within the answer. */
  | { kind: "part" }
  /** The last line of the answer. */
  | { kind: "end"; status: string }
  | { kind: "malformed" };

const ITEM = /^VALUE [\x21-\x7e]{1,250} \d{1,10} (\d{1,9})( \d{1,20})?$/;
const STAT = /^STAT [\x21-\x7e]/;
/** What may stand for any answer. */
const FAILED = /^(ERROR|CLIENT_ERROR|SERVER_ERROR)( |$)/;
const STATUS = /^[\x21-\x7e]+/;

/** What a line of the server says in an answer of this kind. */
export function readReply(answer: Answer, line: string): Step {
  const status = STATUS.exec(line)?.[0];
  if (answer === "nothing" || status === undefined) return { kind: "malformed" };
  if (answer === "line" || line === "END" || FAILED.test(line)) return { kind: "end", status };
  const item = answer === "items" ? ITEM.exec(line) : null;
  if (item !== null) return { kind: "item", dataBytes: Number(item[1]) };
  return answer === "lines" && STAT.test(line) ? { kind: "part" } : { kind: "malformed" };
}
