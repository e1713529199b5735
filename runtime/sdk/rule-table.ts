/**
 * Compiled rules as one block of bytes that is evaluated where it stands: loading is a copy. Rules
 * are ORed, the conditions of a rule ANDed; a condition names a pattern, and equal patterns are
 * stored once and evaluated at most once for each message. rule-table-writer.ts makes the block.
 *
 *     header, 32 bytes: "IRTB", u32 bytes of the block, u32 rules, u32 patterns,
 *       u32 offset of conditions, u32 offset of patterns, 8 bytes zero
 *     u32[rules + 1] first condition of each rule    u32[] pattern of each condition
 *     pattern, 24 bytes: u8 kind, u8 subject, u16 0, u32 a, u32 length of a, u32 b,
 *       u32 length of b, u32 memo: the last message's number × 2 + result
 */
import { automatonMatches } from "./automaton.ts";
import type { Host } from "./host.ts";
import type { Memory } from "./memory.ts";
import { RuleSet } from "./plugin.ts";

/** The subject is there, whatever it is. */
export const KIND_PRESENT: i32 = 0;
/** The subject equals the bytes at a. */
export const KIND_EQUAL: i32 = 1;
/** The subject begins with the bytes at a. */
export const KIND_PREFIX: i32 = 2;
/** The automaton at a accepts the subject. */
export const KIND_AUTOMATON: i32 = 3;
/** The host matches the subject against handle a. */
export const KIND_HANDLE: i32 = 4;
/** Something named a is there (a header). */
export const KIND_NAMED_PRESENT: i32 = 5;
/** Something named a equals the bytes at b. */
export const KIND_NAMED_EQUAL: i32 = 6;

/** Subjects of one plugin at most. */
export const SUBJECTS_MAX: i32 = 16;

export const TABLE_MAGIC: i32 = 0x42545249;
export const TABLE_HEADER_BYTES: i32 = 32;
export const TABLE_PATTERN_BYTES: i32 = 24;

/** Memos are forgotten when their number would not fit any more. */
const MESSAGES_MAX: i32 = 0x3fffffff;

/** What the rules are asked about: the parts of one message, by number. Authors may extend it. */
export class Subjects {
  protected readonly memory: Memory;
  /** Start address (0: not there) and length of each part. */
  private readonly parts: i32;

  constructor(memory: Memory) {
    this.memory = memory;
    this.parts = memory.allocate(SUBJECTS_MAX * 8);
    memory.fill(this.parts, 0, SUBJECTS_MAX * 8);
  }

  /** Sets a part of the message: printable ASCII at `start`; 0 when it is not there. */
  set(subject: i32, start: i32, length: i32): void {
    this.memory.setI32(this.parts + subject * 8, start);
    this.memory.setI32(this.parts + subject * 8 + 4, length);
  }

  /** Start address of a part, 0 when it is not there. */
  start(subject: i32): i32 {
    return this.memory.i32(this.parts + subject * 8);
  }

  /** Bytes of a part. */
  length(subject: i32): i32 {
    return this.memory.i32(this.parts + subject * 8 + 4);
  }

  /**
   * Whether something of this name is there, with exactly this value unless `valueLength` is -1.
   * Asked only for rules that have such conditions.
   */
  named(_name: i32, _nameLength: i32, _value: i32, _valueLength: i32): bool {
    return false;
  }
}

/** Loads a block that RuleTableWriter made; null when it is not one. */
export function loadRuleTable(
  memory: Memory,
  host: Host,
  block: i32,
  length: i32,
): RuleTable | null {
  if (length < TABLE_HEADER_BYTES || memory.i32(block) !== TABLE_MAGIC) return null;
  if (memory.i32(block + 4) !== length) return null;
  const copy = memory.allocate(length);
  memory.copy(copy, block, length);
  return new RuleTable(memory, host, copy);
}

export class RuleTable extends RuleSet {
  private readonly memory: Memory;
  private readonly host: Host;
  private readonly block: i32;
  private readonly rules: i32;
  private readonly conditions: i32;
  private readonly patterns: i32;
  /** Number of the message in the memos; 0 is none. */
  private message: i32 = 0;

  constructor(memory: Memory, host: Host, block: i32) {
    super();
    this.memory = memory;
    this.host = host;
    this.block = block;
    this.rules = memory.i32(block + 8);
    this.conditions = block + memory.i32(block + 16);
    this.patterns = block + memory.i32(block + 20);
  }

  override unload(): void {
    this.memory.release(this.block);
  }

  /** Whether any rule matches. No rules: nothing does. */
  matches(subjects: Subjects): bool {
    const memory = this.memory;
    this.nextMessage();
    const starts = this.block + TABLE_HEADER_BYTES;
    let condition = memory.i32(starts);
    for (let rule = 0; rule < this.rules; rule++) {
      const end = memory.i32(starts + (rule + 1) * 4);
      while (condition < end && this.test(memory.i32(this.conditions + condition * 4), subjects)) {
        condition++;
      }
      if (condition === end) return true;
      condition = end;
    }
    return false;
  }

  private test(index: i32, subjects: Subjects): bool {
    const memory = this.memory;
    const pattern = this.patterns + index * TABLE_PATTERN_BYTES;
    const kind = memory.u8(pattern);
    if (kind <= KIND_PREFIX) {
      const subject = memory.u8(pattern + 1);
      const start = subjects.start(subject);
      const length = memory.i32(pattern + 8);
      if (start === 0) return false;
      if (kind === KIND_EQUAL && subjects.length(subject) !== length) return false;
      if (subjects.length(subject) < length) return false;
      return memory.equal(start, this.block + memory.i32(pattern + 4), length);
    }
    const memo = memory.i32(pattern + 20);
    if (memo >> 1 === this.message) return (memo & 1) === 1;
    const result = this.evaluate(kind, pattern, subjects);
    memory.setI32(pattern + 20, this.message * 2 + (result ? 1 : 0));
    return result;
  }

  private evaluate(kind: i32, pattern: i32, subjects: Subjects): bool {
    const memory = this.memory;
    const a = memory.i32(pattern + 4);
    if (kind === KIND_NAMED_PRESENT || kind === KIND_NAMED_EQUAL) {
      const name = this.block + a;
      const value = this.block + memory.i32(pattern + 12);
      const length = kind === KIND_NAMED_EQUAL ? memory.i32(pattern + 16) : -1;
      return subjects.named(name, memory.i32(pattern + 8), value, length);
    }
    const subject = memory.u8(pattern + 1);
    const start = subjects.start(subject);
    if (start === 0) return false;
    const length = subjects.length(subject);
    if (kind === KIND_HANDLE) return this.host.match(a, start, length);
    return automatonMatches(memory, this.block + a, start, length);
  }

  private nextMessage(): void {
    if (this.message === MESSAGES_MAX) {
      this.message = 0;
      const count = this.memory.i32(this.block + 12);
      for (let i = 0; i < count; i++) {
        this.memory.setI32(this.patterns + i * TABLE_PATTERN_BYTES + 20, 0);
      }
    }
    this.message++;
  }
}
