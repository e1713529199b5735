/** The rows of local pods: one per interface, one per address. */
import type { Native } from "../native/index.ts";
import {
  decodeEndpoint,
  decodeNumber,
  encodeAddress,
  encodeEndpoint,
  encodeNumber,
} from "./abi.ts";
import { forgetConnections } from "./ct-table.ts";
import { LAYOUT } from "./layout.ts";
import { type PinnedMaps, readRows } from "./maps.ts";
import type { DatapathEndpoint } from "./types.ts";

/** `names`: ifindex → interface name, which the rows do not hold. */
export function listRows(
  native: Native,
  maps: PinnedMaps,
  names: ReadonlyMap<number, string> = new Map(),
): DatapathEndpoint[] {
  return readRows(native, maps.fd("interfaces")).map(({ key, value }) =>
    decodeEndpoint(value, names.get(decodeNumber(key)) ?? ""),
  );
}

/** Also removes the rows, and their connections, that the endpoint had before and has no more. */
export function putRows(native: Native, maps: PinnedMaps, endpoint: DatapathEndpoint): void {
  const row = encodeEndpoint(endpoint);
  const canonical = decodeEndpoint(row, endpoint.ifname);
  for (const old of listRows(native, maps).filter(({ id }) => id === endpoint.id)) {
    const kept = addressesOf(canonical);
    const stale = addressesOf(old).filter((address) => !kept.includes(address));
    if (old.ifindex !== endpoint.ifindex)
      native.mapDelete(maps.fd("interfaces"), encodeNumber(old.ifindex));
    removeAddresses(native, maps, endpoint.id, stale);
  }
  maps.put("interfaces", encodeNumber(endpoint.ifindex), row);
  for (const address of addressesOf(canonical)) maps.put("endpoints", encodeAddress(address), row);
}

/** Changes audit mode in every row of the endpoint; false: there are none. */
export function setAuditRows(
  native: Native,
  maps: PinnedMaps,
  id: number,
  audit: boolean,
): boolean {
  const rows = listRows(native, maps).filter((one) => one.id === id);
  for (const row of rows) putRows(native, maps, { ...row, audit });
  return rows.length > 0;
}

export function removeRows(native: Native, maps: PinnedMaps, id: number): void {
  for (const endpoint of listRows(native, maps).filter((one) => one.id === id)) {
    native.mapDelete(maps.fd("interfaces"), encodeNumber(endpoint.ifindex));
    removeAddresses(native, maps, id, addressesOf(endpoint));
  }
}

/** An address that another endpoint has taken over by now stays that one's. */
function removeAddresses(
  native: Native,
  maps: PinnedMaps,
  id: number,
  addresses: readonly string[],
): void {
  const row = new Uint8Array(LAYOUT.endpoint.size);
  const own = addresses.filter((address) => {
    const found = native.mapLookup(maps.fd("endpoints"), encodeAddress(address), row);
    return !found || decodeEndpoint(row, "").id === id;
  });
  for (const address of own) native.mapDelete(maps.fd("endpoints"), encodeAddress(address));
  if (own.length > 0) forgetConnections(native, maps.fd("ct"), own);
}

function addressesOf(endpoint: DatapathEndpoint): string[] {
  return [endpoint.ipv4, endpoint.ipv6].filter((address) => address !== undefined);
}
