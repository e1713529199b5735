import type { Host } from "../../runtime/sdk/host.ts";
import type { Memory } from "../../runtime/sdk/memory.ts";
import type { Output } from "../../runtime/sdk/output.ts";
import { Connection, type Facts, type Input, Plugin, RuleSet } from "../../runtime/sdk/plugin.ts";
import {
  FORWARDED,
  RECORD_REQUEST,
  RECORD_RESPONSE,
  type RecordWriter,
} from "../../runtime/sdk/record.ts";
import type { RuleList } from "../../runtime/sdk/rule-list.ts";

class HttpPlugin extends Plugin {
  private readonly memory: Memory;
  constructor(memory: Memory) {
    super();
    this.memory = memory;
  }
  override compile(rules: RuleList): void {
    if (rules.count > 0 && rules.fieldCount(0) > 0 && rules.key(0, 0) === "bad") {
      rules.refuse(0, "bad", `not ${rules.value(0, 0)}`);
      return;
    }
    const block = this.memory.allocate(8);
    this.memory.setI32(block, 7);
    this.memory.setI32(block + 4, rules.count);
    rules.succeed(block, 8);
  }
  override load(compiled: i32, length: i32): RuleSet | null {
    if (length !== 8 || this.memory.i32(compiled) !== 7) return null;
    return new RuleSet();
  }
  override open(_facts: Facts): Connection {
    return new Connection();
  }
  override onRequest(
    _connection: Connection,
    input: Input,
    output: Output,
    record: RecordWriter,
  ): void {
    this.passLine(input, output, record, RECORD_REQUEST);
  }
  override onResponse(
    _connection: Connection,
    input: Input,
    output: Output,
    record: RecordWriter,
  ): void {
    this.passLine(input, output, record, RECORD_RESPONSE);
  }
  private passLine(input: Input, output: Output, record: RecordWriter, kind: i32): void {
    const end = this.memory.find(input.start, input.end, 10);
    if (end === input.end) {
      output.more(1);
      return;
    }
    record.span(0, 0, end - input.start);
    record.number(1, (input.end - input.start) as f64);
    record.emit(kind, FORWARDED, 0, 0);
    output.pass((input.end - input.start) as f64);
  }
}

/** The plugin of this folder. */
export function createPlugin(memory: Memory, _host: Host): Plugin {
  return new HttpPlugin(memory);
}
