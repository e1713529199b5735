/**
 * Reads one function body and finds what the meter must know: where basic blocks begin, what they
 * cost and which block surely ran before each, where calls, exits and bulk instructions stand, whom
 * the function calls, and how much stack a frame of it takes. meter-function.ts inserts it.
 */
import { ByteReader } from "./binary.ts";
import type { CoreModule } from "./core-module.ts";
import { functionType, LOCALS_MAX } from "./core-module.ts";
import { CALL_COST, instructionCost, LOCALS_SHIFT, LOOP_COST } from "./cost.ts";
import { PluginImageError } from "./errors.ts";
import type { Instruction } from "./opcodes.ts";
import { FC, OP, readInstruction, readValueType, stackEffect } from "./opcodes.ts";

/** Blocks nested in one function; an interpreter's switch nests a few hundred. */
export const NESTING_MAX = 4096;
/** Bytes of a frame beside its values, and bytes a value takes at most. */
const FRAME_BYTES = 96;
const VALUE_BYTES = 8;
/** The block type without parameters and results, 0x40. */
const BLOCK_EMPTY = -64;

export type EventKind = "charge" | "call" | "exit" | "bulk" | "table" | "grow" | "grown";

export interface MeterEvent {
  kind: EventKind;
  /** Offset in the module's bytes before which code goes. */
  at: number;
  /** Of charge: units, filled while scanning. */
  cost: number;
  /** Of charge: also trap when exhausted. */
  check: boolean;
  /**
   * Of charge: the one before it, in the same turn of the same loop, that could pay for it too.
   * Of call: the one it is paid with.
   */
  block: MeterEvent | undefined;
  /** Of charge: whenever `block` runs this one runs after it, unless something traps. */
  follows: boolean;
  /** Of call: the function, or -1 with the type of an indirect call. */
  callee: number;
  calleeType: number;
  /** Of call: the offset behind the instruction. */
  next: number;
  weight: number;
}

interface Frame {
  op: number;
  /** Stack heights at its start, and behind its end. */
  height: number;
  endHeight: number;
  targeted: boolean;
  /** Number of the outermost frame that a branch in it leads to. */
  reach: number;
  dead: boolean;
  sawElse: boolean;
  thenAlive: boolean;
  /** What is charged where it begins. */
  before: MeterEvent | undefined;
}

/** What scanning a function found. */
export interface FunctionScan {
  events: MeterEvent[];
  /** Offset of the first instruction. */
  code: number;
  /** Behind the last instruction. */
  end: number;
  paramCount: number;
  localGroups: { count: number; type: number }[];
  localCount: number;
  hasLoop: boolean;
  /** Of all blocks together. */
  cost: number;
  /** Most bytes its frame takes in compiled code. */
  frameBytes: number;
  /** Locals that the compiler must bring together for all branches: they cost it time. */
  merges: number;
}

/** Finds basic blocks and the places that need code. */
class Scanner {
  readonly #module: CoreModule;
  readonly #reader: ByteReader;
  readonly #frames: Frame[] = [];
  readonly #events: MeterEvent[] = [];
  #block: MeterEvent | undefined;
  #loopDepth = 0;
  #hasLoop = false;
  #targets = 0;
  #height = 0;
  #heightMax = 0;

  constructor(module: CoreModule, reader: ByteReader) {
    this.#module = module;
    this.#reader = reader;
  }

  run(paramCount: number): FunctionScan {
    const reader = this.#reader;
    let localCount = 0;
    const localGroups = reader.vector(() => {
      const count = reader.u32();
      localCount += count;
      return { count, type: readValueType(reader) };
    });
    const code = reader.offset;
    this.#push(OP.block, BLOCK_EMPTY);
    this.#begin(true);
    if (this.#block) this.#block.cost += localCount >> LOCALS_SHIFT;
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
      end: reader.end,
      paramCount,
      localGroups,
      localCount,
      hasLoop: this.#hasLoop,
      cost,
      merges: this.#targets * (paramCount + localCount),
      frameBytes: FRAME_BYTES + VALUE_BYTES * (2 * paramCount + localCount + this.#heightMax),
    };
  }

  #add(kind: EventKind, at: number): MeterEvent {
    const weight = 8 ** Math.min(this.#loopDepth, 6);
    const event: MeterEvent = {
      ...{ kind, at, cost: 0, check: false, block: undefined, follows: false },
      ...{ callee: 0, calleeType: 0, next: at, weight },
    };
    this.#events.push(event);
    return event;
  }

  /** A block begins here; what `before` is, MeterEvent.block says. */
  #begin(check: boolean, before?: MeterEvent, follows = false): void {
    this.#block = this.#add("charge", this.#reader.offset);
    this.#block.check = check;
    this.#block.block = before;
    this.#block.follows = follows;
  }

