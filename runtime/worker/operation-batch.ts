/**
 * The operations of one turn, from what plugins returned to the engine's quadruples. Everything a
 * plugin returns is checked here, before the engine sees any of it: `translate()` either takes all
 * operations of a call or none.
 */
import { ENGINE_OPERATION, INJECT_BYTES_MAX, QUAD, WINDOW_BYTES_MAX } from "../engine/protocol.ts";
import {
  CLOSE_REASON,
  DIRECTION,
  OPERATION,
  OPERATIONS_MAX,
  type Operations,
} from "../isolate/types.ts";

/** Shorter copies are cheaper byte by byte than through a view. */
const COPY_LOOP_BYTES_MAX = 32;
const TWO_32 = 0x1_0000_0000;
/** More than a double counts exactly is more than anybody sends. */
const BYTES_MAX = Number.MAX_SAFE_INTEGER;

/** What a call's operations came to; valid until the next `translate()`. */
export interface Translation {
  /** Bytes of the window passed or dropped. */
  consumed: number;
  /** The plugin consumed some, left some and did not say when to call again: call at once. */
  again: boolean;
  /** Reason of a close operation, else -1. */
  closeReason: number;
  /** It inserted bytes toward the side that opened the connection. */
  answered: boolean;
}

/** What operations do to one direction, one after the other; bytes are valid during the call. */
export interface EffectSink {
  pass(bytes: number): void;
  drop(bytes: number): void;
  /** Call again when so many unconsumed bytes are there. */
  need(bytes: number): void;
  rest(): void;
  inject(direction: number, bytes: Uint8Array): void;
  /** CLOSE_REASON */
  close(reason: number): void;
}

export class OperationBatch {
  readonly result: Translation = { consumed: 0, again: false, closeReason: -1, answered: false };
  readonly #words: Int32Array;
  readonly #inject: Uint8Array;
  readonly #carryOut: (count: number, last: boolean) => void;
  #count = 0;
  #injected = 0;
  /** State of the call being translated. */
  #left = 0;
  /** Bytes that passes and drops reach past the window. */
  #past = 0;
  #inserted = 0;

  /** `carryOut`: takes the first `count` quadruples; `last`: they are the last of this turn. */
  constructor(
    words: Int32Array,
    inject: Uint8Array,
    carryOut: (count: number, last: boolean) => void,
  ) {
    this.#words = words;
    this.#inject = inject;
    this.#carryOut = carryOut;
  }

  get count(): number {
    return this.#count;
  }

