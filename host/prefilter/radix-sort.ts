/** Sorts a million prefixes in a fraction of a second: by 16-bit digits, the least one first. */

const DIGITS = 1 << 16;

/**
 * The order in which rows of `width` words (most significant first), then `bits`, ascend. Rows that
 * are equal keep their order.
 */
export function sortedOrder(words: Uint32Array, width: number, bits: Uint8Array): Uint32Array {
  let order = Uint32Array.from(bits, (_, at) => at);
  let spare = new Uint32Array(bits.length);
  const pass = (digitOf: (row: number) => number): void => {
    if (!scatter(order, spare, digitOf)) return;
    [order, spare] = [spare, order];
  };
  pass((row) => bits[row] ?? 0);
  for (let word = width - 1; word >= 0; word--) {
    pass((row) => (words[row * width + word] ?? 0) & 0xffff);
    pass((row) => (words[row * width + word] ?? 0) >>> 16);
  }
  return order;
}

/** False: all rows have the same digit, and nothing was written. */
function scatter(from: Uint32Array, to: Uint32Array, digitOf: (row: number) => number): boolean {
  const starts = new Uint32Array(DIGITS + 1);
  for (const row of from) {
    const next = digitOf(row) + 1;
    starts[next] = (starts[next] ?? 0) + 1;
  }
  if (starts.includes(from.length)) return false;
  for (let digit = 1; digit <= DIGITS; digit++) {
    starts[digit] = (starts[digit] ?? 0) + (starts[digit - 1] ?? 0);
  }
  for (const row of from) {
    const digit = digitOf(row);
    const at = starts[digit] ?? 0;
    to[at] = row;
    starts[digit] = at + 1;
  }
  return true;
}
