/**
 * The record of one message: its fields by key, written straight into the canonical ABI's layout
 * and handed to the host by `emit`. One writer serves every record of an instance.
 *
 *     field: u16 key @0, u8 case @8, payload @16                24 bytes, align 8
 *       span: u32 offset @16, u32 length @20    number: u64 @16    bytes: ptr @16, len @20
 */
import type { Host } from "./host.ts";
import type { Memory } from "./memory.ts";

/** Kind of a record. */
export const RECORD_REQUEST: i32 = 0;
export const RECORD_RESPONSE: i32 = 1;

/** What became of the message. */
export const FORWARDED: i32 = 0;
export const DENIED: i32 = 1;
export const ERROR: i32 = 2;

/** Fields of one record at most. */
export const RECORD_FIELDS_MAX: i32 = 64;
/** Records of one call at most (the contract's limit). */
export const RECORDS_MAX: i32 = 64;
/** Records after which a call is full, unless it is to be shorter. */
export const RECORDS_FULL: i32 = RECORDS_MAX - 4;

const FIELD_BYTES: i32 = 24;
const SPAN: i32 = 0;
const NUMBER: i32 = 1;
const BYTES: i32 = 2;

export class RecordWriter {
  private readonly memory: Memory;
  private readonly host: Host;
  private readonly fields: i32;
  private readonly recordsFull: i32;
  private count: i32 = 0;
  private emitted: i32 = 0;
  private connection: i32 = 0;

  /** `recordsFull`: records after which `full()`, at most RECORDS_FULL. */
  constructor(memory: Memory, host: Host, recordsFull: i32) {
    this.memory = memory;
    this.host = host;
    this.recordsFull = recordsFull;
    this.fields = memory.allocate(FIELD_BYTES * RECORD_FIELDS_MAX);
    memory.fill(this.fields, 0, FIELD_BYTES * RECORD_FIELDS_MAX);
  }

  /** A call for this connection begins. */
  reset(connection: i32): void {
    this.connection = connection;
    this.emitted = 0;
    this.count = 0;
  }

  /** Whether a plugin should report no further message in this call (see `Output.full`). */
  full(): bool {
    return this.emitted >= this.recordsFull;
  }

  /** Bytes of the current input, by offset from its start: the cheapest value. */
  span(key: i32, offset: i32, length: i32): void {
    const at = this.append(key, SPAN);
    this.memory.setI32(at + 16, offset);
    this.memory.setI32(at + 20, length);
  }

  /** An integer, 0..2^53. */
  number(key: i32, value: f64): void {
    const at = this.append(key, NUMBER);
    this.memory.setU64(at + 16, value);
  }

  /** Bytes that stand elsewhere in the plugin's memory. */
  bytes(key: i32, address: i32, length: i32): void {
    const at = this.append(key, BYTES);
    this.memory.setI32(at + 16, address);
    this.memory.setI32(at + 20, length);
  }

  /**
   * Hands the record with the fields written since the last one to the host. `stage` is the index
   * of the stage that denied, else 0; `exchange` the number of the request.
   */
  emit(kind: i32, verdict: i32, stage: i32, exchange: i32): void {
    this.host.emit(this.connection, kind, verdict, stage, exchange, this.fields, this.count);
    this.count = 0;
    this.emitted++;
  }

  private append(key: i32, kind: i32): i32 {
    if (this.count === RECORD_FIELDS_MAX) throw new Error("Cannot add a field: the record is full");
    const at = this.fields + this.count * FIELD_BYTES;
    this.memory.setU16(at, key);
    this.memory.setU8(at + 8, kind);
    this.count++;
    return at;
  }
}
