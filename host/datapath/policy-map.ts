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
/** POLICY_ENTRIES of bpf/lib/policy.h; Cilium's bound. */
export const POLICY_ENTRIES_MAX = 16_384;

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

/** The same, filled in another thread; the bytes must not change before it has settled. */
export async function replacePolicy(
  native: Native,
  policies: number,
  endpoint: number,
  rows: PolicyRows,
): Promise<void> {
  const inner = createPolicyMap(native, rows);
  try {
    await native.mapFill(inner, rows.keys, rows.values, rows.count);
    native.mapUpdate(policies, encodeNumber(endpoint), encodeNumber(inner), ANY);
  } finally {
    native.closeFd(inner);
  }
}

/**
 * Row by row in the map in force. Throws when the endpoint has none, or when the map is full; the
 * rows up to there are changed then.
 */
export function changePolicy(
  native: Native,
  policies: number,
  endpoint: number,
  { upserts, deletes }: PolicyChange,
): void {
  const id = new Uint8Array(4);
  if (!native.mapLookup(policies, encodeNumber(endpoint), id))
    throw new DatapathError("no-policy", `Cannot change policy: endpoint ${endpoint} has none`);
  const inner = native.mapById(decodeNumber(id));
  try {
    if (upserts.count > 0)
      native.mapUpdateBatch(inner, upserts.keys, upserts.values, upserts.count);
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
