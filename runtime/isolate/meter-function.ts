/**
 * Fuel accounting inside one function body. A basic block is charged where it begins, one unit an
 * instruction; function entries and loop heads also check and trap; bulk instructions charge and
 * check by their operand. Fuel lives in a global; a function whose blocks outnumber its calls keeps
 * it in a local and writes it back around calls and at its exits, because a register subtraction
 * costs a fraction of a global's load and store. WebAssembly branches name blocks, not offsets, so
 * inserted code moves nothing else.
 */
import { ByteReader, type ByteWriter } from "./binary.ts";
import type { CoreBody } from "./core-module.ts";
import { LOCALS_MAX } from "./core-module.ts";
import { PluginImageError } from "./errors.ts";
import type { Instruction } from "./opcodes.ts";
import { FC, OP, readInstruction, readValueType } from "./opcodes.ts";

/** Why the meter stopped an instance, as its flag global tells. */
export const METER_FLAG = { none: 0, fuel: 1, memory: 2 } as const;

/** Blocks nested in one function; an interpreter's switch nests a few hundred. */
export const NESTING_MAX = 4096;
/** Units of a call beside its own instructions. */
const CALL_COST = 4;
/** Bytes a unit of memory.copy, fill and init moves, as a shift. */
const BULK_SHIFT = 3;
/** Elements a unit of the table instructions moves, as a shift. */
const TABLE_SHIFT = 2;
/** Units of a page of memory.grow, as a shift. */
const PAGE_SHIFT = 10;
/** A delta above this fails whatever the limit (1,024 pages), so it is not charged in full. */
const PAGE_MASK = 2047;
/** A function without calls and loops, this cheap, is not checked at its entry: its caller is. */
const UNCHECKED_COST_MAX = 256;

/** Indices the inserted code refers to. */
export interface MeterIndices {
  fuelGlobal: number;
  flagGlobal: number;
  importCount: number;
  /** Function that charges for import `index` and calls it. */
  importWrapper(index: number): number;
}

type EventKind = "charge" | "call" | "exit" | "bulk" | "table" | "grow" | "grown";

interface Event {
  kind: EventKind;
  /** Offset in the module's bytes before which code goes. */
  at: number;
  /** Of charge: units, filled while scanning. */
  cost: number;
  /** Of charge: also trap when exhausted. */
  check: boolean;
  /** Of call: the callee, and the offset behind the instruction. */
  callee: number;
  next: number;
  weight: number;
}

interface Frame {
  op: number;
  targeted: boolean;
  dead: boolean;
  sawElse: boolean;
  thenAlive: boolean;
}

interface Scan {
  events: Event[];
  /** Offset of the first instruction. */
  code: number;
  localGroups: { count: number; type: number }[];
  localCount: number;
  callsOthers: boolean;
  hasLoop: boolean;
  cost: number;
}

/** Finds basic blocks and the places that need code. */
class Scanner {
  readonly #reader: ByteReader;
  readonly #frames: Frame[] = [];
  readonly #events: Event[] = [];
  #block: Event | undefined;
  #loopDepth = 0;
  #callsOthers = false;
  #hasLoop = false;

  constructor(reader: ByteReader) {
    this.#reader = reader;
  }

  run(): Scan {
    const reader = this.#reader;
    let localCount = 0;
    const localGroups = reader.vector(() => {
      const count = reader.u32();
      localCount += count;
      return { count, type: readValueType(reader) };
    });
    const code = reader.offset;
    this.#push(OP.block);
    this.#begin(true);
    if (this.#block) this.#block.cost += localCount >> 3;
    const instruction: Instruction = { op: 0, index: 0, targets: [] };
    while (this.#frames.length > 0) {
      const at = reader.offset;
      readInstruction(reader, instruction);
      this.#step(instruction, at);
    }
    reader.expectEnd();
    const cost = this.#events.reduce((sum, event) => sum + event.cost, 0);
    return {
      events: this.#events,
      code,
      localGroups,
      localCount,
      callsOthers: this.#callsOthers,
      hasLoop: this.#hasLoop,
      cost,
    };
  }

  #add(kind: EventKind, at: number): Event {
    const weight = 8 ** Math.min(this.#loopDepth, 6);
    const event = { kind, at, cost: 0, check: false, callee: 0, next: at, weight };
    this.#events.push(event);
    return event;
  }

  #begin(check: boolean): void {
    this.#block = this.#add("charge", this.#reader.offset);
    this.#block.check = check;
  }

  #push(op: number): void {
    if (this.#frames.length >= NESTING_MAX) {
      const state = `more than ${NESTING_MAX} nested blocks`;
      throw new PluginImageError("limit", this.#reader.where, state);
    }
    const dead = this.#frames.length > 0 && this.#block === undefined;
    this.#frames.push({ op, targeted: false, dead, sawElse: false, thenAlive: false });
    if (op === OP.loop) this.#loopDepth += 1;
  }

