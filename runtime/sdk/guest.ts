/**
 * The glue between the contract (runtime/contract/l7.wit) and a `Plugin`: every export of the world
 * as a function over flat parameters, exactly as the canonical ABI lowers them; handle tables; and
 * the results, which stand in buffers of the guest until the same function is called again, so no
 * `cabi_post` is needed. Runs in the sandbox behind runtime/build/assembly/entry.as and natively
 * behind runtime/testkit/native.ts. An unknown handle is the host's mistake and traps.
 *
 *     stage, 8 bytes: u8 point @0, u32 rule-set @4
 *     result<u32, string>, 12 bytes: u8 case @0, u32 @4 or ptr @4 len @8
 */
import { CallBuffer } from "./call-buffer.ts";
import type { Host } from "./host.ts";
import type { Memory } from "./memory.ts";
import { Output, RESPONSE } from "./output.ts";
import {
  Call,
  type Connection,
  Facts,
  type Plugin,
  type RuleSet,
  STAGES_MAX,
  Stage,
} from "./plugin.ts";
import { RECORDS_FULL, RecordWriter } from "./record.ts";
import { RuleList } from "./rule-list.ts";

/** A read of 16 KiB and what the other parameters need; a larger one makes it grow. */
const PARAMETER_BYTES_START: i32 = 20480;
const STAGE_BYTES: i32 = 8;
const RESULT_BYTES: i32 = 24;
const REFUSED: string = "not rules compiled by this version of the plugin";

export class Guest {
  private readonly memory: Memory;
  private readonly plugin: Plugin;
  private readonly parameters: CallBuffer;
  private readonly call: Call;
  private readonly facts: Facts = new Facts();
  private readonly connections: Array<Connection | null> = [];
  private readonly freeConnections: i32[] = [];
  private readonly ruleSets: Array<RuleSet | null> = [];
  private readonly freeRuleSets: i32[] = [];
  private readonly result: i32;

  constructor(memory: Memory, host: Host, plugin: Plugin, recordsFull: i32 = RECORDS_FULL) {
    this.memory = memory;
    this.plugin = plugin;
    this.parameters = new CallBuffer(memory, PARAMETER_BYTES_START);
    this.call = new Call(new Output(memory), new RecordWriter(memory, host, recordsFull));
    this.result = memory.allocate(RESULT_BYTES);
    memory.fill(this.result, 0, RESULT_BYTES);
  }

  /** `cabi_realloc`: space for the parameters of the call that follows. */
  reallocate(old: i32, oldLength: i32, align: i32, length: i32): i32 {
    const to = this.parameters.take(length, align);
    if (oldLength > 0) this.memory.copy(to, old, oldLength < length ? oldLength : length);
    return to;
  }

  /** `compile`; returns the address of its result. */
  compile(rules: i32, count: i32): i32 {
    this.releaseResult();
    const list = new RuleList(this.memory, rules, count, this.result);
    this.plugin.compile(list);
    this.parameters.end();
    return this.result;
  }

  /** `load`; returns the address of its result. */
  load(compiled: i32, length: i32): i32 {
    this.releaseResult();
    const rules = this.plugin.load(compiled, length);
    this.parameters.end();
    if (rules === null) {
      this.memory.setU8(this.result, 1);
      const bytes = this.memory.textBytes(REFUSED);
      const text = this.memory.allocate(bytes);
      this.memory.setText(text, REFUSED);
      this.memory.setI32(this.result + 4, text);
      this.memory.setI32(this.result + 8, bytes);
      return this.result;
    }
    let handle = this.ruleSets.length;
    if (this.freeRuleSets.length > 0) {
      handle = this.freeRuleSets.pop() as i32;
      this.ruleSets[handle] = rules;
    } else {
      this.ruleSets.push(rules);
    }
    this.memory.setI32(this.result + 4, handle);
    return this.result;
  }

  /** `unload`. */
  unload(handle: i32): void {
    this.ruleSet(handle).unload();
    this.ruleSets[handle] = null;
    this.freeRuleSets.push(handle);
  }

