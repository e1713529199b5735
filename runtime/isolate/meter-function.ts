/**
 * Fuel accounting inside one function body. What runs is charged before it runs, by cost.ts, in few
 * places: a block that surely runs after another is paid with it, and so is one that costs next to
 * nothing; calls of functions that are as cheap are paid by the caller (paid-calls.ts). Function
 * entries, loop heads and what is dear also check and trap; bulk instructions charge and check by
 * their operand. Fuel lives in a global; a function whose blocks outnumber its calls keeps it in a
 * local and writes it back around calls and at its exits, because a register subtraction costs a
 * fraction of a global's load and store. WebAssembly branches name blocks, not offsets, so inserted
 * code moves nothing else.
 */
import type { ByteWriter } from "./binary.ts";
import { BULK_SHIFT, ELEMENT_MASK, ELEMENT_SHIFT, PAGE_MASK, PAGE_SHIFT } from "./cost.ts";
import { OP } from "./opcodes.ts";
import type { FunctionScan, MeterEvent } from "./scan-function.ts";

/** Why the meter stopped an instance, as its flag global tells. */
export const METER_FLAG = { none: 0, fuel: 1, memory: 2, stack: 3 } as const;

/** A block this cheap is paid with the one before it even if it may be left out. */
const FOLDED_COST_MAX = 32;
/** A block dearer than this is checked wherever it stands: what runs unchecked stays short. */
const UNCHECKED_COST_MAX = 4_096;

/** Indices the inserted code refers to. */
export interface MeterIndices {
  fuelGlobal: number;
  flagGlobal: number;
  importCount: number;
  /** Function that charges for import `index` and calls it. */
  importWrapper(index: number): number;
  /** What its caller pays for a call of function `index`; undefined: it pays for itself. */
  paidByCaller(index: number): number | undefined;
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

  /** With a count of bytes on the stack: charges for them, leaves the count. */
  chargeBytes(): void {
    const { out } = this;
    out.u8(OP.localSet).u32(this.#scratch);
    this.#fuel();
    out.u8(OP.localGet).u32(this.#scratch).u8(OP.i32Const).s32(BULK_SHIFT);
    out.u8(OP.i32ShrU, OP.i32Sub);
    this.#chargedAgainst();
  }

  /** With a count on the stack: charges `(count & mask) << shift`, leaves the count. */
  chargeEach(mask: number, shift: number): void {
    const { out } = this;
    out.u8(OP.localSet).u32(this.#scratch);
    this.#fuel();
    out.u8(OP.localGet).u32(this.#scratch).u8(OP.i32Const).s32(mask).u8(OP.i32And);
    out.u8(OP.i32Const).s32(shift).u8(OP.i32Shl, OP.i32Sub);
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
    emitTrap(this.out, METER_FLAG.fuel, this.#indices.flagGlobal);
    this.out.u8(OP.end);
  }
}

/** A trap that the host recognises by its flag. */
export function emitTrap(out: ByteWriter, flag: number, flagGlobal: number): void {
  out.u8(OP.i32Const).s32(flag).u8(OP.globalSet).u32(flagGlobal).u8(OP.unreachable);
}

/** Appends the metered body (with its length) of a scanned function; `source` holds its bytes. */
export function meterFunction(
  out: ByteWriter,
  source: Uint8Array,
  scan: FunctionScan,
  indices: MeterIndices,
): void {
  settleCharges(scan, indices);
  const cached = worthCaching(scan, indices);
  out.sized((writer) => {
    writer.u32(scan.localGroups.length + 1);
    for (const { count, type } of scan.localGroups) writer.u32(count).u8(type);
    writer.u32(2).u8(0x7f);
    const emitter = new Emitter(writer, indices, cached, scan.paramCount + scan.localCount);
    emitter.load();
    let copied = scan.code;
    for (const event of scan.events) {
      writer.raw(source, copied, event.at);
      copied = emitEvent(emitter, event, source, indices);
    }
    writer.raw(source, copied, scan.end);
  });
}

/** Decides with which block everything is paid. */
function settleCharges({ events }: FunctionScan, indices: MeterIndices): void {
  for (const { kind, callee, block } of events) {
    if (kind === "call" && block) block.cost += indices.paidByCaller(callee) ?? 0;
  }
  // From behind: a block's own followers are paid with it before it is looked at.
  for (let index = events.length - 1; index >= 0; index -= 1) {
    const event = events[index];
    if (event?.kind !== "charge") continue;
    const { block, cost, follows } = event;
    if (block !== undefined && (follows || cost <= FOLDED_COST_MAX)) {
      block.cost += cost;
      event.cost = 0;
    } else if (cost > UNCHECKED_COST_MAX) {
      event.check = true;
    }
  }
}

/** Emits `event`'s code; returns the offset from which the body's own bytes go on. */
function emitEvent(
  emitter: Emitter,
  event: MeterEvent,
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
      emitter.chargeBytes();
      return event.at;
    case "table":
      emitter.chargeEach(ELEMENT_MASK, ELEMENT_SHIFT);
      return event.at;
    case "grow":
      emitter.chargeEach(PAGE_MASK, PAGE_SHIFT);
      return event.at;
    case "grown":
      emitter.noteRefusal();
      return event.at;
    case "call":
      if (indices.paidByCaller(event.callee) !== undefined) return event.at;
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
function worthCaching(scan: FunctionScan, indices: MeterIndices): boolean {
  let blocks = 0;
  let transfers = 2;
  for (const { kind, weight, cost, check, callee } of scan.events) {
    if (kind === "charge" && (cost > 0 || check)) blocks += weight;
    else if (kind === "call" && indices.paidByCaller(callee) === undefined) transfers += 2 * weight;
  }
  return blocks * 2 > transfers;
}