  #step(instruction: Instruction, at: number): void {
    const { op } = instruction;
    if (op === OP.end) {
      this.#end(at);
      return;
    }
    if (op === OP.else) {
      this.#else();
      return;
    }
    if (op === OP.block || op === OP.loop || op === OP.if) {
      this.#push(op);
      if (this.#block === undefined || op === OP.block) return;
      this.#block.cost += op === OP.if ? 1 : 0;
      this.#hasLoop ||= op === OP.loop;
      this.#begin(op === OP.loop);
      return;
    }
    if (this.#block === undefined) return;
    this.#block.cost += 1;
    if (op >= OP.br && op <= OP.return) this.#branch(instruction, at);
    else if (op === OP.unreachable) this.#block = undefined;
    else if (op === OP.call || op === OP.callIndirect) this.#call(instruction, at);
    else if (op === OP.prefixFc) this.#bulk(instruction.index, at);
    else if (op === OP.memoryGrow) {
      this.#add("grow", at);
      this.#add("grown", this.#reader.offset);
    }
  }

  #else(): void {
    const frame = this.#frames.at(-1);
    if (frame === undefined) return;
    frame.sawElse = true;
    frame.thenAlive = this.#block !== undefined;
    this.#block = undefined;
    if (!frame.dead) this.#begin(false);
  }

  #end(at: number): void {
    const frame = this.#frames.pop();
    if (frame === undefined) return;
    if (frame.op === OP.loop) this.#loopDepth -= 1;
    if (this.#frames.length === 0) {
      if (this.#block !== undefined) this.#add("exit", at);
      return;
    }
    if (frame.dead) return;
    const joined =
      (frame.targeted && frame.op !== OP.loop) ||
      (frame.op === OP.if && (!frame.sawElse || frame.thenAlive));
    if (joined || (frame.op === OP.if && this.#block !== undefined)) this.#begin(false);
  }

  #branch(instruction: Instruction, at: number): void {
    const { op, index, targets } = instruction;
    let exits = op === OP.return;
    for (const depth of op === OP.brTable ? targets : op === OP.return ? [] : [index]) {
      const frame = this.#frames.at(-1 - depth);
      if (frame) frame.targeted = true;
      exits ||= depth === this.#frames.length - 1;
    }
    if (exits) this.#add("exit", at);
    this.#block = undefined;
    if (op === OP.brIf) this.#begin(false);
  }

  #call(instruction: Instruction, at: number): void {
    if (this.#block) this.#block.cost += CALL_COST;
    const event = this.#add("call", at);
    event.callee = instruction.op === OP.call ? instruction.index : -1;
    event.next = this.#reader.offset;
    this.#callsOthers = true;
  }

  #bulk(sub: number, at: number): void {
    if (sub === FC.memoryInit || sub === FC.memoryCopy || sub === FC.memoryFill) {
      this.#add("bulk", at);
    } else if (
      sub === FC.tableInit ||
      sub === FC.tableCopy ||
      sub === FC.tableGrow ||
      sub === FC.tableFill
    ) {
      this.#add("table", at);
    }
  }
}

/** Writes the inserted code; knows whether fuel is the global or a local copy. */
class Emitter {
  readonly out: ByteWriter;
  readonly #indices: MeterIndices;
  readonly #cached: boolean;
  readonly #fuelLocal: number;
  readonly #scratch: number;

  constructor(out: ByteWriter, indices: MeterIndices, cached: boolean, localBase: number) {
    this.out = out;
    this.#indices = indices;
    this.#cached = cached;
    this.#scratch = localBase;
    this.#fuelLocal = localBase + 1;
  }

