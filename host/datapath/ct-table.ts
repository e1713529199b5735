/**
 * Live connections as rows: listed, looked up, swept of what has expired, forgotten with their pod,
 * carried over to a new map.
 */
import type { Native } from "../native/index.ts";
import { decodeCt, decodeTuple, encodeAddress, encodeTuple } from "./abi.ts";
import { ADDRESS_BYTES } from "./address.ts";
import { LAYOUT } from "./layout.ts";
import { readBatch, readRows } from "./maps.ts";
import type { CtCounts, CtRow, CtSweep, Tuple } from "./types.ts";

const ANY = 0;
const TCP = 6;
/** About a millisecond of work. */
const SWEEP_ENTRIES = 1024;

export function listConnections(native: Native, ct: number): CtRow[] {
  const now = process.hrtime.bigint();
  return readRows(native, ct)
    .map(({ key, value }) => decodeCt(key, value, now))
    .filter((row) => row.expiresInSeconds > 0);
}

/** Undefined also when the entry has expired. */
export function findConnection(native: Native, ct: number, tuple: Tuple): CtRow | undefined {
  const turned = {
    protocol: tuple.protocol,
    source: tuple.destination,
    destination: tuple.source,
    sourcePort: tuple.destinationPort,
    destinationPort: tuple.sourcePort,
  };
  const value = new Uint8Array(LAYOUT.ct_value.size);
  const keys = [tuple, turned].map(encodeTuple);
  const key = keys.find((one) => native.mapLookup(ct, one, value));
  if (key === undefined) return undefined;
  const row = decodeCt(key, value, process.hrtime.bigint());
  return row.expiresInSeconds > 0 ? row : undefined;
}

function isExpired(value: Uint8Array, now: bigint): boolean {
  const view = new DataView(value.buffer, value.byteOffset, value.byteLength);
  return view.getBigUint64(LAYOUT.ct_value.expires_ns, true) <= now;
}

function kindOf(key: Uint8Array): keyof CtCounts {
  const { protocol, source } = decodeTuple(key);
  const family = source.includes(":") ? "ipv6" : "ipv4";
  return protocol === TCP ? `${family}Tcp` : `${family}Other`;
}

export const noConnections = (): CtCounts => ({
  ipv4Tcp: 0,
  ipv4Other: 0,
  ipv6Tcp: 0,
  ipv6Other: 0,
});

/**
 * Programs never revive an expired entry, they replace it; so it is looked at once more right
 * before it goes, lest its replacement does.
 */
export function sweepConnections(native: Native, ct: number, from?: Uint8Array): CtSweep {
  const { rows, next } = readBatch(native, ct, from, SWEEP_ENTRIES);
  const now = process.hrtime.bigint();
  const sweep: CtSweep = { next, alive: noConnections(), deleted: noConnections() };
  for (const { key, value } of rows) {
    const expired = isExpired(value, now) && native.mapLookup(ct, key, value);
    const gone = expired && isExpired(value, now) && native.mapDelete(ct, key);
    sweep[gone ? "deleted" : "alive"][kindOf(key)] += 1;
  }
  return sweep;
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
