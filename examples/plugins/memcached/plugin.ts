/**
 * memcached's text protocol, in full TypeScript: a client sends commands, some with a data block,
 * the server answers them in order. A command that the policy denies never reaches the server; the
 * client gets an error in its turn. What the parts of the protocol look like stands in commands.ts
 * and replies.ts; here is what becomes of bytes.
 */
import { Delimiter, FRAME_PARTIAL } from "imker/sdk/delimiter.ts";
import type { Host } from "imker/sdk/host.ts";
import type { Memory } from "imker/sdk/memory.ts";
import { CLOSE_MALFORMED, END_OPEN, RESPONSE } from "imker/sdk/output.ts";
import { type Call, Connection, Plugin, type RuleSet } from "imker/sdk/plugin.ts";
import { DENIED, FORWARDED, RECORD_REQUEST, RECORD_RESPONSE } from "imker/sdk/record.ts";
import { compileRuleFields, denyingStage } from "imker/sdk/rule-fields.ts";
import type { RuleList } from "imker/sdk/rule-list.ts";
import { loadRuleTable, Subjects } from "imker/sdk/rule-table.ts";
import { TextBlock } from "imker/sdk/text-block.ts";
import { type Answer, type Command, type Key, QUIT, readCommand } from "./commands.ts";
import {
  REQUEST_BYTES,
  REQUEST_COMMAND,
  REQUEST_KEY,
  REQUEST_KEYS,
  RESPONSE_ITEMS,
  RESPONSE_STATUS,
  RULE_COMMAND,
  RULE_KEY,
  RULE_KEYS,
} from "./keys.ts";
import { readReply } from "./replies.ts";

const LINE_BYTES_MAX = 2048;
const LINE_END_BYTES = 2;
/** Commands a client may send ahead of their answers. */
const UNANSWERED_MAX = 256;
const DENIED_TEXT = "CLIENT_ERROR denied by network policy\r\n";

/** A command without its answer: the server's, or `denied`, which is ours. */
interface Pending {
  exchange: number;
  answer: Answer | "denied";
}

class CacheConnection extends Connection {
  pending: Pending[] = [];
  nextExchange = 0;
  /** Items of the answer that is going on. */
  items = 0;
}

interface Line {
  text: string;
  /** Address of its first byte. */
  at: number;
  /** Bytes with the CR LF. */
  bytes: number;
}

class MemcachedPlugin extends Plugin {
  readonly #memory: Memory;
  readonly #host: Host;
  readonly #lines: Delimiter;
  readonly #subjects: Subjects;
  readonly #denied: TextBlock;

  constructor(memory: Memory, host: Host) {
    super();
    this.#memory = memory;
    this.#host = host;
    this.#lines = new Delimiter(memory, "\r\n", LINE_BYTES_MAX);
    this.#subjects = new Subjects(memory);
    this.#denied = new TextBlock(memory, DENIED_TEXT.repeat(UNANSWERED_MAX));
  }

  override compile(rules: RuleList): void {
    compileRuleFields(this.#memory, rules, RULE_KEYS);
  }

  override load(compiled: number, length: number): RuleSet | null {
    return loadRuleTable(this.#memory, this.#host, compiled, length);
  }

  override open(): Connection {
    return new CacheConnection();
  }

  override onRequest(connection: CacheConnection, call: Call): void {
    this.#eachLine(call, (line) => {
      const command = readCommand(line.text);
      const waiting = connection.pending.length;
      if (command === undefined || waiting >= UNANSWERED_MAX) return "malformed";
      return this.#request(connection, call, line, command);
    });
  }

