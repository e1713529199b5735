/** Policies of a few entries for tests: packed as the agent packs them, or put in place at once. */
import type { Native } from "../../native/index.ts";
import { encodeNumber } from "../abi.ts";
import { createPolicyMap } from "../policy-map.ts";
import { type PolicyRows, RowPacker, RowTemplate } from "../policy-rows.ts";
import type { PolicyMapEntry } from "../types.ts";

const ANY = 0;

export function packPolicy(entries: readonly PolicyMapEntry[]): PolicyRows {
  const packer = new RowPacker(entries.length);
  for (const one of entries) packer.addAll(one.identity, new RowTemplate([one]));
  return packer.rows();
}

/** Without waiting for another thread, as the agent does: for whoever has nothing but the maps. */
export function writePolicy(
  native: Native,
  policies: number,
  endpoint: number,
  entries: readonly PolicyMapEntry[],
): void {
  const { keys, values, count } = packPolicy(entries);
  const inner = createPolicyMap(native, count);
  try {
    if (count > 0) native.mapUpdateBatch(inner, keys, values, count);
    native.mapUpdate(policies, encodeNumber(endpoint), encodeNumber(inner), ANY);
  } finally {
    native.closeFd(inner);
  }
}
