/** Live connections as rows: listed, forgotten with their pod, carried over to a new map. */
import type { Native } from "../native/index.ts";
import { decodeCt, encodeAddress } from "./abi.ts";
import { ADDRESS_BYTES } from "./address.ts";
import { readRows } from "./maps.ts";
import type { CtRow } from "./types.ts";

const ANY = 0;

export function listConnections(native: Native, ct: number): CtRow[] {
  const now = process.hrtime.bigint();
  return readRows(native, ct)
    .map(({ key, value }) => decodeCt(key, value, now))
    .filter((row) => row.expiresInSeconds > 0);
}

/** A pod's connections go with it: the next pod of that address must not inherit them. */
export function forgetConnections(native: Native, ct: number, addresses: readonly string[]): void {
  const gone = addresses.map((address) => Buffer.from(encodeAddress(address)));
  for (const { key } of readRows(native, ct)) {
    // struct tuple begins with both addresses.
    const source = key.subarray(0, ADDRESS_BYTES);
    const destination = key.subarray(ADDRESS_BYTES, 2 * ADDRESS_BYTES);
    if (gone.some((address) => address.equals(source) || address.equals(destination)))
      native.mapDelete(ct, key);
  }
}

/** What `to` knows already stays. */
export function copyConnections(native: Native, from: number, to: number): void {
  for (const { key, value } of readRows(native, from)) {
    if (!native.mapLookup(to, key, new Uint8Array(value.length)))
      native.mapUpdate(to, key, value, ANY);
  }
}
