/**
 * The rules that `compile` is given, read from the canonical ABI's layout, and its answer.
 *
 *     list<rule>: rules of 8 bytes: ptr u32, len u32
 *     rule-field, 28 bytes: key ptr @0 len @4, value ptr @8 len @12,
 *       pattern: u8 case @16 (0 literal, 1 automaton: ptr @20 len @24, 2 handle: u32 @20)
 *     result<list<u8>, rule-error>, 24 bytes: u8 case @0,
 *       ok: ptr @4 len @8;  error: rule u32 @4, key ptr @8 len @12, message ptr @16 len @20
 */
import type { Memory } from "./memory.ts";

/** How the value of a rule field is to be matched. */
export const PATTERN_LITERAL: i32 = 0;
export const PATTERN_AUTOMATON: i32 = 1;
export const PATTERN_HANDLE: i32 = 2;

const RULE_BYTES: i32 = 8;
const FIELD_BYTES: i32 = 28;
const RESULT_BYTES: i32 = 24;

export class RuleList {
  /** Number of rules. */
  readonly count: i32;
  private readonly memory: Memory;
  private readonly rules: i32;
  private readonly result: i32;
  private refused: bool = false;

  constructor(memory: Memory, rules: i32, count: i32, result: i32) {
    this.memory = memory;
    this.rules = rules;
    this.count = count;
    this.result = result;
    memory.fill(result, 0, RESULT_BYTES);
  }

  /** Fields of a rule. */
  fieldCount(rule: i32): i32 {
    return this.memory.i32(this.rules + rule * RULE_BYTES + 4);
  }

  /** Key of a field. */
  key(rule: i32, field: i32): string {
    const at = this.field(rule, field);
    return this.memory.text(this.memory.i32(at), this.memory.i32(at + 4));
  }

  /** Value of a field as the policy gives it; of a pattern, its source. */
  value(rule: i32, field: i32): string {
    return this.memory.text(this.valueAddress(rule, field), this.valueLength(rule, field));
  }

  /** Address of the value's UTF-8 bytes. */
  valueAddress(rule: i32, field: i32): i32 {
    return this.memory.i32(this.field(rule, field) + 8);
  }

  /** Bytes of the value. */
  valueLength(rule: i32, field: i32): i32 {
    return this.memory.i32(this.field(rule, field) + 12);
  }

  /** PATTERN_LITERAL, PATTERN_AUTOMATON or PATTERN_HANDLE. */
  pattern(rule: i32, field: i32): i32 {
    return this.memory.u8(this.field(rule, field) + 16);
  }

  /** Address of the automaton's table. */
  automatonAddress(rule: i32, field: i32): i32 {
    return this.memory.i32(this.field(rule, field) + 20);
  }

  /** Bytes of the automaton's table. */
  automatonLength(rule: i32, field: i32): i32 {
    return this.memory.i32(this.field(rule, field) + 24);
  }

  /** The handle to ask the host with. */
  handle(rule: i32, field: i32): i32 {
    return this.memory.i32(this.field(rule, field) + 20);
  }

  /** Whether `refuse` was called. */
  failed(): bool {
    return this.refused;
  }

  /** The answer: the compiled bytes, in a block from `Memory.allocate` that is now the SDK's. */
  succeed(address: i32, length: i32): void {
    this.memory.setI32(this.result + 4, address);
    this.memory.setI32(this.result + 8, length);
  }

  /** The answer: a rule is wrong. Key "" means the whole rule. The first refusal counts. */
  refuse(rule: i32, key: string, message: string): void {
    if (this.refused) return;
    this.refused = true;
    this.memory.setU8(this.result, 1);
    this.memory.setI32(this.result + 4, rule);
    this.store(this.result + 8, key);
    this.store(this.result + 16, message);
  }

  private field(rule: i32, field: i32): i32 {
    return this.memory.i32(this.rules + rule * RULE_BYTES) + field * FIELD_BYTES;
  }

  private store(at: i32, text: string): void {
    const length = this.memory.textBytes(text);
    const address = this.memory.allocate(length);
    this.memory.setText(address, text);
    this.memory.setI32(at, address);
    this.memory.setI32(at + 4, length);
  }
}