  #push(op: number, blockType: number): void {
    if (this.#frames.length >= NESTING_MAX) {
      const state = `more than ${NESTING_MAX} nested blocks`;
      throw new PluginImageError("limit", this.#reader.where, state);
    }
    const dead = this.#frames.length > 0 && this.#block === undefined;
    const type = this.#module.types[blockType];
    const height = this.#height;
    const results = type?.results.length ?? (blockType === BLOCK_EMPTY ? 0 : 1);
    const endHeight = height - (type?.params.length ?? 0) + results;
    this.#frames.push({
      op,
      height,
      endHeight,
      ...{ targeted: false, reach: this.#frames.length, dead, sawElse: false, thenAlive: false },
      before: this.#block,
    });
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
    if (this.#block !== undefined) this.#grow(stackEffect(op, instruction.index));
    if (op === OP.block || op === OP.loop || op === OP.if) {
      this.#push(op, instruction.index);
      if (this.#block === undefined || op === OP.block) return;
      this.#block.cost += op === OP.if ? 1 : 0;
      this.#hasLoop ||= op === OP.loop;
      if (op === OP.if) {
        this.#begin(false, this.#block);
      } else {
        this.#begin(true);
        this.#block.cost += LOOP_COST;
      }
      return;
    }
    if (this.#block === undefined) return;
    this.#block.cost += instructionCost(op, instruction.index);
    if (op >= OP.br && op <= OP.return) this.#branch(instruction, at);
    else if (op === OP.unreachable) this.#block = undefined;
    else if (op === OP.call || op === OP.callIndirect) this.#call(instruction, at);
    else if (op === OP.prefixFc) this.#bulk(instruction.index, at);
    else if (op === OP.memoryGrow) {
      this.#add("grow", at);
      this.#add("grown", this.#reader.offset);
    }
  }

  #grow(count: number): void {
    this.#height += count;
    if (this.#height > this.#heightMax) this.#heightMax = this.#height;
  }

  #else(): void {
    const frame = this.#frames.at(-1);
    if (frame === undefined) return;
    this.#height = frame.height;
    frame.sawElse = true;
    frame.thenAlive = this.#block !== undefined;
    this.#block = undefined;
    if (!frame.dead) this.#begin(false, frame.before);
  }

  #end(at: number): void {
    const frame = this.#frames.pop();
    if (frame === undefined) return;
    this.#height = frame.endHeight;
    if (frame.op === OP.loop) this.#loopDepth -= 1;
    if (this.#frames.length === 0) {
      if (this.#block !== undefined) this.#add("exit", at);
      return;
    }
    const outer = this.#frames.at(-1);
    if (outer && frame.reach < outer.reach) outer.reach = frame.reach;
    if (frame.dead) return;
    const alive =
      this.#block !== undefined ||
      (frame.targeted && frame.op !== OP.loop) ||
      (frame.op === OP.if && (!frame.sawElse || frame.thenAlive));
    if (!alive) return;
    if (frame.op === OP.block && !frame.targeted) return;
    // What is behind a loop runs once, whatever turns the last block in it runs in.
    this.#begin(false, frame.before, frame.reach >= this.#frames.length);
  }

  #branch(instruction: Instruction, at: number): void {
    const { op, index, targets } = instruction;
    let exits = op === OP.return;
    let furthest = op === OP.return ? this.#frames.length - 1 : 0;
    const inner = this.#frames.at(-1);
    for (const depth of op === OP.brTable ? targets : op === OP.return ? [] : [index]) {
      const frame = this.#frames.at(-1 - depth);
      if (frame) frame.targeted = true;
      this.#targets += 1;
      exits ||= depth === this.#frames.length - 1;
      furthest = Math.max(furthest, depth);
    }
    const reach = this.#frames.length - 1 - furthest;
    if (inner && reach < inner.reach) inner.reach = reach;
    if (exits) this.#add("exit", at);
    const before = this.#block;
    this.#block = undefined;
    if (op === OP.brIf) this.#begin(false, before);
  }

  #call(instruction: Instruction, at: number): void {
    if (this.#block) this.#block.cost += CALL_COST;
    const event = this.#add("call", at);
    event.block = this.#block;
    const direct = instruction.op === OP.call;
    event.callee = direct ? instruction.index : -1;
    event.calleeType = direct ? 0 : instruction.index;
    const { types } = this.#module;
    const type = direct ? functionType(this.#module, event.callee) : types[event.calleeType];
    this.#grow(-(type?.params.length ?? 0) - (direct ? 0 : 1));
    this.#grow(type?.results.length ?? 0);
    event.next = this.#reader.offset;
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

/** Scans body number `index` of `module`. Throws PluginImageError. */
export function scanFunction(module: CoreModule, index: number): FunctionScan {
  const body = module.bodies[index] ?? { start: 0, end: 0 };
  const where = `function ${index + module.imports.length}`;
  const paramCount = functionType(module, index + module.imports.length)?.params.length ?? 0;
  const reader = new ByteReader(module.bytes, where, body.start, body.end);
  const scan = new Scanner(module, reader).run(paramCount);
  const locals = paramCount + scan.localCount;
  if (locals > LOCALS_MAX) {
    throw new PluginImageError("limit", where, `${locals} locals, limit ${LOCALS_MAX}`);
  }
  return scan;
}
