/**
 * Which core instructions a plugin may use and how their immediates are laid out: the MVP,
 * sign extension, saturating conversion, bulk memory, reference types and multi-value. Everything
 * else is refused by the name of its proposal. Source: WebAssembly core specification, 5.4.
 */
import type { ByteReader } from "./binary.ts";
import { PluginImageError } from "./errors.ts";

export const OP = {
  unreachable: 0x00,
  block: 0x02,
  loop: 0x03,
  if: 0x04,
  else: 0x05,
  end: 0x0b,
  br: 0x0c,
  brIf: 0x0d,
  brTable: 0x0e,
  return: 0x0f,
  call: 0x10,
  callIndirect: 0x11,
  drop: 0x1a,
  localGet: 0x20,
  localSet: 0x21,
  localTee: 0x22,
  globalGet: 0x23,
  globalSet: 0x24,
  memoryGrow: 0x40,
  i32Const: 0x41,
  i64Const: 0x42,
  i32Eq: 0x46,
  i32LtS: 0x48,
  i32LtU: 0x49,
  i32GtU: 0x4b,
  i64GtU: 0x56,
  i32Add: 0x6a,
  i32Sub: 0x6b,
  i32Mul: 0x6c,
  i32And: 0x71,
  i32Shl: 0x74,
  i32ShrU: 0x76,
  i64Add: 0x7c,
  i64Mul: 0x7e,
  i64Or: 0x84,
  i64Shl: 0x86,
  i32WrapI64: 0xa7,
  i64ExtendI32S: 0xac,
  i64ExtendI32U: 0xad,
  f64ConvertI64U: 0xba,
  refFunc: 0xd2,
  prefixFc: 0xfc,
} as const;

/** Sub-opcodes behind 0xfc. */
export const FC = {
  memoryInit: 8,
  memoryCopy: 10,
  memoryFill: 11,
  tableInit: 12,
  tableCopy: 14,
  tableGrow: 15,
  tableFill: 17,
} as const;

/** Targets of one br_table; a switch over all bytes and then some. */
export const BR_TABLE_TARGETS_MAX = 4096;

/** One instruction as the meter needs it; `index` is a label, function, type or sub-opcode. */
export interface Instruction {
  op: number;
  index: number;
  /** Of br_table: every label depth, the default last. */
  readonly targets: number[];
}

export function unsupported(reader: ByteReader, what: string): PluginImageError {
  return new PluginImageError("unsupported", `${reader.where}, byte ${reader.offset}`, what);
}

const VALUE_TYPES = new Map([
  [0x7f, "i32"],
  [0x7e, "i64"],
  [0x7d, "f32"],
  [0x7c, "f64"],
  [0x70, "funcref"],
  [0x6f, "externref"],
]);

export function readValueType(reader: ByteReader): number {
  const type = reader.u8();
  if (VALUE_TYPES.has(type)) return type;
  throw unsupported(reader, type === 0x7b ? "SIMD" : `value type 0x${type.toString(16)}`);
}

export function valueTypeName(type: number): string {
  return VALUE_TYPES.get(type) ?? "?";
}

/** Reads the next instruction into `into`. */
export function readInstruction(reader: ByteReader, into: Instruction): void {
  const op = reader.u8();
  into.op = op;
  into.index = 0;
  if (op >= 0x45 && op <= 0xc4) return;
  if (op >= 0x28 && op <= 0x3e) {
    readMemarg(reader);
    return;
  }
  if (op >= 0x20 && op <= 0x26) {
    into.index = reader.u32();
    return;
  }
  if (op < 0x20) {
    readControl(reader, into);
    return;
  }
  switch (op) {
    case 0x3f:
    case OP.memoryGrow:
      if (reader.u8() !== 0) throw unsupported(reader, "multiple memories");
      return;
    case OP.i32Const:
      reader.skipLeb(5);
      return;
    case OP.i64Const:
      reader.skipLeb(10);
      return;
    case 0x43:
      reader.skip(4);
      return;
    case 0x44:
      reader.skip(8);
      return;
    case 0xd0:
      readValueType(reader);
      return;
    case 0xd1:
      return;
    case OP.refFunc:
      into.index = reader.u32();
      return;
    case OP.prefixFc:
      readPrefixed(reader, into);
      return;
    default:
      throw unsupported(reader, refusedName(op));
  }
}