  load(): void {
    if (!this.#cached) return;
    this.out.u8(OP.globalGet).u32(this.#indices.fuelGlobal);
    this.out.u8(OP.localSet).u32(this.#fuelLocal);
  }

  store(): void {
    if (!this.#cached) return;
    this.out.u8(OP.localGet).u32(this.#fuelLocal);
    this.out.u8(OP.globalSet).u32(this.#indices.fuelGlobal);
  }

  charge(cost: number, check: boolean): void {
    if (cost === 0 && !check) return;
    this.#fuel();
    if (cost > 0) this.out.u8(OP.i32Const).s32(cost).u8(OP.i32Sub);
    this.#setFuel(check);
    if (check) this.#trapIfNegative();
  }

  /** With a count on the stack: charges `count >> shift`, leaves the count. */
  chargeCount(shift: number): void {
    const { out } = this;
    out.u8(OP.localSet).u32(this.#scratch);
    this.#fuel();
    out.u8(OP.localGet).u32(this.#scratch).u8(OP.i32Const).s32(shift).u8(OP.i32ShrU, OP.i32Sub);
    this.#chargedAgainst();
  }

  /** With the pages of a memory.grow on the stack. */
  chargePages(): void {
    const { out } = this;
    out.u8(OP.localSet).u32(this.#scratch);
    this.#fuel();
    out.u8(OP.localGet).u32(this.#scratch).u8(OP.i32Const).s32(PAGE_MASK).u8(0x71);
    out.u8(OP.i32Const).s32(PAGE_SHIFT).u8(0x74, OP.i32Sub);
    this.#chargedAgainst();
  }

  /** With the result of a memory.grow on the stack: remembers a refusal. */
  noteRefusal(): void {
    const { out } = this;
    out.u8(OP.localTee).u32(this.#scratch).u8(OP.i32Const).s32(-1).u8(OP.i32Eq, OP.if, 0x40);
    out.u8(OP.i32Const).s32(METER_FLAG.memory).u8(OP.globalSet).u32(this.#indices.flagGlobal);
    out.u8(OP.end, OP.localGet).u32(this.#scratch);
  }

  #chargedAgainst(): void {
    // The count must survive the check, which in global mode needs the scratch local itself.
    if (this.#cached) {
      this.#setFuel(true);
      this.#trapIfNegative();
    } else {
      this.out.u8(OP.globalSet).u32(this.#indices.fuelGlobal);
      this.out.u8(OP.globalGet).u32(this.#indices.fuelGlobal);
      this.#trapIfNegative();
    }
    this.out.u8(OP.localGet).u32(this.#scratch);
  }

  #fuel(): void {
    if (this.#cached) this.out.u8(OP.localGet).u32(this.#fuelLocal);
    else this.out.u8(OP.globalGet).u32(this.#indices.fuelGlobal);
  }

  #setFuel(keep: boolean): void {
    const { out } = this;
    if (this.#cached) {
      out.u8(keep ? OP.localTee : OP.localSet).u32(this.#fuelLocal);
      return;
    }
    if (keep) out.u8(OP.localTee).u32(this.#scratch);
    out.u8(OP.globalSet).u32(this.#indices.fuelGlobal);
    if (keep) out.u8(OP.localGet).u32(this.#scratch);
  }

  #trapIfNegative(): void {
    this.out.u8(OP.i32Const, 0, OP.i32LtS, OP.if, 0x40);
    this.store();
    emitExhausted(this.out, this.#indices.flagGlobal);
    this.out.u8(OP.end);
  }
}

/** The trap that the host recognises as exhausted fuel. */
export function emitExhausted(out: ByteWriter, flagGlobal: number): void {
  out.u8(OP.i32Const).s32(METER_FLAG.fuel).u8(OP.globalSet).u32(flagGlobal).u8(OP.unreachable);
}

/** Appends the metered body (with its length) of a function with `paramCount` parameters. */
export function meterFunction(
  out: ByteWriter,
  body: CoreBody & { bytes: Uint8Array; where: string; paramCount: number },
  indices: MeterIndices,
): void {
  const reader = new ByteReader(body.bytes, body.where, body.start, body.end);
  const scan = new Scanner(reader).run();
  const localBase = body.paramCount + scan.localCount;
  if (localBase > LOCALS_MAX) {
    throw new PluginImageError("limit", body.where, `${localBase} locals, limit ${LOCALS_MAX}`);
  }
  const entry = scan.events[0];
  if (entry && !scan.callsOthers && !scan.hasLoop && scan.cost <= UNCHECKED_COST_MAX) {
    entry.check = false;
  }
  const cached = worthCaching(scan);
  out.sized((writer) => {
    writer.u32(scan.localGroups.length + 1);
    for (const { count, type } of scan.localGroups) writer.u32(count).u8(type);
    writer.u32(2).u8(0x7f);
    const emitter = new Emitter(writer, indices, cached, localBase);
    emitter.load();
    let copied = scan.code;
    for (const event of scan.events) {
      writer.raw(body.bytes, copied, event.at);
      copied = emitEvent(emitter, event, body.bytes, indices);
    }
    writer.raw(body.bytes, copied, body.end);
  });
}

/** Emits `event`'s code; returns the offset from which the body's own bytes go on. */
function emitEvent(
  emitter: Emitter,
  event: Event,
  source: Uint8Array,
  indices: MeterIndices,
): number {
  switch (event.kind) {
    case "charge":
      emitter.charge(event.cost, event.check);
      return event.at;
    case "exit":
      emitter.store();
      return event.at;
    case "bulk":
      emitter.chargeCount(BULK_SHIFT);
      return event.at;
    case "table":
      emitter.chargeCount(TABLE_SHIFT);
      return event.at;
    case "grow":
      emitter.chargePages();
      return event.at;
    case "grown":
      emitter.noteRefusal();
      return event.at;
    case "call":
      emitter.store();
      if (event.callee >= 0 && event.callee < indices.importCount) {
        emitter.out.u8(OP.call).u32(indices.importWrapper(event.callee));
      } else {
        emitter.out.raw(source, event.at, event.next);
      }
      emitter.load();
      return event.next;
  }
}

/** Whether block charges cost more than the write-backs a local copy needs (weights by loop). */
function worthCaching(scan: Scan): boolean {
  let blocks = 0;
  let transfers = 2;
  for (const event of scan.events) {
    if (event.kind === "charge") blocks += event.weight;
    else if (event.kind === "call") transfers += 2 * event.weight;
  }
  return blocks * 2 > transfers;
}
