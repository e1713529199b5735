/**
 * What a plugin answers to bytes: the operation list of `on-data`, written straight into the
 * canonical ABI's layout, in one buffer that every call uses again.
 *
 *     list<operation>: ptr u32, len u32                          8 bytes
 *     operation: u8 case @0, payload @8                         24 bytes, align 8
 *       more, pass, drop: u64 @8    close: u8 reason @8
 *       inject: u8 direction @8, ptr u32 @12, len u32 @16
 */
import type { Memory } from "./memory.ts";

/** Direction of bytes: from the side that opened the connection. */
export const REQUEST: i32 = 0;
/** Direction of bytes: to the side that opened the connection. */
export const RESPONSE: i32 = 1;

/** What comes after the bytes of a call (`end` of the contract). */
export const END_OPEN: i32 = 0;
export const END_CLOSED: i32 = 1;
export const END_FAILED: i32 = 2;

/** Why a connection closes (`close-reason` of the contract). */
export const CLOSE_FINISHED: i32 = 0;
export const CLOSE_DENIED: i32 = 1;
export const CLOSE_MALFORMED: i32 = 2;

/** Operations of one call at most (the contract's limit). */
export const OPERATIONS_MAX: i32 = 64;
/** `full()` leaves this many for whoever is in the middle of a message. */
const OPERATIONS_RESERVED: i32 = 12;

const OPERATION_BYTES: i32 = 24;
const LIST_BYTES: i32 = 8;

const MORE: i32 = 0;
const PASS: i32 = 1;
const DROP: i32 = 2;
const PASS_REST: i32 = 3;
const INJECT: i32 = 4;
const CLOSE: i32 = 5;

export class Output {
  private readonly memory: Memory;
  private readonly list: i32;
  private count: i32 = 0;
  /** Kind of the last operation, -1 for none, and the length of a pass or drop. */
  private last: i32 = -1;
  private lastLength: f64 = 0;

  constructor(memory: Memory) {
    this.memory = memory;
    this.list = memory.allocate(LIST_BYTES + OPERATION_BYTES * OPERATIONS_MAX);
    memory.setI32(this.list, this.list + LIST_BYTES);
  }

  /** Starts an empty list. */
  reset(): void {
    this.count = 0;
    this.last = -1;
  }

  /** Ends the list and gives its address, as `on-data` returns it. */
  finish(): i32 {
    this.memory.setI32(this.list + 4, this.count);
    return this.list;
  }

  /**
   * Whether a plugin should start no further message in this call. Return then without `more`: the
   * host applies the list and calls again with what is left.
   */
  full(): bool {
    return this.count > OPERATIONS_MAX - OPERATIONS_RESERVED;
  }

  /** Whether nothing may follow: `more`, `passRest` or `close` is there. */
  ended(): bool {
    return this.last === MORE || this.last === PASS_REST || this.last === CLOSE;
  }

  /** Whether the list has no operation yet. */
  empty(): bool {
    return this.count === 0;
  }

  /** Call again when `length` (1 or more) bytes more than now are there. Ends the list. */
  more(length: f64): void {
    const at = this.append(MORE);
    this.memory.setU64(at + 8, length);
  }

  /** Forwards `length` bytes; may reach beyond the input. Zero does nothing. */
  pass(length: f64): void {
    this.move(PASS, length);
  }

  /** Discards `length` bytes; may reach beyond the input. Zero does nothing. */
  drop(length: f64): void {
    this.move(DROP, length);
  }

  /** Forwards everything in this direction from here on, unseen. Ends the list. */
  passRest(): void {
    this.append(PASS_REST);
  }

  /**
   * Inserts bytes: in the direction of the call between passed and unconsumed bytes, in the other
   * behind everything forwarded there. The bytes must stay as they are until the next call.
   */
  inject(direction: i32, bytes: i32, length: i32): void {
    const at = this.append(INJECT);
    this.memory.setU8(at + 8, direction);
    this.memory.setI32(at + 12, bytes);
    this.memory.setI32(at + 16, length);
  }

  /** Closes both sides once everything forwarded and injected is written. Ends the list. */
  close(reason: i32): void {
    const at = this.append(CLOSE);
    this.memory.setU8(at + 8, reason);
  }

  private move(kind: i32, length: f64): void {
    if (length === 0) return;
    if (this.last === kind) {
      this.lastLength += length;
      this.memory.setU64(
        this.list + LIST_BYTES + (this.count - 1) * OPERATION_BYTES + 8,
        this.lastLength,
      );
      return;
    }
    const at = this.append(kind);
    this.lastLength = length;
    this.memory.setU64(at + 8, length);
  }

  private append(kind: i32): i32 {
    if (this.ended()) throw new Error("Cannot add an operation: the list has ended");
    if (this.count === OPERATIONS_MAX) throw new Error("Cannot add an operation: the list is full");
    const at = this.list + LIST_BYTES + this.count * OPERATION_BYTES;
    this.memory.setU8(at, kind);
    this.count++;
    this.last = kind;
    return at;
  }
}
