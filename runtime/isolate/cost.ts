/**
 * What a unit of fuel buys: the price of every instruction, so that no code gets more than about a
 * nanosecond out of a unit, whatever it is made of. Most instructions cost one; more have those
 * that a hostile plugin could repeat to take longer: they wait for memory, divide, jump where the
 * processor cannot foresee, or run inside the engine. Measured by bench/plugin/hostile-code.ts.
 */
import { FC, OP } from "./opcodes.ts";

/** Units of a call beside its own instructions: the code it leads to may be in no cache. */
export const CALL_COST = 32;
/** Units of a turn of a loop beside its instructions: its check, and the engine's own. */
export const LOOP_COST = 4;
/** Units of a host import beside what its arguments add. */
export const IMPORT_COST = 192;
/** Units for each field of an emitted record, as a shift; counts above the mask are a fault. */
export const EMIT_FIELD_SHIFT = 3;
export const EMIT_COUNT_MASK = 0xffff;
/** Bytes a unit of `log` covers, as a shift: most of its lines are left out. */
export const LOG_BYTES_SHIFT = 3;
/** Units of a byte of `match`, as a shift: the host looks at each. Beyond 64 KiB it is a fault. */
export const MATCH_BYTE_SHIFT = 4;
export const MATCH_BYTES_MASK = 0x1_ffff;
/** Bytes a unit of memory.copy, fill and init moves, as a shift. */
export const BULK_SHIFT = 2;
/** Units of an element that a table instruction moves, as a shift: a call into the engine each. */
export const ELEMENT_SHIFT = 6;
/** A count above this fails whatever the table is (TABLE_ELEMENTS_MAX): not charged in full. */
export const ELEMENT_MASK = 0x7fff;
/** Units of a page of memory.grow, as a shift: the kernel clears it at its first use, 16 faults. */
export const PAGE_SHIFT = 16;
/** A delta above this fails whatever the limit (1,024 pages), so it is not charged in full. */
export const PAGE_MASK = 2047;

/** Locals that one unit clears, as a shift. */
export const LOCALS_SHIFT = 2;

/** More than one unit, by opcode. */
const COSTS: readonly [number, number][] = [
  [OP.brTable, 32],
  [OP.callIndirect, 20],
  [OP.memoryGrow, 255],
  // table.get makes a function's object at its first use, ref.func too.
  [0x25, 512],
  [0x26, 128],
  [OP.refFunc, 512],
  // Integer division, by width.
  ...range(0x6d, 0x70, 20),
  ...range(0x7f, 0x82, 20),
  // Square root, multiplication, division; with denormal numbers, processors take a detour.
  [0x91, 24],
  [0x94, 12],
  [0x95, 24],
  [0x9f, 24],
  // Between integers and floats.
  ...range(0xa8, 0xab, 8),
  ...range(0xae, 0xba, 8),
  [0xa2, 12],
  [0xa3, 24],
  // Memory may be far away, and several bytes may lie across two pages; of one byte it is less.
  ...range(0x28, 0x35, 24),
  ...range(0x36, 0x3e, 16),
  ...[0x2c, 0x2d, 0x30, 0x31, 0x3a, 0x3c].map((op): [number, number] => [op, 12]),
];

/** The same behind 0xfc, beside what the operands add. */
const PREFIXED_COSTS: readonly [number, number][] = [
  // Saturating conversions.
  ...range(0, 7, 16),
  [FC.memoryInit, 64],
  [9, 12],
  [FC.memoryCopy, 40],
  [FC.memoryFill, 40],
  [FC.tableInit, 256],
  [13, 12],
  [FC.tableCopy, 256],
  [FC.tableGrow, 2048],
  [FC.tableFill, 256],
];

const BY_OPCODE = table(COSTS);
const BY_SUB_OPCODE = table(PREFIXED_COSTS);

/** Units of one instruction; `sub` is what follows the prefix 0xfc. */
export function instructionCost(op: number, sub: number): number {
  return (op === OP.prefixFc ? BY_SUB_OPCODE[sub] : BY_OPCODE[op]) ?? 1;
}

function range(first: number, last: number, cost: number): [number, number][] {
  return Array.from({ length: last - first + 1 }, (_, index) => [first + index, cost]);
}

function table(costs: readonly [number, number][]): Uint16Array {
  const units = new Uint16Array(256).fill(1);
  for (const [op, cost] of costs) units[op] = cost;
  return units;
}