  /** `open`; returns the connection's handle. */
  open(
    sourceIdentity: i32,
    destinationIdentity: i32,
    sourceAddress: i32,
    sourceAddressLength: i32,
    destinationAddress: i32,
    destinationAddressLength: i32,
    sourcePort: i32,
    destinationPort: i32,
    stages: i32,
    stageCount: i32,
  ): i32 {
    if (sourceAddressLength !== 16 || destinationAddressLength !== 16) {
      throw new Error("Cannot open a connection: an address is not 16 bytes");
    }
    const facts = this.facts;
    facts.sourceIdentity = sourceIdentity;
    facts.destinationIdentity = destinationIdentity;
    facts.sourceAddress = sourceAddress;
    facts.destinationAddress = destinationAddress;
    facts.sourcePort = sourcePort;
    facts.destinationPort = destinationPort;
    const connection = this.plugin.open(facts);
    this.stage(connection, stages, stageCount);
    this.parameters.end();
    if (this.freeConnections.length > 0) {
      const handle = this.freeConnections.pop() as i32;
      this.connections[handle] = connection;
      return handle;
    }
    this.connections.push(connection);
    return this.connections.length - 1;
  }

  /** `set-stages`. */
  setStages(handle: i32, stages: i32, count: i32): void {
    this.stage(this.connection(handle), stages, count);
    this.parameters.end();
  }

  /** `on-data`; returns the address of the operation list. */
  onData(handle: i32, direction: i32, data: i32, length: i32, after: i32, now: f64): i32 {
    const connection = this.connection(handle);
    const call = this.call;
    call.start = data;
    call.end = data + length;
    call.after = after;
    call.now = now;
    call.output.reset();
    call.record.reset(handle);
    if (direction === RESPONSE) this.plugin.onResponse(connection, call);
    else this.plugin.onRequest(connection, call);
    this.parameters.end();
    return call.output.finish();
  }

  /** `close`. */
  close(handle: i32): void {
    this.plugin.close(this.connection(handle));
    this.connections[handle] = null;
    this.freeConnections.push(handle);
  }

  private connection(handle: i32): Connection {
    if (handle < 0 || handle >= this.connections.length) {
      throw new Error("Cannot find the connection: no such handle");
    }
    const connection = this.connections[handle] as Connection | null;
    if (connection === null) throw new Error("Cannot find the connection: it was closed");
    return connection;
  }

  private ruleSet(handle: i32): RuleSet {
    if (handle < 0 || handle >= this.ruleSets.length) {
      throw new Error("Cannot find the rule set: no such handle");
    }
    const rules = this.ruleSets[handle] as RuleSet | null;
    if (rules === null) throw new Error("Cannot find the rule set: it was unloaded");
    return rules;
  }

  private stage(connection: Connection, stages: i32, count: i32): void {
    if (count > STAGES_MAX) throw new Error("Cannot set the stages: too many");
    const list = connection.stages;
    // The objects are used again: connections come and go, garbage would come with them.
    while (list.length > count) list.pop();
    for (let i = 0; i < count; i++) {
      const at = stages + i * STAGE_BYTES;
      const point = this.memory.u8(at);
      const rules = this.ruleSet(this.memory.i32(at + 4));
      if (i === list.length) {
        list.push(new Stage(point, rules));
        continue;
      }
      const stage = list[i] as Stage;
      stage.point = point;
      stage.rules = rules;
    }
  }

  /** Frees what the last `compile` or `load` answered. */
  private releaseResult(): void {
    const failed = this.memory.u8(this.result) === 1;
    const compiled = this.memory.i32(this.result + 8) > 0;
    // An error of compile has its texts at 8 and 16, of load at 4; a success of compile at 4.
    if (this.memory.i32(this.result + 16) !== 0) {
      this.memory.release(this.memory.i32(this.result + 8));
      this.memory.release(this.memory.i32(this.result + 16));
    } else if (failed || compiled) {
      this.memory.release(this.memory.i32(this.result + 4));
    }
    this.memory.fill(this.result, 0, RESULT_BYTES);
  }
}
