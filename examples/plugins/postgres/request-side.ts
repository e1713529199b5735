/** Bytes from the client: startup packets, then messages; judged, reported, passed or dropped. */
import { FRAME_INVALID, LengthPrefix } from "imker/sdk/frame.ts";
import type { Memory } from "imker/sdk/memory.ts";
import { CLOSE_DENIED, CLOSE_MALFORMED, END_OPEN, REQUEST, RESPONSE } from "imker/sdk/output.ts";
import type { Call } from "imker/sdk/plugin.ts";
import { Reader } from "imker/sdk/reader.ts";
import { DENIED, FORWARDED, RECORD_REQUEST } from "imker/sdk/record.ts";
import { denyingStage } from "imker/sdk/rule-fields.ts";
import { Subjects } from "imker/sdk/rule-table.ts";
import type { Answers } from "./answers.ts";
import {
  PHASE_DONE,
  PHASE_ENCRYPTED,
  PHASE_OPEN,
  PHASE_START,
  type PostgresConnection,
  WAIT_DENIED,
  WAIT_EXECUTE,
  WAIT_QUERY,
  WAIT_SYNC,
} from "./connection.ts";
import { Items } from "./items.ts";
import {
  REQUEST_DATABASE,
  REQUEST_STATEMENT,
  REQUEST_TABLE,
  REQUEST_USER,
  RULE_DATABASE,
  RULE_USER,
} from "./keys.ts";
import { Phases } from "./rules.ts";
import {
  PACKET_CANCEL,
  PACKET_ENCRYPT,
  PACKET_UNKNOWN,
  STARTUP_HEADER_BYTES,
  Startup,
} from "./startup.ts";
import { StatementReader } from "./statement-reader.ts";
import { CANCEL, CONNECT, FUNCTION, Words } from "./words.ts";

const HEADER_BYTES: i32 = 5;
const FRAME_BYTES_MAX: i32 = 0x40000000;
/** Longer statements are not read; longer names in other messages are not reported. */
const STATEMENT_BYTES_MAX: i32 = 131072;
const NAMES_BYTES_MAX: i32 = 1024;
const NEGOTIATIONS_MAX: i32 = 2;

const QUERY: i32 = 81;
const PARSE: i32 = 80;
const BIND: i32 = 66;
const EXECUTE: i32 = 69;
const CLOSE: i32 = 67;
const SYNC: i32 = 83;
const CALL: i32 = 70;
const TERMINATE: i32 = 88;
/** Bind, Close, CopyData, CopyDone, CopyFail, Describe, Flush, password. */
const OTHERS: string = "BCDHcdfpS";
const PORTAL: i32 = 80;

export class RequestSide {
  private readonly memory: Memory;
  private readonly answers: Answers;
  private readonly frames: LengthPrefix = new LengthPrefix(1, 4, true, 1, FRAME_BYTES_MAX);
  private readonly startup: Startup;
  private readonly items: Items;
  private readonly reader: StatementReader;
  private readonly subjects: Subjects;
  private readonly phases: Phases;
  private readonly scratch: i32;

  constructor(memory: Memory, answers: Answers) {
    this.memory = memory;
    this.answers = answers;
    this.startup = new Startup(memory);
    const words = new Words(memory);
    const items = new Items(memory, words);
    this.items = items;
    this.reader = new StatementReader(memory, words, items);
    this.subjects = new Subjects(memory);
    this.phases = new Phases(memory);
    this.scratch = memory.allocate(NAMES_BYTES_MAX);
  }

  onBytes(c: PostgresConnection, call: Call): void {
    if (c.phase === PHASE_ENCRYPTED) {
      call.output.passRest();
      return;
    }
    let at = call.start;
    if (at < call.end && c.policyChanged()) {
      this.subject(c);
      if (!c.prepared.allowed(this.memory, c.stages, this.subjects, this.items)) {
        call.output.close(CLOSE_DENIED);
        return;
      }
    }
    while (at < call.end && !call.full()) {
      const frame = c.phase === PHASE_OPEN ? this.message(c, call, at) : this.first(c, call, at);
      if (frame <= 0) return;
      at += frame;
    }
  }