  /** Before a call is translated, or anything else is added: flushes when it might not fit. */
  makeRoom(): void {
    if (
      (this.#count + OPERATIONS_MAX + 2) * QUAD > this.#words.length ||
      this.#injected + INJECT_BYTES_MAX > this.#inject.length
    ) {
      this.flush(false);
    }
  }

  /** Has everything carried out and begins anew. */
  flush(last: boolean): void {
    this.#carryOut(this.#count, last);
    this.clear();
  }

  clear(): void {
    this.#count = 0;
    this.#injected = 0;
  }

  /** Tells `to` what the operations from number `first` on do. */
  describe(first: number, to: EffectSink): void {
    const words = this.#words;
    for (let at = first * QUAD; at < this.#count * QUAD; at += QUAD) {
      const word = words[at] ?? 0;
      const a = words[at + 2] ?? 0;
      const b = words[at + 3] ?? 0;
      const bytes = (a >>> 0) + (b >>> 0) * TWO_32;
      switch (word & 0xff) {
        case ENGINE_OPERATION.pass:
          to.pass(bytes);
          break;
        case ENGINE_OPERATION.drop:
          to.drop(bytes);
          break;
        case ENGINE_OPERATION.need:
          to.need(a);
          break;
        case ENGINE_OPERATION.rest:
          to.rest();
          break;
        case ENGINE_OPERATION.inject:
          to.inject((word >> 8) & 1, this.#inject.subarray(a, a + b));
          break;
        case ENGINE_OPERATION.close:
          to.close(this.result.closeReason);
          break;
      }
    }
  }

  /** Forwards all `length` bytes of a window. */
  passWindow(slot: number, direction: number, length: number): void {
    this.#push(ENGINE_OPERATION.pass | (direction << 8), slot, length, 0);
  }

  close(slot: number): void {
    this.#push(ENGINE_OPERATION.close, slot, 0, 0);
  }

  reset(slot: number): void {
    this.#push(ENGINE_OPERATION.reset, slot, 0, 0);
  }

  rest(slot: number, direction: number): void {
    this.#push(ENGINE_OPERATION.rest | (direction << 8), slot, 0, 0);
  }

  /**
   * Adds the operations of one call that saw `length` bytes, the last ones if `ended`. Returns
   * undefined and fills `result`, or says what is wrong with them and adds nothing.
   */
  translate(
    operations: Operations,
    slot: number,
    direction: number,
    length: number,
    ended: boolean,
  ): string | undefined {
    const { count, kind } = operations;
    const first = this.#count;
    const { result } = this;
    result.closeReason = -1;
    result.answered = false;
    this.#left = length;
    this.#past = 0;
    this.#inserted = 0;
    let wrong = count <= OPERATIONS_MAX ? undefined : `${count} operations`;
    let last = false;
    for (let i = 0; i < count && wrong === undefined; i++) {
      if (last) wrong = "an operation after the last";
      else if (kind[i] === OPERATION.pass || kind[i] === OPERATION.drop)
        wrong = this.#consume(operations, i, slot, direction);
      else if (kind[i] === OPERATION.inject) wrong = this.#insert(operations, i, slot);
      else {
        last = true;
        wrong =
          ended && kind[i] === OPERATION.more
            ? "more after the end"
            : this.#finish(operations, i, slot, direction);
      }
    }
    if (wrong === undefined && !last && !ended && length > 0 && this.#left === length) {
      wrong = "nothing consumed and nothing asked for";
    }
    if (wrong !== undefined) {
      this.#count = first;
      this.#injected -= this.#inserted;
      return wrong;
    }
    result.consumed = length - this.#left;
    result.again = !last && this.#past === 0 && this.#left > 0 && result.consumed > 0;
    return undefined;
  }

  #consume(operations: Operations, i: number, slot: number, direction: number): string | undefined {
    const n = operations.n[i] ?? 0;
    const kind = operations.kind[i] ?? 0;
    if (!(n >= 1) || n > BYTES_MAX) return `pass or drop of ${n} bytes`;
    const code =
      (kind === OPERATION.pass ? ENGINE_OPERATION.pass : ENGINE_OPERATION.drop) | (direction << 8);
    const whole = Math.min(n, Number.MAX_SAFE_INTEGER);
    this.#push(code, slot, whole | 0, whole < TWO_32 ? 0 : Math.floor(whole / TWO_32));
    if (n > this.#left) {
      this.#past += n - this.#left;
      this.#left = 0;
    } else {
      this.#left -= n;
    }
    return undefined;
  }

  #insert(operations: Operations, i: number, slot: number): string | undefined {
    const { memory } = operations;
    const start = operations.start[i] ?? 0;
    const length = operations.length[i] ?? 0;
    const into = operations.direction[i] ?? 0;
    if (into > 1) return "inject into no direction";
    if (start + length > memory.length) return "inject of bytes outside its memory";
    if (this.#inserted + length > INJECT_BYTES_MAX) return "inject of more than 64 KiB";
    if (into === DIRECTION.response) this.result.answered = true;
    if (length === 0) return undefined;
    this.#push(ENGINE_OPERATION.inject | (into << 8), slot, this.#injected, length);
    if (length <= COPY_LOOP_BYTES_MAX) {
      const to = this.#injected;
      for (let at = 0; at < length; at++) this.#inject[to + at] = memory[start + at] ?? 0;
    } else {
      this.#inject.set(memory.subarray(start, start + length), this.#injected);
    }
    this.#injected += length;
    this.#inserted += length;
    return undefined;
  }

  /** The operations that must be the last. */
  #finish(operations: Operations, i: number, slot: number, direction: number): string | undefined {
    const n = operations.n[i] ?? 0;
    switch (operations.kind[i]) {
      case OPERATION.more: {
        if (!(n >= 1)) return "more of less than 1 byte";
        // What was passed or dropped in advance is part of the bytes it waits for.
        const need = this.#past > 0 ? Math.max(1, n - this.#past) : this.#left + n;
        if (need > WINDOW_BYTES_MAX) {
          // Of the sender's making, not the plugin's: this connection's end, not a fault.
          this.result.closeReason = CLOSE_REASON.malformed;
          this.close(slot);
          return undefined;
        }
        this.#push(ENGINE_OPERATION.need | (direction << 8), slot, need, 0);
        return undefined;
      }
      case OPERATION.passRest:
        this.rest(slot, direction);
        this.#left = 0;
        return undefined;
      case OPERATION.close:
        if (n !== 0 && n !== 1 && n !== 2) return "close for no reason";
        this.result.closeReason = n;
        this.close(slot);
        return undefined;
      default:
        return "no such operation";
    }
  }

  #push(word: number, slot: number, a: number, b: number): void {
    const at = this.#count++ * QUAD;
    this.#words[at] = word;
    this.#words[at + 1] = slot;
    this.#words[at + 2] = a;
    this.#words[at + 3] = b;
  }
}
