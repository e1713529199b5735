/**
 * Makes the block of bytes that rule-table.ts evaluates, from the rules of one policy. Equal
 * patterns become one; regular expressions that are a plain text become a comparison.
 */
import { automatonValid } from "./automaton.ts";
import type { Memory } from "./memory.ts";
import { PATTERN_AUTOMATON, PATTERN_HANDLE, type RuleList } from "./rule-list.ts";
import { patternShape, SHAPE_EQUAL, SHAPE_PREFIX } from "./rule-pattern.ts";
import {
  KIND_AUTOMATON,
  KIND_EQUAL,
  KIND_HANDLE,
  KIND_NAMED_EQUAL,
  KIND_NAMED_PRESENT,
  KIND_PREFIX,
  KIND_PRESENT,
  SUBJECTS_MAX,
  TABLE_HEADER_BYTES,
  TABLE_MAGIC,
  TABLE_PATTERN_BYTES,
} from "./rule-table.ts";

/** One pattern before it has its place in the block. */
class Pattern {
  readonly kind: i32;
  readonly subject: i32;
  /** Text a, or the address and length of an automaton, or a handle. */
  a: string = "";
  b: string = "";
  address: i32 = 0;
  length: i32 = 0;

  constructor(kind: i32, subject: i32) {
    this.kind = kind;
    this.subject = subject;
  }
}

export class RuleTableWriter {
  private readonly memory: Memory;
  private readonly firsts: i32[] = [];
  private readonly conditions: i32[] = [];
  private readonly patterns: Pattern[] = [];
  private readonly known: Map<string, i32> = new Map();

  constructor(memory: Memory) {
    this.memory = memory;
  }

  /** Starts the next rule; the conditions that follow are its own. */
  rule(): void {
    this.firsts.push(this.conditions.length);
  }

  /** Condition: the subject must be there. */
  present(subject: i32): void {
    this.add(new Pattern(KIND_PRESENT, subject), "");
  }

  /** Condition: the subject must equal a text. */
  equal(subject: i32, text: string): void {
    const pattern = new Pattern(KIND_EQUAL, subject);
    pattern.a = text;
    this.add(pattern, text);
  }

  /** Condition: something named `name` must be there (see Subjects.named). */
  namedPresent(name: string): void {
    const pattern = new Pattern(KIND_NAMED_PRESENT, 0);
    pattern.a = name;
    this.add(pattern, name);
  }

  /** Condition: something named `name` must have this value. */
  namedEqual(name: string, value: string): void {
    const pattern = new Pattern(KIND_NAMED_EQUAL, 0);
    pattern.a = name;
    pattern.b = value;
    this.add(pattern, `${name}\n${value}`);
  }

  /**
   * Condition: the subject must match the pattern of a rule field, wholly. False when the host gave
   * none that can be run. The subject must be printable ASCII.
   */
  matches(subject: i32, rules: RuleList, rule: i32, field: i32): bool {
    const source = rules.value(rule, field);
    const kind = rules.pattern(rule, field);
    if (kind !== PATTERN_AUTOMATON && kind !== PATTERN_HANDLE) return false;
    const shape = patternShape(source);
    if (shape.shape === SHAPE_EQUAL || shape.shape === SHAPE_PREFIX) {
      const plain = new Pattern(shape.shape === SHAPE_EQUAL ? KIND_EQUAL : KIND_PREFIX, subject);
      plain.a = shape.text;
      this.add(plain, shape.text);
      return true;
    }
    if (kind === PATTERN_HANDLE) {
      const asked = new Pattern(KIND_HANDLE, subject);
      asked.address = rules.handle(rule, field);
      this.add(asked, source);
      return true;
    }
    const pattern = new Pattern(KIND_AUTOMATON, subject);
    pattern.address = rules.automatonAddress(rule, field);
    pattern.length = rules.automatonLength(rule, field);
    if (!automatonValid(this.memory, pattern.address, pattern.length)) return false;
    this.add(pattern, source);
    return true;
  }

  /** Answers `compile` with the block. */
  finish(rules: RuleList): void {
    const memory = this.memory;
    const starts = TABLE_HEADER_BYTES;
    const conditions = starts + (this.firsts.length + 1) * 4;
    const patterns = conditions + this.conditions.length * 4;
    const texts = patterns + this.patterns.length * TABLE_PATTERN_BYTES;
    const length = texts + this.textBytes();
    const block = memory.allocate(length);
    memory.fill(block, 0, length);
    memory.setI32(block, TABLE_MAGIC);
    memory.setI32(block + 4, length);
    memory.setI32(block + 8, this.firsts.length);
    memory.setI32(block + 12, this.patterns.length);
    memory.setI32(block + 16, conditions);
    memory.setI32(block + 20, patterns);
    for (let i = 0; i < this.firsts.length; i++) {
      memory.setI32(block + starts + i * 4, this.firsts[i] as i32);
    }
    memory.setI32(block + conditions - 4, this.conditions.length);
    for (let i = 0; i < this.conditions.length; i++) {
      memory.setI32(block + conditions + i * 4, this.conditions[i] as i32);
    }
    let at = texts;
    for (let i = 0; i < this.patterns.length; i++) {
      const pattern = this.patterns[i] as Pattern;
      at = this.store(pattern, block, patterns + i * TABLE_PATTERN_BYTES, at);
    }
    rules.succeed(block, length);
  }

  private add(pattern: Pattern, text: string): void {
    const key = String.fromCharCode(pattern.kind * SUBJECTS_MAX + pattern.subject) + text;
    let index = this.patterns.length;
    if (this.known.has(key)) {
      index = this.known.get(key) as i32;
    } else {
      this.known.set(key, index);
      this.patterns.push(pattern);
    }
    this.conditions.push(index);
  }

  private textBytes(): i32 {
    let bytes = 0;
    for (let i = 0; i < this.patterns.length; i++) {
      const pattern = this.patterns[i] as Pattern;
      bytes +=
        aligned(this.memory.textBytes(pattern.a)) + aligned(this.memory.textBytes(pattern.b));
      bytes += aligned(pattern.length);
    }
    return bytes;
  }

  /** Writes a pattern and its bytes, which begin at offset `at`; gives the offset behind them. */
  private store(pattern: Pattern, block: i32, offset: i32, at: i32): i32 {
    const memory = this.memory;
    memory.setU8(block + offset, pattern.kind);
    memory.setU8(block + offset + 1, pattern.subject);
    if (pattern.kind === KIND_HANDLE) {
      memory.setI32(block + offset + 4, pattern.address);
      return at;
    }
    if (pattern.kind === KIND_AUTOMATON) {
      memory.copy(block + at, pattern.address, pattern.length);
      memory.setI32(block + offset + 4, at);
      memory.setI32(block + offset + 8, pattern.length);
      return at + aligned(pattern.length);
    }
    const a = memory.textBytes(pattern.a);
    memory.setText(block + at, pattern.a);
    memory.setI32(block + offset + 4, at);
    memory.setI32(block + offset + 8, a);
    const next = at + aligned(a);
    const b = memory.textBytes(pattern.b);
    memory.setText(block + next, pattern.b);
    memory.setI32(block + offset + 12, next);
    memory.setI32(block + offset + 16, b);
    return next + aligned(b);
  }
}

function aligned(length: i32): i32 {
  return (length + 7) & -8;
}
