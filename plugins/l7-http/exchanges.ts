/**
 * The requests of one connection whose response is not complete, in order: what stands at the head
 * of this queue is what the response direction is about. Also the plugin's own answers wait here,
 * behind the responses of earlier requests (RFC 9112, 9.3.2).
 */
import type { Memory } from "../../runtime/sdk/memory.ts";

/** Requests of one connection without a complete response at most; more are refused with 400. */
export const EXCHANGES_MAX: i32 = 1024;

/** What an exchange waits for (the low bits of an entry). */
export const EXCHANGE_FORWARDED: i32 = 0;
export const EXCHANGE_DENIED: i32 = 1;
export const EXCHANGE_MALFORMED: i32 = 2;
/** No answer: the connection ends here. */
export const EXCHANGE_END: i32 = 3;
const KIND_MASK: i32 = 3;

/** What its response depends on. */
export const FLAG_HEAD: i32 = 4;
export const FLAG_CLOSE: i32 = 8;
export const FLAG_CONNECT: i32 = 16;
export const FLAG_UPGRADE: i32 = 32;
export const FLAG_HTTP10: i32 = 64;

const CAPACITY_START: i32 = 16;

export class Exchanges {
  /** Number of the exchange at the head of the queue. */
  first: i32 = 0;
  /** Exchanges in the queue. */
  count: i32 = 0;
  private readonly memory: Memory;
  /** A ring of bytes; its capacity is a power of two. */
  private ring: i32;
  private capacity: i32 = CAPACITY_START;

  constructor(memory: Memory) {
    this.memory = memory;
    this.ring = memory.allocate(CAPACITY_START);
  }

  /** A new connection. */
  reset(): void {
    this.first = 0;
    this.count = 0;
  }

  /** Gives the ring back; the queue is not used any more. */
  release(): void {
    this.memory.release(this.ring);
  }

  /** Whether no further exchange fits. */
  full(): bool {
    return this.count === EXCHANGES_MAX;
  }

  /** Number that the next exchange gets. */
  next(): i32 {
    return this.first + this.count;
  }

  /** Adds an exchange: kind and flags. */
  push(entry: i32): void {
    if (this.count === this.capacity) this.grow();
    this.memory.setU8(this.ring + ((this.first + this.count) & (this.capacity - 1)), entry);
    this.count++;
  }

  /** Kind and flags of the exchange at the head. */
  head(): i32 {
    return this.memory.u8(this.ring + (this.first & (this.capacity - 1)));
  }

  /** Kind of the exchange at the head. */
  headKind(): i32 {
    return this.head() & KIND_MASK;
  }

  /** The exchange at the head is over. */
  shift(): void {
    this.first++;
    this.count--;
  }

  /** Changes the kind of the newest exchange. */
  changeLast(kind: i32): void {
    const at = this.ring + ((this.first + this.count - 1) & (this.capacity - 1));
    this.memory.setU8(at, (this.memory.u8(at) & ~KIND_MASK) | kind);
  }

  private grow(): void {
    const wider = this.capacity * 2;
    const ring = this.memory.allocate(wider);
    for (let i = 0; i < this.count; i++) {
      const number = this.first + i;
      const entry = this.memory.u8(this.ring + (number & (this.capacity - 1)));
      this.memory.setU8(ring + (number & (wider - 1)), entry);
    }
    this.memory.release(this.ring);
    this.ring = ring;
    this.capacity = wider;
  }
}
