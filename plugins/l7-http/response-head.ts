/**
 * The head of a response, parsed as its bytes come, like request-head.ts. All offsets are from the
 * start of the response.
 */
import { type FieldLine, LINE_BAD, LINE_END, LINE_PARTIAL } from "./field-line.ts";
import { Framing, HEAD_BYTES_MAX } from "./framing.ts";
import { HEAD_BAD, HEAD_COMPLETE, HEAD_PARTIAL, type HeadTools } from "./request-head.ts";

/** `HTTP/1.x` and a space; the three digits come behind it. */
const VERSION_BYTES: i32 = 9;
const STATUS_END: i32 = 12;

const TAB: i32 = 9;
const LF: i32 = 10;
const CR: i32 = 13;
const SPACE: i32 = 32;

export class ResponseHead {
  status: i32 = 0;
  /** Minor version, 0 or 1. */
  minor: i32 = 0;
  /** Bytes of the head, once it is complete. */
  length: i32 = 0;
  readonly framing: Framing;
  private cursor: i32 = 0;
  private readonly tools: HeadTools;

  constructor(tools: HeadTools) {
    this.tools = tools;
    this.framing = new Framing(tools.memory, tools.words);
  }

  /** A new response. */
  reset(): void {
    this.cursor = 0;
    this.framing.reset();
  }

  /** Parses on; `start` is where the response begins. HEAD_PARTIAL, HEAD_COMPLETE or HEAD_BAD. */
  parse(start: i32, end: i32): i32 {
    if (this.cursor === 0) {
      const state = this.parseStatusLine(start, end);
      if (state === HEAD_PARTIAL && end - start > HEAD_BYTES_MAX) return HEAD_BAD;
      if (state !== HEAD_COMPLETE) return state;
    }
    const line: FieldLine = this.tools.line;
    let at = start + this.cursor;
    while (true) {
      const kind = line.parse(at, end);
      if (kind === LINE_PARTIAL) {
        this.cursor = at - start;
        return end - start > HEAD_BYTES_MAX ? HEAD_BAD : HEAD_PARTIAL;
      }
      if (kind === LINE_BAD || line.next - start > HEAD_BYTES_MAX) return HEAD_BAD;
      at = line.next;
      if (kind === LINE_END) break;
      if (!this.framing.take(line)) return HEAD_BAD;
    }
    this.length = at - start;
    return this.framing.consistent(this.minor) ? HEAD_COMPLETE : HEAD_BAD;
  }

  /** `HTTP/1.x NNN reason`; the reason, with its space, may be missing. */
  private parseStatusLine(start: i32, end: i32): i32 {
    const memory = this.tools.memory;
    const word = this.tools.version;
    this.status = 0;
    for (let i = 0; i < STATUS_END; i++) {
      if (start + i === end) return HEAD_PARTIAL;
      const byte = memory.u8(start + i);
      if (i < VERSION_BYTES - 2) {
        // The word begins with the space that a request has before it.
        if (byte !== memory.u8(word.at + 1 + i)) return HEAD_BAD;
      } else if (i === VERSION_BYTES - 2) {
        this.minor = byte - 48;
        if (this.minor !== 0 && this.minor !== 1) return HEAD_BAD;
      } else if (i === VERSION_BYTES - 1) {
        if (byte !== SPACE) return HEAD_BAD;
      } else {
        if (byte < 48 || byte > 57) return HEAD_BAD;
        this.status = this.status * 10 + byte - 48;
      }
    }
    return this.parseReason(start, start + STATUS_END, end);
  }

  private parseReason(start: i32, from: i32, end: i32): i32 {
    const memory = this.tools.memory;
    if (this.status < 100 || this.status > 599) return HEAD_BAD;
    if (from === end) return HEAD_PARTIAL;
    if (memory.u8(from) !== SPACE && memory.u8(from) !== CR) return HEAD_BAD;
    let at = memory.findControl(from, end);
    while (at < end && memory.u8(at) === TAB) at = memory.findControl(at + 1, end);
    if (at === end) return HEAD_PARTIAL;
    if (memory.u8(at) !== CR) return HEAD_BAD;
    if (at + 1 === end) return HEAD_PARTIAL;
    if (memory.u8(at + 1) !== LF) return HEAD_BAD;
    this.cursor = at + 2 - start;
    return HEAD_COMPLETE;
  }
}