  /** A packet before there are messages; its bytes, or 0 when that is the end of this call. */
  private first(c: PostgresConnection, call: Call, at: i32): i32 {
    // A client that goes on before the server has answered may mean either protocol.
    if (c.phase !== PHASE_START || c.negotiating) return this.malformed(call);
    if (!this.there(call, at, STARTUP_HEADER_BYTES)) return 0;
    const packet = this.startup.header(at);
    if (packet === PACKET_UNKNOWN) return this.malformed(call);
    const length = this.startup.length;
    if (!this.there(call, at, length)) return 0;
    if (packet === PACKET_ENCRYPT) {
      if (c.negotiations === NEGOTIATIONS_MAX) return this.malformed(call);
      c.negotiations++;
      if (c.stages.length === 0) {
        c.negotiating = true;
        call.output.pass(length as f64);
      } else {
        call.output.drop(length as f64);
        call.output.inject(RESPONSE, this.answers.no.address, 1);
      }
      return length;
    }
    this.items.reset();
    if (packet === PACKET_CANCEL) return this.cancel(c, call, length);
    return this.login(c, call, at, length);
  }

  private cancel(c: PostgresConnection, call: Call, length: i32): i32 {
    this.items.add(CANCEL, this.scratch, 0);
    this.subject(c);
    const stage = this.items.denyingStage(c.stages, this.subjects);
    this.report(c, call, stage);
    c.phase = PHASE_DONE;
    if (stage < 0) call.output.pass(length as f64);
    else call.output.close(CLOSE_DENIED);
    return stage < 0 ? length : 0;
  }

  private login(c: PostgresConnection, call: Call, at: i32, length: i32): i32 {
    const startup = this.startup;
    if (!startup.parameters(at)) return this.malformed(call);
    c.userLength = startup.userLength;
    this.memory.copy(c.user, startup.user, c.userLength);
    c.databaseLength = startup.databaseLength;
    this.memory.copy(c.database, startup.database, c.databaseLength);
    this.items.add(CONNECT, this.scratch, 0);
    this.subject(c);
    this.phases.set(this.subjects, true);
    let stage = denyingStage(c.stages, this.subjects);
    let answer = this.answers.loginDenied;
    if (stage < 0 && startup.replication && c.stages.length > 0) {
      stage = 0;
      answer = this.answers.replicationDenied;
    }
    const exchange = this.report(c, call, stage);
    if (stage < 0) {
      c.phase = PHASE_OPEN;
      c.replies.push(exchange, WAIT_QUERY);
      call.output.pass(length as f64);
      return length;
    }
    c.phase = PHASE_DONE;
    call.output.drop(length as f64);
    call.output.inject(RESPONSE, answer.address, answer.length);
    call.output.close(CLOSE_DENIED);
    return 0;
  }

  /** One message; its bytes, or 0 when that is the end of this call. */
  private message(c: PostgresConnection, call: Call, at: i32): i32 {
    if (!this.there(call, at, HEADER_BYTES)) return 0;
    const frame = this.frames.frameBytes(this.memory, at);
    const type = this.memory.u8(at);
    if (frame === FRAME_INVALID || c.replies.full()) return this.malformed(call);
    if (type === SYNC || type === TERMINATE) {
      if (type === SYNC && !c.skipping) c.replies.push(0, WAIT_SYNC);
      c.skipping = false;
      c.inBatch = false;
      call.output.pass(frame as f64);
      return frame;
    }
    if (c.skipping) {
      call.output.drop(frame as f64);
      return frame;
    }
    if (type === QUERY || type === PARSE || type === CALL) {
      return this.judged(c, call, at, frame, type);
    }
    if (type === EXECUTE || OTHERS.indexOf(String.fromCharCode(type)) >= 0) {
      const named = type === BIND || type === EXECUTE || type === CLOSE;
      const read = frame < NAMES_BYTES_MAX ? frame : NAMES_BYTES_MAX;
      if (named && !this.there(call, at, read)) return 0;
      if (named) this.named(c, call, type, at + HEADER_BYTES, at + read);
      call.output.pass(frame as f64);
      return frame;
    }
    return this.malformed(call);
  }

  /** A message with a statement, or a call of a function by its number. */
  private judged(c: PostgresConnection, call: Call, at: i32, frame: i32, type: i32): i32 {
    this.items.reset();
    let name = "";
    if (type === CALL) this.items.addUnknown(FUNCTION);
    else if (frame > STATEMENT_BYTES_MAX) this.items.unreadable = true;
    else {
      if (!this.there(call, at, frame)) return 0;
      const fields = new Reader(this.memory, at + HEADER_BYTES, at + frame);
      if (type === PARSE) {
        const start = fields.until(0);
        if (fields.ok) name = this.memory.text(start, fields.length);
      }
      const text = fields.until(0);
      if (!fields.ok || (type === QUERY && fields.left() > 0)) return this.malformed(call);
      this.reader.read(text, fields.length);
    }
    const parse = type === PARSE;
    this.subject(c);
    const stage = this.items.denyingStage(c.stages, this.subjects);
    if (stage >= 0) return this.deny(c, call, frame, stage, parse);
    if (parse) {
      c.inBatch = true;
      this.items.describe();
      c.prepared.name(c.prepared.statements, name, this.shown());
    } else c.replies.push(this.report(c, call, -1), WAIT_QUERY);
    if (parse || this.reader.keeps || this.items.unreadable) c.prepared.keep(this.items);
    call.output.pass(frame as f64);
    return frame;
  }

