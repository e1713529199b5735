/**
 * What an author writes: a `Plugin` that knows its protocol, its `Connection` state and its
 * `RuleSet`s. guest.ts owns everything between these classes and the host: handles, parameters,
 * results. Nothing here may throw for hostile bytes; what throws is a trap and costs the instance.
 */

import type { Output } from "./output.ts";
import type { RecordWriter } from "./record.ts";
import type { RuleList } from "./rule-list.ts";

/** Stages of one connection at most: the egress policy of the source, the ingress of the other. */
export const STAGES_MAX: i32 = 8;

/** Compiled rules of one policy, loaded. Authors extend it; the SDK numbers it. */
export class RuleSet {
  /** Gives back what the rule set holds outside the garbage-collected heap. */
  unload(): void {}
}

/** One policy the bytes must satisfy. */
export class Stage {
  /** 0 egress, 1 ingress. */
  point: i32;
  rules: RuleSet;

  constructor(point: i32, rules: RuleSet) {
    this.point = point;
    this.rules = rules;
  }
}

/** Facts of a new connection. Addresses point to 16 bytes each, valid within `open` only. */
export class Facts {
  sourceIdentity: i32 = 0;
  destinationIdentity: i32 = 0;
  sourceAddress: i32 = 0;
  destinationAddress: i32 = 0;
  sourcePort: i32 = 0;
  destinationPort: i32 = 0;
}

/** State of one connection. Authors extend it; the SDK numbers it and gives it back for reuse. */
export class Connection {
  /** All of them must allow. Empty: everything is allowed and reported. */
  readonly stages: Stage[] = [];
}

/** One call: the bytes from the first unconsumed one, and where the answers go. */
export class Call {
  /** Address of the first byte and of the one behind the last. */
  start: i32 = 0;
  end: i32 = 0;
  /** END_OPEN, END_CLOSED or END_FAILED: what comes behind these bytes. */
  after: i32 = 0;
  /** Nanoseconds since 1970, from the host; a double, so exact to 256 ns. */
  now: f64 = 0;
  readonly output: Output;
  readonly record: RecordWriter;

  constructor(output: Output, record: RecordWriter) {
    this.output = output;
    this.record = record;
  }

  /** Whether a plugin should start no further message now (see `Output.full`). */
  full(): bool {
    return this.output.full() || this.record.full();
  }
}

export abstract class Plugin {
  /**
   * Turns rules into the plugin's own form. Writes it to a block from `Memory.allocate` and calls
   * `rules.succeed(address, length)`, or `rules.refuse(…)` with the rule that is wrong.
   */
  abstract compile(rules: RuleList): void;
  /** Makes a rule set of compiled bytes, which are valid within this call only; null: not ours. */
  abstract load(compiled: i32, length: i32): RuleSet | null;
  /** State for a new connection; its `stages` are set by the SDK. */
  abstract open(facts: Facts): Connection;
  /** Bytes that travel from the side that opened the connection. */
  abstract onRequest(connection: Connection, call: Call): void;
  /** Bytes that travel to the side that opened the connection. */
  abstract onResponse(connection: Connection, call: Call): void;
  /** The connection is gone; the plugin may keep the object for the next `open`. */
  close(_connection: Connection): void {}
}
