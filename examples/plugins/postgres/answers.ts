/**
 * What the plugin says itself. A denied statement must fail as one that PostgreSQL denies: in its
 * turn, and with what that does to a transaction. So the server gets, in its place, a message that
 * always fails and does nothing, and its error is replaced by ours on the way back.
 */
import type { Memory } from "imker/sdk/memory.ts";
import { TextBlock } from "imker/sdk/text-block.ts";

/** In every error that a failing message causes, whatever language the server speaks. */
const MARKER: string = "imker: denied";
const DENIED_NAME: string = "imker: denied by policy";
/** As long as MARKER, and then not the same. */
const UNREADABLE_NAME: string = "imker: denied, not readable";
const COMMA: i32 = 44;

const SQLSTATE_DENIED: string = "42501";
const SQLSTATE_LOGIN: string = "28000";

export class Answers {
  readonly denied: TextBlock;
  readonly unreadable: TextBlock;
  readonly loginDenied: TextBlock;
  readonly replicationDenied: TextBlock;
  /** The answer to a request for encryption. */
  readonly no: TextBlock;
  private readonly memory: Memory;
  private readonly marker: TextBlock;
  private readonly failingQuery: TextBlock;
  private readonly failingExecute: TextBlock;
  private readonly unreadableQuery: TextBlock;
  private readonly unreadableExecute: TextBlock;

  constructor(memory: Memory) {
    this.memory = memory;
    this.denied = error(memory, "ERROR", SQLSTATE_DENIED, "statement denied by policy");
    const unreadable = "statement denied by policy: not all of it can be read";
    this.unreadable = error(memory, "ERROR", SQLSTATE_DENIED, unreadable);
    const login = "user or database denied by policy";
    this.loginDenied = error(memory, "FATAL", SQLSTATE_LOGIN, login);
    const replication = "replication denied: no policy can be applied to it";
    this.replicationDenied = error(memory, "FATAL", SQLSTATE_LOGIN, replication);
    this.no = new TextBlock(memory, "N");
    this.marker = new TextBlock(memory, MARKER);
    this.failingQuery = message(memory, "Q", `"${DENIED_NAME}"\0`);
    this.unreadableQuery = message(memory, "Q", `"${UNREADABLE_NAME}"\0`);
    this.failingExecute = message(memory, "E", `${DENIED_NAME}\0\0\0\0\0`);
    this.unreadableExecute = message(memory, "E", `${UNREADABLE_NAME}\0\0\0\0\0`);
  }

  /** What the server gets in the place of a denied message. */
  failing(extended: bool, unreadable: bool): TextBlock {
    if (extended) return unreadable ? this.unreadableExecute : this.failingExecute;
    return unreadable ? this.unreadableQuery : this.failingQuery;
  }

  /** The error to give instead of the server's at `at`; null when that is about something else. */
  instead(at: i32, length: i32): TextBlock | null {
    const memory = this.memory;
    const end = at + length - this.marker.length;
    const first = memory.u8(this.marker.address);
    let found = memory.find(at, end, first);
    while (found < end) {
      if (memory.equal(found, this.marker.address, this.marker.length)) {
        const next = memory.u8(found + this.marker.length);
        return next === COMMA ? this.unreadable : this.denied;
      }
      found = memory.find(found + 1, end, first);
    }
    return null;
  }
}

function error(memory: Memory, severity: string, code: string, text: string): TextBlock {
  const body = `S${severity}\0V${severity}\0C${code}\0M${text}\0\0`;
  return message(memory, "E", body);
}

/** A message of ASCII, shorter than 256 bytes. */
function message(memory: Memory, type: string, body: string): TextBlock {
  const block = new TextBlock(memory, `${type}\0\0\0\0${body}`);
  memory.setU8(block.address + 4, block.length - 1);
  return block;
}
