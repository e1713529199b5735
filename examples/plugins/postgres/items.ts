/**
 * What one message would do, as a list: a kind of statement and what it does that to. Each entry is
 * what rules are asked about, and all of them must be allowed. Names stand in a block of this
 * object until the next message.
 */
import type { Memory } from "imker/sdk/memory.ts";
import type { Stage } from "imker/sdk/plugin.ts";
import { denyingStage } from "imker/sdk/rule-fields.ts";
import type { Subjects } from "imker/sdk/rule-table.ts";
import { RULE_STATEMENT, RULE_TABLE } from "./keys.ts";
import type { Words } from "./words.ts";

const ITEMS_MAX: i32 = 64;
const NAMES_BYTES_MAX: i32 = 8192;
/** What a record shows of the kinds and of the tables of one message. */
const SHOWN_BYTES_MAX: i32 = 256;

/** The table is not known: no rule that asks for one matches. */
export const TABLE_UNKNOWN: i32 = -1;

export class Items {
  count: i32 = 0;
  /** Not everything could be read: only rules that ask for nothing of it match. */
  unreadable: bool = false;
  /** Address and length of the texts `describe` made. */
  readonly shownKinds: i32;
  shownKindsBytes: i32 = 0;
  readonly shownTables: i32;
  shownTablesBytes: i32 = 0;
  private readonly memory: Memory;
  private readonly words: Words;
  private readonly kinds: i32[] = [];
  /** Offset of the name in `names`, or TABLE_UNKNOWN; and its length. */
  private readonly tables: i32[] = [];
  private readonly lengths: i32[] = [];
  private readonly names: i32;
  private used: i32 = 0;

  constructor(memory: Memory, words: Words) {
    this.memory = memory;
    this.words = words;
    this.names = memory.allocate(NAMES_BYTES_MAX);
    this.shownKinds = memory.allocate(SHOWN_BYTES_MAX);
    this.shownTables = memory.allocate(SHOWN_BYTES_MAX);
    for (let i = 0; i < ITEMS_MAX; i++) {
      this.kinds.push(0);
      this.tables.push(0);
      this.lengths.push(0);
    }
  }

  reset(): void {
    this.count = 0;
    this.used = 0;
    this.unreadable = false;
  }

  /** An entry with the name at `at`; length 0 says that nothing is named. */
  add(kind: i32, at: i32, length: i32): void {
    if (this.used + length > NAMES_BYTES_MAX || this.count === ITEMS_MAX) {
      this.unreadable = true;
      return;
    }
    this.memory.copy(this.names + this.used, at, length);
    this.push(kind, this.used, length);
    this.used += length;
  }

  /** An entry whose table is not known. */
  addUnknown(kind: i32): void {
    if (this.count === ITEMS_MAX) this.unreadable = true;
    else this.push(kind, TABLE_UNKNOWN, 0);
  }

  /** The same table once more, for another kind. */
  addAgain(kind: i32, item: i32): void {
    if (this.count === ITEMS_MAX) this.unreadable = true;
    else this.push(kind, this.tables[item] as i32, this.lengths[item] as i32);
  }

  kind(item: i32): i32 {
    return this.kinds[item] as i32;
  }

  /** Whether the table of an entry is known (or that there is none). */
  known(item: i32): bool {
    return (this.tables[item] as i32) !== TABLE_UNKNOWN;
  }

  /** The name of an entry's table; not when it is unknown. */
  name(item: i32): string {
    const at = this.names + (this.tables[item] as i32);
    return this.memory.text(at, this.lengths[item] as i32);
  }

  /** Index of the first stage that denies any of it, -1 when all allow everything. */
  denyingStage(stages: Stage[], subjects: Subjects): i32 {
    let first = -1;
    for (let i = 0; i < this.count; i++) {
      const text = this.words.kind(this.kinds[i] as i32);
      subjects.set(RULE_STATEMENT, text.address, text.length);
      const table = this.tables[i] as i32;
      if (table === TABLE_UNKNOWN) subjects.set(RULE_TABLE, 0, 0);
      else subjects.set(RULE_TABLE, this.names + table, this.lengths[i] as i32);
      first = earlier(first, denyingStage(stages, subjects));
    }
    if (this.unreadable) {
      subjects.set(RULE_STATEMENT, 0, 0);
      subjects.set(RULE_TABLE, 0, 0);
      first = earlier(first, denyingStage(stages, subjects));
    }
    return first;
  }

  /** Makes the texts for records: each kind and each table once where it repeats the last one. */
  describe(): void {
    this.shownKindsBytes = 0;
    this.shownTablesBytes = 0;
    let kind = -1;
    for (let i = 0; i < this.count; i++) {
      if (kind !== (this.kinds[i] as i32)) {
        kind = this.kinds[i] as i32;
        const text = this.words.kind(kind);
        const length = this.shownKindsBytes;
        this.shownKindsBytes = this.show(this.shownKinds, length, text.address, text.length);
      }
      const bytes = this.lengths[i] as i32;
      if (bytes === 0) continue;
      const at = this.names + (this.tables[i] as i32);
      this.shownTablesBytes = this.show(this.shownTables, this.shownTablesBytes, at, bytes);
    }
    if (!this.unreadable) return;
    const text = this.words.kind(0);
    const length = this.shownKindsBytes;
    this.shownKindsBytes = this.show(this.shownKinds, length, text.address, text.length);
  }

  private push(kind: i32, table: i32, length: i32): void {
    this.kinds[this.count] = kind;
    this.tables[this.count] = table;
    this.lengths[this.count] = length;
    this.count++;
  }

  private show(block: i32, used: i32, at: i32, length: i32): i32 {
    if (used + 1 + length > SHOWN_BYTES_MAX) return used;
    if (used > 0) this.memory.setU8(block + used, 32);
    const start = used > 0 ? used + 1 : 0;
    this.memory.copy(block + start, at, length);
    return start + length;
  }
}

function earlier(a: i32, b: i32): i32 {
  if (a < 0) return b;
  return b < 0 || a < b ? a : b;
}