  private deny(c: PostgresConnection, call: Call, frame: i32, stage: i32, extended: bool): i32 {
    c.replies.push(this.report(c, call, stage), WAIT_DENIED);
    c.skipping = extended;
    c.inBatch = extended;
    const failing = this.answers.failing(extended, this.items.unreadable);
    call.output.inject(REQUEST, failing.address, failing.length);
    call.output.drop(frame as f64);
    return frame;
  }

  /** Messages that name statements and portals, for reports. Names may be cut off: then nothing. */
  private named(c: PostgresConnection, call: Call, type: i32, at: i32, end: i32): void {
    const fields = new Reader(this.memory, at, end);
    const prepared = c.prepared;
    c.inBatch = true;
    const portals = type !== CLOSE || fields.u8() === PORTAL;
    const start = fields.until(0);
    const name = fields.ok ? this.memory.text(start, fields.length) : "";
    if (type === EXECUTE) {
      const shown = prepared.portals.has(name) ? (prepared.portals.get(name) as string) : "";
      c.replies.push(this.reportShown(c, call, shown), WAIT_EXECUTE);
    } else if (type === CLOSE) {
      if (portals) prepared.portals.delete(name);
      else prepared.statements.delete(name);
    } else {
      const from = fields.until(0);
      const statement = fields.ok ? this.memory.text(from, fields.length) : "";
      const known = prepared.statements.has(statement);
      const shown = known ? (prepared.statements.get(statement) as string) : "";
      prepared.name(prepared.portals, name, shown);
    }
  }

  /** The kinds and tables of the items as one text, a line each. */
  private shown(): string {
    const items = this.items;
    const kinds = this.memory.text(items.shownKinds, items.shownKindsBytes);
    return `${kinds}\n${this.memory.text(items.shownTables, items.shownTablesBytes)}`;
  }

  private subject(c: PostgresConnection): void {
    this.phases.set(this.subjects, false);
    this.subjects.set(RULE_USER, c.userLength > 0 ? c.user : 0, c.userLength);
    this.subjects.set(RULE_DATABASE, c.databaseLength > 0 ? c.database : 0, c.databaseLength);
  }

  /** Reports the items with their verdict (`stage` -1: forwarded); the number of the exchange. */
  private report(c: PostgresConnection, call: Call, stage: i32): i32 {
    const items = this.items;
    items.describe();
    this.field(call, REQUEST_STATEMENT, items.shownKinds, items.shownKindsBytes);
    this.field(call, REQUEST_TABLE, items.shownTables, items.shownTablesBytes);
    return this.emit(c, call, stage);
  }

  private reportShown(c: PostgresConnection, call: Call, shown: string): i32 {
    const length = this.memory.textBytes(shown);
    this.memory.setText(this.scratch, shown);
    const end = this.scratch + length;
    const line = this.memory.find(this.scratch, end, 10);
    this.field(call, REQUEST_STATEMENT, this.scratch, line - this.scratch);
    this.field(call, REQUEST_TABLE, line + 1, end - line - 1);
    return this.emit(c, call, -1);
  }

  private emit(c: PostgresConnection, call: Call, stage: i32): i32 {
    this.field(call, REQUEST_USER, c.user, c.userLength);
    this.field(call, REQUEST_DATABASE, c.database, c.databaseLength);
    const exchange = c.nextExchange++;
    if (stage < 0) call.record.emit(RECORD_REQUEST, FORWARDED, 0, exchange);
    else call.record.emit(RECORD_REQUEST, DENIED, stage, exchange);
    return exchange;
  }

  private field(call: Call, key: i32, at: i32, length: i32): void {
    if (length > 0) call.record.bytes(key, at, length);
  }

  private there(call: Call, at: i32, bytes: i32): bool {
    if (call.end - at >= bytes) return true;
    if (call.after === END_OPEN) call.output.more((bytes - (call.end - at)) as f64);
    else call.output.close(CLOSE_MALFORMED);
    return false;
  }

  private malformed(call: Call): i32 {
    call.output.close(CLOSE_MALFORMED);
    return 0;
  }
}
