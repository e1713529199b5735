/** One endpoint's policy map: an empty one, and what one in force holds. */
import type { Native } from "../native/index.ts";
import { decodeMatch, decodeNumber, decodePolicy, encodeNumber, encodePolicyKey } from "./abi.ts";
import { LAYOUT } from "./layout.ts";
import { readRows } from "./maps.ts";
import type { PolicyMapEntry, PolicyQuestion } from "./types.ts";

const MAP_LPM_TRIE = 11;
const BPF_F_NO_PREALLOC = 1;
const PROTOCOL_BITS = 8;
const PORT_BITS = 16;
/** Unless the node chooses another bound: POLICY_ENTRIES of bpf/lib/policy.h, as Cilium's. */
export const POLICY_ENTRIES_MAX = 16_384;
/** What a node may choose, as with Cilium. */
export const POLICY_ENTRIES_CHOICE = { min: 256, max: 65_536 } as const;

/** An empty map that is going to hold so many rows; the caller closes it. */
export function createPolicyMap(
  native: Native,
  rows: number,
  entriesMax = POLICY_ENTRIES_MAX,
): number {
  if (rows > entriesMax)
    throw new RangeError(`Cannot write policy: ${rows} entries, the map holds ${entriesMax}`);
  const { policy_key: key, policy_value: value } = LAYOUT;
  return native.mapCreate(
    MAP_LPM_TRIE,
    "policy",
    key.size,
    value.size,
    entriesMax,
    BPF_F_NO_PREALLOC,
  );
}

/**
 * The entry that decides, found as bpf/lib/policy.h finds it: the longest match for the peer and
 * the longest for anybody; of the two the higher precedence, then the longer prefix, then the
 * peer's.
 */
export function findPolicy(
  native: Native,
  policies: number,
  endpoint: number,
  question: PolicyQuestion,
): PolicyMapEntry | undefined {
  return withPolicy<PolicyMapEntry | undefined>(native, policies, endpoint, undefined, (inner) => {
    const specific = longestMatch(native, inner, question);
    const wildcard = longestMatch(native, inner, { ...question, identity: 0 });
    if (specific === undefined || wildcard === undefined) return specific ?? wildcard;
    if (wildcard.precedence !== specific.precedence)
      return wildcard.precedence > specific.precedence ? wildcard : specific;
    return l4Bits(wildcard) > l4Bits(specific) ? wildcard : specific;
  });
}

const l4Bits = ({ protocol, portPrefix }: PolicyMapEntry): number =>
  protocol === 0 ? 0 : PROTOCOL_BITS + portPrefix;

function longestMatch(
  native: Native,
  inner: number,
  { identity, direction, protocol, port }: PolicyQuestion,
): PolicyMapEntry | undefined {
  const key = new Uint8Array(LAYOUT.policy_key.size);
  const value = new Uint8Array(LAYOUT.policy_value.size);
  encodePolicyKey(key, {
    ...{ identity, direction, protocol, port: port ?? 0 },
    portPrefix: port === undefined ? 0 : PORT_BITS,
  });
  if (!native.mapLookup(inner, key, value)) return undefined;
  return decodeMatch(key, value);
}

/** Empty when the endpoint has no policy (which drops everything) or an empty one. */
export function readPolicy(native: Native, policies: number, endpoint: number): PolicyMapEntry[] {
  return withPolicy<PolicyMapEntry[]>(native, policies, endpoint, [], (inner) =>
    readRows(native, inner).map(({ key, value }) => decodePolicy(key, value)),
  );
}

/** `none` when the endpoint has no policy map. */
function withPolicy<T>(
  native: Native,
  policies: number,
  endpoint: number,
  none: T,
  use: (inner: number) => T,
): T {
  const id = new Uint8Array(4);
  if (!native.mapLookup(policies, encodeNumber(endpoint), id)) return none;
  const inner = native.mapById(decodeNumber(id));
  try {
    return use(inner);
  } finally {
    native.closeFd(inner);
  }
}
