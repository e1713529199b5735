/**
 * Runs the automata that the host makes of regular expressions: byte-wise, deterministic, full
 * match, so a match costs one step a byte whatever the expression. The table, little-endian:
 *
 *     0 "IDFA"   4 u16 version = 1   6 u16 states S   8 u16 classes C   10 u16 start state
 *     12 u8[256] byte → class   268 u8[⌈S/8⌉] accepting states   padding to an even offset
 *     then u16[S][C] next state; state 0 is dead
 */
import type { Memory } from "./memory.ts";

const MAGIC: i32 = 0x41464449;
const VERSION: i32 = 1;
const STATES_MAX: i32 = 4096;
const CLASSES_MAX: i32 = 256;
const CLASS_MAP: i32 = 12;
const ACCEPTING: i32 = 268;

/**
 * Whether `length` bytes at `table` are a whole automaton: sizes as the header says, every class
 * and next state within bounds. Check once, when rules are compiled; `automatonMatches` trusts it.
 */
export function automatonValid(memory: Memory, table: i32, length: i32): bool {
  if (length < ACCEPTING || memory.i32(table) !== MAGIC) return false;
  const states = memory.u16(table + 6);
  const classes = memory.u16(table + 8);
  if (memory.u16(table + 4) !== VERSION || states === 0 || states > STATES_MAX) return false;
  if (classes === 0 || classes > CLASSES_MAX || memory.u16(table + 10) >= states) return false;
  const rows = rowsOffset(states);
  if (length !== rows + states * classes * 2) return false;
  for (let byte = 0; byte < 256; byte++) {
    if (memory.u8(table + CLASS_MAP + byte) >= classes) return false;
  }
  for (let at = rows; at < length; at += 2) {
    if (memory.u16(table + at) >= states) return false;
  }
  return true;
}

/** Whether the automaton accepts the whole of `length` bytes at `bytes`. */
export function automatonMatches(memory: Memory, table: i32, bytes: i32, length: i32): bool {
  const classes = memory.u16(table + 8);
  const rows = table + rowsOffset(memory.u16(table + 6));
  const map = table + CLASS_MAP;
  let state = memory.u16(table + 10);
  for (let i = 0; i < length; i++) {
    const column = memory.u8(map + memory.u8(bytes + i));
    state = memory.u16(rows + (state * classes + column) * 2);
    if (state === 0) return false;
  }
  return ((memory.u8(table + ACCEPTING + (state >> 3)) >> (state & 7)) & 1) === 1;
}

function rowsOffset(states: i32): i32 {
  const end = ACCEPTING + ((states + 7) >> 3);
  return (end + 1) & -2;
}
