/** One endpoint's policy: made whole, put in place in one step, changed in place, read back. */
import type { Native } from "../native/index.ts";
import { decodeNumber, decodePolicy, encodeNumber, LAYOUT } from "./abi.ts";
import { DatapathError } from "./errors.ts";
import { readRows } from "./maps.ts";
import { type PolicyChange, type PolicyRows, packEntries } from "./policy-rows.ts";
import type { PolicyMapEntry } from "./types.ts";

const MAP_LPM_TRIE = 11;
const BPF_F_NO_PREALLOC = 1;
const ANY = 0;
/** So many rows take less time than handing them to another thread. */
const ROWS_AT_ONCE_MAX = 256;
/** POLICY_ENTRIES of bpf/lib/policy.h; Cilium's bound. */
export const POLICY_ENTRIES_MAX = 16_384;

/** A map that is whole but not in force. */
export interface FilledPolicy {
  map: number;
}

export interface PolicyPlacement {
  endpoint: number;
  filled: FilledPolicy;
}

/** Replaces the policy of `endpoint` in the outer map `policies`: packets see all of it or none. */
export function writePolicy(
  native: Native,
  policies: number,
  endpoint: number,
  entries: readonly PolicyMapEntry[],
): void {
  const rows = packEntries(entries);
  const inner = createPolicyMap(native, rows);
  try {
    if (rows.count > 0) native.mapUpdateBatch(inner, rows.keys, rows.values, rows.count);
    native.mapUpdate(policies, encodeNumber(endpoint), encodeNumber(inner), ANY);
  } finally {
    native.closeFd(inner);
  }
}

/**
 * A map with these rows that nothing reads yet, to be given to `placePolicies`. Filled in another
 * thread; the bytes must not change before it has settled.
 */
export async function fillPolicy(native: Native, rows: PolicyRows): Promise<FilledPolicy> {
  const map = createPolicyMap(native, rows);
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
  const id = new Uint8Array(4);
  if (!native.mapLookup(policies, encodeNumber(endpoint), id))
    throw new DatapathError("no-policy", `Cannot change policy: endpoint ${endpoint} has none`);
  const inner = native.mapById(decodeNumber(id));
  try {
    const { keys, values, count } = upserts;
    if (count > ROWS_AT_ONCE_MAX) await native.mapFill(inner, keys, values, count);
    else if (count > 0) native.mapUpdateBatch(inner, keys, values, count);
    if (deletes.count > 0) native.mapDeleteBatch(inner, deletes.keys, deletes.count);
  } finally {
    native.closeFd(inner);
  }
}

function createPolicyMap(native: Native, { count }: PolicyRows): number {
  if (count > POLICY_ENTRIES_MAX)
    throw new RangeError(
      `Cannot write policy: ${count} entries, the map holds ${POLICY_ENTRIES_MAX}`,
    );
  const { policy_key: key, policy_value: value } = LAYOUT;
  return native.mapCreate(
    MAP_LPM_TRIE,
    "policy",
    key.size,
    value.size,
    POLICY_ENTRIES_MAX,
    BPF_F_NO_PREALLOC,
  );
}

/** Empty when the endpoint has no policy (which drops everything) or an empty one. */
export function readPolicy(native: Native, policies: number, endpoint: number): PolicyMapEntry[] {
  const id = new Uint8Array(4);
  if (!native.mapLookup(policies, encodeNumber(endpoint), id)) return [];
  const inner = native.mapById(decodeNumber(id));
  try {
    return readRows(native, inner).map(({ key, value }) => decodePolicy(key, value));
  } finally {
    native.closeFd(inner);
  }
}
