/**
 * The uuid of a flow, made from its time instead of being stored: times are distinct on a node,
 * and a random salt of 58 bits tells nodes and runs of the agent apart. Version 8 (RFC 9562,
 * section 5.8): the time in the first 64 usable bits, then the salt.
 */
import { randomBytes } from "node:crypto";

const SALT_BITS = 58n;
const SALT_MASK = (1n << SALT_BITS) - 1n;
const TIME_MASK = (1n << 64n) - 1n;
const VERSION = 8n;
const VARIANT = 2n;

export function newUuidSalt(): bigint {
  return randomBytes(8).readBigUInt64LE() & SALT_MASK;
}

export function flowUuid(time: bigint, salt: bigint): string {
  const bits = time & TIME_MASK;
  const high = ((bits >> 16n) << 16n) | (VERSION << 12n) | ((bits >> 4n) & 0xfffn);
  const low = (VARIANT << 62n) | ((bits & 0xfn) << SALT_BITS) | (salt & SALT_MASK);
  const hex = high.toString(16).padStart(16, "0") + low.toString(16).padStart(16, "0");
  const parts = [hex.slice(0, 8), hex.slice(8, 12), hex.slice(12, 16), hex.slice(16, 20)];
  return `${parts.join("-")}-${hex.slice(20)}`;
}