function readControl(reader: ByteReader, into: Instruction): void {
  switch (into.op) {
    case OP.unreachable:
    case 0x01:
    case OP.else:
    case OP.end:
    case OP.return:
    case OP.drop:
    case 0x1b:
      return;
    case OP.block:
    case OP.loop:
    case OP.if:
      into.index = reader.s33();
      return;
    case OP.br:
    case OP.brIf:
    case OP.call:
      into.index = reader.u32();
      return;
    case OP.brTable: {
      const count = reader.u32();
      if (count > BR_TABLE_TARGETS_MAX) {
        const state = `br_table with ${count} targets, limit ${BR_TABLE_TARGETS_MAX}`;
        throw new PluginImageError("limit", reader.where, state);
      }
      into.targets.length = 0;
      for (let index = 0; index <= count; index += 1) into.targets.push(reader.u32());
      return;
    }
    case OP.callIndirect:
      into.index = reader.u32();
      reader.u32();
      return;
    case 0x1c:
      reader.vector(() => readValueType(reader));
      return;
    default:
      throw unsupported(reader, refusedName(into.op));
  }
}

function readMemarg(reader: ByteReader): void {
  if (reader.u32() >= 0x40) throw unsupported(reader, "multiple memories");
  reader.u32();
}

function readPrefixed(reader: ByteReader, into: Instruction): void {
  const sub = reader.u32();
  into.index = sub;
  if (sub < 8 || sub === 9 || sub === 13) {
    if (sub >= 8) reader.u32();
  } else if (sub === FC.memoryFill) {
    reader.u32();
  } else if (sub === 8 || sub === 10 || sub === 12 || sub === 14) {
    reader.u32();
    reader.u32();
  } else if (sub <= FC.tableFill) {
    reader.u32();
  } else {
    throw unsupported(reader, `instruction 0xfc ${sub}`);
  }
}

function refusedName(op: number): string {
  if (op === 0x12 || op === 0x13) return "tail calls";
  if (op === 0x14 || op === 0x15 || op === 0xd3 || op === 0xd4) return "typed function references";
  if ((op >= 0x06 && op <= 0x0a) || op === 0x18 || op === 0x19 || op === 0x1f) return "exceptions";
  if (op === 0xfb) return "garbage collection";
  if (op === 0xfd) return "SIMD";
  if (op === 0xfe) return "threads";
  return `instruction 0x${op.toString(16)}`;
}

/** Inclusive ranges of numeric instructions that take two operands: each shortens the stack. */
const BINARY: readonly [number, number][] = [
  [0x46, 0x4f],
  [0x51, 0x66],
  [0x6a, 0x78],
  [0x7c, 0x8a],
  [0x92, 0x98],
  [0xa0, 0xa6],
];

/** What `op` adds to the height of the operand stack; calls and blocks are the caller's matter. */
export function stackEffect(op: number, sub: number): number {
  if (op >= 0x45 && op <= 0xc4)
    return BINARY.some(([low, high]) => op >= low && op <= high) ? -1 : 0;
  if (op >= 0x36 && op <= 0x3e) return -2;
  if (op >= 0x41 && op <= 0x44) return 1;
  switch (op) {
    case OP.localGet:
    case OP.globalGet:
    case 0x3f:
    case 0xd0:
    case OP.refFunc:
      return 1;
    case OP.if:
    case OP.brIf:
    case OP.brTable:
    case OP.drop:
    case OP.localSet:
    case OP.globalSet:
      return -1;
    case 0x1b:
    case 0x1c:
    case 0x26:
      return -2;
    case OP.prefixFc:
      if (sub < 8 || sub === 9 || sub === 13) return 0;
      if (sub === FC.tableGrow) return -1;
      return sub === 16 ? 1 : -3;
    default:
      return 0;
  }
}
