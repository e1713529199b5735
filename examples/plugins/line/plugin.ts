/**
 * A plugin for a toy protocol. A client sends lines, `GET key`, `SET key value` or `QUIT`, each
 * ended by CR LF; the server answers every line with one line, in order, that begins with a status.
 * A line that the policy denies never reaches the server: the client gets `DENIED` in its place.
 */
import { findSpace, printable } from "imker/sdk/ascii.ts";
import { Delimiter, FRAME_PARTIAL } from "imker/sdk/delimiter.ts";
import { FRAME_INVALID } from "imker/sdk/frame.ts";
import type { Host } from "imker/sdk/host.ts";
import type { Memory } from "imker/sdk/memory.ts";
import { CLOSE_MALFORMED, END_OPEN, RESPONSE } from "imker/sdk/output.ts";
import { type Call, Connection, type Facts, Plugin, type RuleSet } from "imker/sdk/plugin.ts";
import { DENIED, FORWARDED, RECORD_REQUEST, RECORD_RESPONSE } from "imker/sdk/record.ts";
import { ANSWER_UPSTREAM, ReplyQueue } from "imker/sdk/reply-queue.ts";
import { compileRuleFields, denyingStage } from "imker/sdk/rule-fields.ts";
import type { RuleList } from "imker/sdk/rule-list.ts";
import { loadRuleTable, Subjects } from "imker/sdk/rule-table.ts";
import { TextBlock } from "imker/sdk/text-block.ts";
import {
  REQUEST_COMMAND,
  REQUEST_KEY,
  RESPONSE_STATUS,
  RULE_COMMAND,
  RULE_KEY,
  RULE_KEYS,
} from "./keys.ts";

const LINE_BYTES_MAX: i32 = 1024;
/** Lines a client may send ahead of their answers. */
const UNANSWERED_MAX: i32 = 256;
const ANSWER_DENIED: i32 = 1;
const DENIED_TEXT: string = "DENIED\r\n";

/** What the plugin remembers of a connection: which lines wait for an answer, and whose. */
class LineConnection extends Connection {
  readonly replies: ReplyQueue = new ReplyQueue(UNANSWERED_MAX);
  nextExchange: i32 = 0;
}

class LinePlugin extends Plugin {
  private readonly memory: Memory;
  private readonly host: Host;
  private readonly lines: Delimiter;
  private readonly subjects: Subjects;
  private readonly denied: TextBlock;

  constructor(memory: Memory, host: Host) {
    super();
    this.memory = memory;
    this.host = host;
    this.lines = new Delimiter(memory, "\r\n", LINE_BYTES_MAX);
    this.subjects = new Subjects(memory);
    this.denied = new TextBlock(memory, DENIED_TEXT.repeat(UNANSWERED_MAX));
  }

  override compile(rules: RuleList): void {
    compileRuleFields(this.memory, rules, RULE_KEYS);
  }

  override load(compiled: i32, length: i32): RuleSet | null {
    return loadRuleTable(this.memory, this.host, compiled, length);
  }

  override open(_facts: Facts): Connection {
    return new LineConnection();
  }

  override onRequest(connection: Connection, call: Call): void {
    const line = connection as LineConnection;
    let at = call.start;
    while (at < call.end && !call.full()) {
      const frame = this.nextLine(call, at);
      if (frame <= 0) return;
      if (line.replies.full()) {
        call.output.close(CLOSE_MALFORMED);
        return;
      }
      this.request(line, call, at, frame);
      at += frame;
    }
  }

  override onResponse(connection: Connection, call: Call): void {
    const line = connection as LineConnection;
    let at = call.start;
    while (at < call.end && !call.full()) {
      const frame = this.nextLine(call, at);
      if (frame <= 0) return;
      if (line.replies.empty()) {
        // Nobody asked: this server does not speak the protocol.
        call.output.close(CLOSE_MALFORMED);
        return;
      }
      const end = at + this.lines.contentBytes(frame);
      const status = findSpace(this.memory, at, end) - at;
      call.record.span(RESPONSE_STATUS, at - call.start, status);
      call.record.emit(RECORD_RESPONSE, FORWARDED, 0, line.replies.exchange());
      call.output.pass(frame as f64);
      line.replies.shift();
      this.answer(line, call);
      at += frame;
    }
  }

  /** One whole line with its CR LF: judged, reported, and forwarded or dropped. */
  private request(line: LineConnection, call: Call, at: i32, frame: i32): void {
    const end = at + this.lines.contentBytes(frame);
    const command = findSpace(this.memory, at, end);
    const key = command < end ? command + 1 : end;
    const keyEnd = findSpace(this.memory, key, end);
    this.subjects.set(RULE_COMMAND, at, command - at);
    this.subjects.set(RULE_KEY, keyEnd > key ? key : 0, keyEnd - key);
    const stage = denyingStage(line.stages, this.subjects);

    call.record.span(REQUEST_COMMAND, at - call.start, command - at);
    if (keyEnd > key) call.record.span(REQUEST_KEY, key - call.start, keyEnd - key);
    const exchange = line.nextExchange++;
    if (stage < 0) {
      call.record.emit(RECORD_REQUEST, FORWARDED, 0, exchange);
      call.output.pass(frame as f64);
      line.replies.push(exchange, ANSWER_UPSTREAM);
      return;
    }
    call.record.emit(RECORD_REQUEST, DENIED, stage, exchange);
    call.output.drop(frame as f64);
    line.replies.push(exchange, ANSWER_DENIED);
    this.answer(line, call);
  }

  /** Gives the answers of our own whose turn it is: one block, however many. */
  private answer(line: LineConnection, call: Call): void {
    const count = line.replies.takeRun(ANSWER_DENIED);
    if (count === 0) return;
    call.output.inject(RESPONSE, this.denied.address, count * DENIED_TEXT.length);
  }

  /** Bytes of the line at `at`; 0 or less when there is none, and the answer is given already. */
  private nextLine(call: Call, at: i32): i32 {
    const frame = this.lines.frameBytes(at, call.end);
    if (frame === FRAME_PARTIAL && call.after === END_OPEN) {
      call.output.more(1);
      return frame;
    }
    const bad = frame <= 0 || !printable(this.memory, at, this.lines.contentBytes(frame));
    if (!bad) return frame;
    call.output.close(CLOSE_MALFORMED);
    return FRAME_INVALID;
  }
}

/** The plugin of this folder. */
export function createPlugin(memory: Memory, host: Host): Plugin {
  return new LinePlugin(memory, host);
}
