/**
 * What instructions cost beside the one unit of each. A unit stands for about a nanosecond of the
 * slowest tier, because a loop that never ends is never compiled better than that; so what takes
 * the machine longer, or is a call into the engine, costs what it takes. Measured.
 */
import { FC, OP } from "./opcodes.ts";

/** Inclusive ranges of one-byte instructions with their units. */
const SLOW: readonly [first: number, last: number, units: number][] = [
  // table.get, table.set: write barriers, dispatch tables.
  [0x25, 0x25, 16],
  [0x26, 0x26, 48],
  // i32 and i64: div_s, div_u, rem_s, rem_u.
  [0x6d, 0x70, 20],
  [0x7f, 0x82, 20],
  // f32 and f64: ceil to nearest, sqrt; div.
  [0x8d, 0x90, 4],
  [0x91, 0x91, 24],
  [0x95, 0x95, 16],
  [0x9b, 0x9e, 4],
  [0x9f, 0x9f, 24],
  [0xa3, 0xa3, 16],
  // Between integers and floats.
  [0xa8, 0xab, 16],
  [0xae, 0xb1, 16],
  [0xb2, 0xb5, 8],
  [0xb7, 0xba, 8],
];

const SLOW_UNITS = new Uint8Array(256);
for (const [first, last, units] of SLOW) SLOW_UNITS.fill(units, first, last + 1);
SLOW_UNITS[OP.callIndirect] = 14;
SLOW_UNITS[OP.refFunc] = 64;
SLOW_UNITS[OP.memoryGrow] = 255;

/** Units of `op` (behind 0xfc: of `sub`) beside the one of every instruction. */
export function extraCost(op: number, sub: number): number {
  if (op !== OP.prefixFc) return SLOW_UNITS[op] ?? 0;
  // Saturating conversions.
  if (sub < FC.memoryInit) return 16;
  if (sub === FC.memoryInit || sub === FC.memoryCopy || sub === FC.memoryFill) return 12;
  if (sub === FC.tableInit) return 160;
  return 96;
}
