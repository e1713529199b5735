/**
 * Text protocols byte by byte: lines, delimiters, comparison without case, decimal and hexadecimal
 * numbers. Everything works on ranges of addresses and never reads outside them.
 */
import type { Memory } from "./memory.ts";

/** A number that is not there, not a number, or beyond 2^53. */
export const NOT_A_NUMBER: f64 = -1;

/** Digits a number may have, so that it stays exact in a double. */
const DECIMAL_DIGITS_MAX: i32 = 15;
const HEX_DIGITS_MAX: i32 = 13;

/** The byte in lower case, if it is an ASCII letter. */
export function lower(byte: i32): i32 {
  return byte >= 65 && byte <= 90 ? byte + 32 : byte;
}

/** Whether two ranges are the same but for the case of ASCII letters (RFC 9110, 5.1). */
export function equalIgnoringCase(memory: Memory, a: i32, b: i32, length: i32): bool {
  for (let i = 0; i < length; i++) {
    const x = memory.u8(a + i);
    const y = memory.u8(b + i);
    if (x !== y && lower(x) !== lower(y)) return false;
  }
  return true;
}

/**
 * Address of the first CR LF in a range; `end` when there is none (also when it stops at the CR).
 */
export function findCrlf(memory: Memory, from: i32, end: i32): i32 {
  let at = from;
  while (at < end) {
    at = memory.find(at, end, 13);
    if (at + 1 >= end) return end;
    if (memory.u8(at + 1) === 10) return at;
    at++;
  }
  return end;
}

/** Whether all bytes are printable ASCII (32..126): what rules may be asked about. */
export function printable(memory: Memory, at: i32, length: i32): bool {
  const end = at + length;
  if (memory.findControl(at, end) !== end) return false;
  for (let i = at; i < end; i++) {
    if (memory.u8(i) > 126) return false;
  }
  return true;
}

/** Address of the first space in a range; `end` when there is none. */
export function findSpace(memory: Memory, from: i32, end: i32): i32 {
  return memory.find(from, end, 32);
}

/** Value of a hexadecimal digit, -1 for any other byte. */
export function hexDigit(byte: i32): i32 {
  if (byte >= 48 && byte <= 57) return byte - 48;
  const letter = byte | 32;
  return letter >= 97 && letter <= 102 ? letter - 87 : -1;
}

/** Reads digits only (no sign, no space), at most 15 of them; else NOT_A_NUMBER. */
export function decimal(memory: Memory, at: i32, length: i32): f64 {
  if (length < 1 || length > DECIMAL_DIGITS_MAX) return NOT_A_NUMBER;
  let value: f64 = 0;
  for (let i = 0; i < length; i++) {
    const digit = memory.u8(at + i) - 48;
    if (digit < 0 || digit > 9) return NOT_A_NUMBER;
    value = value * 10 + (digit as f64);
  }
  return value;
}

/** Reads hexadecimal digits only, at most 13 of them; else NOT_A_NUMBER. */
export function hexadecimal(memory: Memory, at: i32, length: i32): f64 {
  if (length < 1 || length > HEX_DIGITS_MAX) return NOT_A_NUMBER;
  let value: f64 = 0;
  for (let i = 0; i < length; i++) {
    const digit = hexDigit(memory.u8(at + i));
    if (digit < 0) return NOT_A_NUMBER;
    value = value * 16 + (digit as f64);
  }
  return value;
}
