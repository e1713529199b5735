/**
 * Writes policy maps in bulk: filled in another thread, many put in place at once, or changed in
 * place. What an entry looks like is policy-rows.ts, one whole map policy-map.ts.
 */
import { type InnerChange, isNativeError, type Native } from "../native/index.ts";
import { encodeNumber } from "./abi.ts";
import { DatapathError } from "./errors.ts";
import { createPolicyMap } from "./policy-map.ts";
import type { PolicyChange, PolicyRows } from "./policy-rows.ts";

/** So many rows take less time than handing them to another thread. */
const ROWS_AT_ONCE_MAX = 256;

/** A map that is whole but not in force. */
export interface FilledPolicy {
  map: number;
}

export interface PolicyPlacement {
  endpoint: number;
  filled: FilledPolicy;
}

/**
 * A map with these rows that nothing reads yet, to be given to `placePolicies`. Filled in another
 * thread; the bytes must not change before it has settled.
 */
export async function fillPolicy(
  native: Native,
  rows: PolicyRows,
  entriesMax?: number,
): Promise<FilledPolicy> {
  const map = createPolicyMap(native, rows.count, entriesMax);
  try {
    await native.mapFill(map, rows.keys, rows.values, rows.count);
    return { map };
  } catch (error) {
    native.closeFd(map);
    throw error;
  }
}

/**
 * Puts filled maps in the place of those in force, whichever way it ends they are used up. All at
 * once: each time an outer map is written, the kernel waits until no program uses what was there.
 */
export async function placePolicies(
  native: Native,
  policies: number,
  placements: readonly PolicyPlacement[],
): Promise<void> {
  const endpoints = Uint32Array.from(placements, ({ endpoint }) => endpoint);
  const maps = Uint32Array.from(placements, ({ filled }) => filled.map);
  const bytes = ({ buffer }: Uint32Array): Uint8Array => new Uint8Array(buffer);
  try {
    await native.mapFill(policies, bytes(endpoints), bytes(maps), placements.length);
  } finally {
    for (const map of maps) native.closeFd(map);
  }
}

/**
 * Row by row in the map in force; many rows in another thread, so their bytes must not change
 * before it has settled. Throws when the endpoint has no map, or when it is full; the rows up to
 * there are changed then.
 */
export async function changePolicy(
  native: Native,
  policies: number,
  endpoint: number,
  { upserts, deletes }: PolicyChange,
): Promise<void> {
  const change: InnerChange = [
    ...([policies, encodeNumber(endpoint)] as const),
    ...([upserts.keys, upserts.values, upserts.count] as const),
    ...([deletes.keys, deletes.count] as const),
  ];
  try {
    if (upserts.count + deletes.count > ROWS_AT_ONCE_MAX) {
      await native.innerMapChangeLater(...change);
    } else native.innerMapChange(...change);
  } catch (error) {
    if (!isNativeError(error, "ENOENT")) throw error;
    throw new DatapathError("no-policy", `Cannot change policy: endpoint ${endpoint} has none`);
  }
}
