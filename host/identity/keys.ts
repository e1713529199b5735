/**
 * Where identities stand in a shared store: Cilium's layout, so that its tools read ours. The
 * master key of a number holds its labels and belongs to nobody; each node that uses the number has
 * a key of its own below the labels, which goes with the node's lease. A number may be freed when
 * no node has such a key.
 */
const BASE = "cilium/state/identities/v1";

export const ID_PREFIX = `${BASE}/id/`;
export const VALUE_PREFIX = `${BASE}/value/`;

export function idKey(id: number): string {
  return `${ID_PREFIX}${id}`;
}

/** The number of a master key; NaN when it is none. */
export function idOfKey(key: string): number {
  const text = key.slice(ID_PREFIX.length);
  return /^[1-9]\d{0,9}$/.test(text) ? Number(text) : Number.NaN;
}

/** Below it stand the nodes. A set's text ends in `;`, so none is the beginning of another's. */
export function valuePrefix(labels: string): string {
  return `${VALUE_PREFIX}${labels}/`;
}

export function valueKey(labels: string, node: string): string {
  return valuePrefix(labels) + node;
}

/** The labels of a node's key; undefined when it is none. */
export function labelsOfValueKey(key: string): string | undefined {
  const end = key.lastIndexOf(";/");
  return key.startsWith(VALUE_PREFIX) && end >= VALUE_PREFIX.length
    ? key.slice(VALUE_PREFIX.length, end + 1)
    : undefined;
}