  override onResponse(connection: CacheConnection, call: Call): void {
    this.#eachLine(call, (line) => {
      const [oldest] = connection.pending;
      // Nobody asked: this server does not speak the protocol.
      if (oldest === undefined || oldest.answer === "denied") return "malformed";
      const step = readReply(oldest.answer, line.text);
      if (step.kind === "malformed") return "malformed";
      if (step.kind === "item") {
        connection.items++;
        call.output.pass(line.bytes + step.dataBytes + LINE_END_BYTES);
        return line.bytes + step.dataBytes + LINE_END_BYTES;
      }
      call.output.pass(line.bytes);
      if (step.kind === "part") return line.bytes;
      call.record.span(RESPONSE_STATUS, line.at - call.start, step.status.length);
      if (oldest.answer === "items") call.record.number(RESPONSE_ITEMS, connection.items);
      call.record.emit(RECORD_RESPONSE, FORWARDED, 0, oldest.exchange);
      connection.items = 0;
      connection.pending.shift();
      this.#answer(connection, call);
      return line.bytes;
    });
  }

  /**
   * Gives each whole line to `take`, which answers how many bytes that was (more than there are: it
   * passed or dropped what is still to come) or what is wrong.
   */
  #eachLine(call: Call, take: (line: Line) => number | "malformed"): void {
    let at = call.start;
    while (at < call.end && !call.full()) {
      const bytes = this.#lines.frameBytes(at, call.end);
      if (bytes === FRAME_PARTIAL && call.after === END_OPEN) {
        call.output.more(1);
        return;
      }
      const text = bytes > 0 ? this.#memory.text(at, bytes - LINE_END_BYTES) : "";
      const taken = bytes > 0 ? take({ text, at, bytes }) : "malformed";
      if (taken === "malformed") {
        call.output.close(CLOSE_MALFORMED);
        return;
      }
      at += taken;
    }
  }

  #request(connection: CacheConnection, call: Call, line: Line, command: Command): number {
    const { name, keys, dataBytes } = command;
    const whole = line.bytes + (dataBytes === undefined ? 0 : dataBytes + LINE_END_BYTES);
    const denied = this.#denyingStage(connection, line, command);
    const exchange = connection.nextExchange++;

    call.record.span(REQUEST_COMMAND, line.at - call.start, name.length);
    const key = denied?.key ?? keys[0];
    if (key) call.record.span(REQUEST_KEY, line.at + key.at - call.start, key.text.length);
    if (keys.length > 1) call.record.number(REQUEST_KEYS, keys.length);
    if (dataBytes !== undefined) call.record.number(REQUEST_BYTES, dataBytes);
    call.record.emit(
      RECORD_REQUEST,
      denied === undefined ? FORWARDED : DENIED,
      denied?.stage ?? 0,
      exchange,
    );

    if (denied === undefined) call.output.pass(whole);
    else call.output.drop(whole);
    if (command.answer !== "nothing") {
      const answer = denied === undefined ? command.answer : "denied";
      connection.pending.push({ exchange, answer });
    }
    if (denied !== undefined) this.#answer(connection, call);
    return whole;
  }

  /** The first stage that denies the command, and for which of its keys. */
  #denyingStage(
    connection: CacheConnection,
    line: Line,
    { name, keys }: Command,
  ): { stage: number; key?: Key } | undefined {
    if (name === QUIT) return undefined;
    this.#subjects.set(RULE_COMMAND, line.at, name.length);
    for (const key of keys.length > 0 ? keys : [undefined]) {
      this.#subjects.set(RULE_KEY, key ? line.at + key.at : 0, key?.text.length ?? 0);
      const stage = denyingStage(connection.stages, this.#subjects);
      if (stage >= 0) return key ? { stage, key } : { stage };
    }
    return undefined;
  }

  /** Gives the answers of our own whose turn it is, as one block. */
  #answer({ pending }: CacheConnection, call: Call): void {
    const next = pending.findIndex(({ answer }) => answer !== "denied");
    const count = next < 0 ? pending.length : next;
    if (count === 0) return;
    pending.splice(0, count);
    call.output.inject(RESPONSE, this.#denied.address, count * DENIED_TEXT.length);
  }
}

/** The plugin of this folder. */
export function createPlugin(memory: Memory, host: Host): Plugin {
  return new MemcachedPlugin(memory, host);
}
