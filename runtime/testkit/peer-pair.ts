/**
 * The host's side of one connection, without sockets: gives a plugin instance the bytes of both
 * peers in whatever pieces a test wants, applies its operations as runtime/contract/README.md says,
 * and keeps what each peer receives. A nonsense operation throws: that is the test's finding.
 */
import { CLOSE_REASON, DIRECTION, END, OPERATION, type PluginInstance } from "../isolate/types.ts";

/** Unconsumed bytes a direction may hold. */
const WINDOW_BYTES_MAX = 192 * 1024;
/** Calls for the same bytes; every call but the last consumes at least one. */
const CALLS_MAX = 100_000;

/** Something a peer does, at a time (nanoseconds since 1970). `set-stages` is the host's. */
export type Step =
  | {
      kind: "request" | "response";
      bytes: Uint8Array;
      /** So many of them, the first, only stand for others that nobody kept. */
      unseen?: number;
      now?: bigint;
    }
  | { kind: "end"; direction: "request" | "response"; how: "closed" | "failed"; now?: bigint }
  | { kind: "stages"; stages: readonly { point: number; ruleSet: number }[] };

/** How the bytes of a step are cut: pieces of at most n bytes, or at rising offsets within it. */
export type Cut = number | readonly number[];

/** A nonsense operation: what the host would close the connection for. */
export class OperationError extends Error {
  override readonly name = "OperationError";
}

class Way {
  held: Uint8Array = new Uint8Array();
  need = 1;
  passLeft = 0;
  dropLeft = 0;
  rest = false;
  ended = false;
  received: Uint8Array[] = [];
}

export class PeerPair {
  /** Why the plugin closed the connection; undefined while it is open. */
  closed: keyof typeof CLOSE_REASON | undefined;
  /** `on-data` calls made. */
  calls = 0;
  readonly #instance: PluginInstance;
  readonly #connection: number;
  readonly #unseenShown: () => void;
  #nowHigh = 0;
  #nowLow = 0;
  readonly #ways = [new Way(), new Way()] as const;

  /** @param unseenShown Told when bytes are shown that only stand for others. */
  constructor(
    instance: PluginInstance,
    connection: number,
    unseenShown: (() => void) | undefined = undefined,
  ) {
    this.#instance = instance;
    this.#connection = connection;
    this.#unseenShown = unseenShown ?? (() => {});
  }

  /** What has reached a side: `request` is what upstream received. */
  received(direction: "request" | "response"): string {
    return Buffer.concat(this.#way(DIRECTION[direction]).received).toString("latin1");
  }

  /** Takes a step, its bytes in pieces: of at most so many bytes, or cut at these offsets. */
  take(step: Step, cut: Cut): void {
    if (this.closed !== undefined) return;
    if ("now" in step && step.now !== undefined) {
      this.#nowHigh = Number(step.now >> 32n);
      this.#nowLow = Number(step.now & 0xffff_ffffn);
    }
    if (step.kind === "stages") {
      this.#instance.setStages(this.#connection, step.stages);
    } else if (step.kind === "end") {
      this.#end(DIRECTION[step.direction], END[step.how]);
    } else {
      const { bytes, unseen = 0 } = step;
      let at = 0;
      for (let index = 0; at < bytes.length && this.closed === undefined; index++) {
        const end = typeof cut === "number" ? at + cut : (cut[index] ?? bytes.length);
        this.#arrive(DIRECTION[step.kind], bytes.subarray(at, end), unseen - at);
        at = end;
      }
    }
  }

  #way(direction: number): Way {
    return direction === DIRECTION.request ? this.#ways[0] : this.#ways[1];
  }

  /** @param unseen So many of the bytes, the first, only stand for others; may be negative. */
  #arrive(direction: number, bytes: Uint8Array, unseen: number): void {
    const way = this.#way(direction);
    if (way.ended) throw new OperationError("Cannot add bytes: the direction has ended");
    let piece = bytes;
    const dropped = Math.min(way.dropLeft, piece.length);
    way.dropLeft -= dropped;
    piece = piece.subarray(dropped);
    const passed = way.rest ? piece.length : Math.min(way.passLeft, piece.length);
    if (!way.rest) way.passLeft -= passed;
    if (passed > 0) way.received.push(piece.slice(0, passed));
    piece = piece.subarray(passed);
    if (piece.length === 0) return;
    if (dropped + passed < unseen) this.#unseenShown();
    way.held = Buffer.concat([way.held, piece]);
    if (way.held.length >= way.need) this.#call(direction, END.open);
  }

  #end(direction: number, end: number): void {
    const way = this.#way(direction);
    if (way.ended) return;
    way.ended = true;
    if (way.rest) return;
    way.passLeft = 0;
    way.dropLeft = 0;
    this.#call(direction, end);
  }

  #call(direction: number, end: number): void {
    for (let round = 0; round < CALLS_MAX; round++) {
      const data = this.#way(direction).held;
      this.calls++;
      const { length } = data;
      const [high, low] = [this.#nowHigh, this.#nowLow];
      this.#instance.onData(this.#connection, direction, data, 0, length, end, high, low);
      if (!this.#apply(direction, data.length, end)) return;
    }
    throw new OperationError("Cannot finish a call: it never ends");
  }

  /** Applies the list; whether the plugin must be called again at once. */
  #apply(direction: number, given: number, end: number): boolean {
    const { operations } = this.#instance;
    const way = this.#way(direction);
    let last = false;
    way.need = 0;
    for (let index = 0; index < operations.count; index++) {
      if (last) throw new OperationError("an operation after the last");
      const kind = operations.kind[index];
      const n = operations.n[index] ?? 0;
      if (kind === OPERATION.pass || kind === OPERATION.drop) this.#consume(way, kind, n);
      else if (kind === OPERATION.inject) this.#inject(direction, index);
      else {
        last = true;
        this.#finish(way, kind ?? -1, n, end);
      }
    }
    if (way.need === 0) way.need = way.held.length + 1;
    if (last || way.held.length === 0) return false;
    const consumed = given - way.held.length;
    if (end === END.open && consumed === 0) throw new OperationError("nothing consumed or asked");
    return consumed > 0;
  }

  #consume(way: Way, kind: number, n: number): void {
    if (!Number.isSafeInteger(n) || n < 1) throw new OperationError(`pass or drop of ${n}`);
    const other = kind === OPERATION.pass ? way.dropLeft : way.passLeft;
    if (other > 0) throw new OperationError("an operation on bytes not there yet");
    const here = Math.min(n, way.held.length);
    if (kind === OPERATION.pass) {
      if (here > 0) way.received.push(way.held.slice(0, here));
      way.passLeft += n - here;
    } else {
      way.dropLeft += n - here;
    }
    way.held = way.held.subarray(here);
  }

  #inject(direction: number, index: number): void {
    const { operations } = this.#instance;
    const into = operations.direction[index] ?? 0;
    if (into > 1) throw new OperationError("inject into no direction");
    const way = this.#way(into);
    // The engine would write it in the middle of what is still to be passed.
    if (way.passLeft > 0) throw new OperationError("inject behind bytes not there yet");
    if (into === direction && way.dropLeft > 0) throw new OperationError("inject behind a drop");
    const start = operations.start[index] ?? 0;
    const length = operations.length[index] ?? 0;
    if (length === 0 || start + length > operations.memory.length) {
      throw new OperationError("inject of bytes outside the memory");
    }
    way.received.push(operations.memory.slice(start, start + length));
  }

  #finish(way: Way, kind: number, n: number, end: number): void {
    if (kind === OPERATION.more) {
      if (n < 1 || end !== END.open) throw new OperationError(`more of ${n}`);
      way.need = way.held.length + n;
      if (way.need > WINDOW_BYTES_MAX) throw new OperationError("more than the window holds");
    } else if (kind === OPERATION.passRest) {
      way.received.push(way.held.slice());
      way.held = new Uint8Array();
      way.rest = true;
    } else if (kind === OPERATION.close) {
      const reason = Object.entries(CLOSE_REASON).find(([, value]) => value === n)?.[0];
      if (reason === undefined) throw new OperationError("close for no reason");
      this.closed = reason as keyof typeof CLOSE_REASON;
    } else {
      throw new OperationError("no such operation");
    }
  }
}
