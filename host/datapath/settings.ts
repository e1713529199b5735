/** The row of settings that every program reads, and the epoch in it. */
import type { Native } from "../native/index.ts";
import {
  type ConfigRow,
  type CtTimeouts,
  decodeConfig,
  encodeConfig,
  encodeNumber,
} from "./abi.ts";
import { LAYOUT } from "./layout.ts";
import { readNumberRow } from "./maps.ts";

const ROW = 0;
const ANY = 0;

/** Cilium's defaults, in seconds. */
export const CT_TIMEOUTS: CtTimeouts = { tcp: 8000, tcpOpening: 60, tcpClosing: 10, other: 60 };

const IDENTITY_WORLD = 2;

/** What a node may choose. */
export interface SettingsOptions {
  /** Identity of an address that the ipcache does not list. */
  worldIpv4?: number;
  worldIpv6?: number;
  /** One trace event per packet, not per change of a connection. */
  traceEstablished?: boolean;
  /** Audit mode for every endpoint and the node: L3/L4 denials pass and are told as audited. */
  policyAuditMode?: boolean;
  /**
   * Track the node's own connections from the start, so that the answers of those that are open
   * pass when the node is given a policy. Without it they are tracked from the first policy on.
   */
  hostFirewall?: boolean;
  /** The node reaches its own pods only as their policies say, not unless they deny it. */
  hostByPolicy?: boolean;
  /** Pods are told by ICMP of what their own egress policy denies; else it goes in silence. */
  denyByIcmp?: boolean;
  /** ICMPv4 "fragmentation needed" passes every policy. Default true. */
  fragNeeded?: boolean;
  /** Others than CT_TIMEOUTS, in seconds. */
  ctTimeouts?: Partial<CtTimeouts>;
}

/** A node's policy outlives the agent, so its tracking does too. Audit mode of single ones ends. */
export function settingsFor(options: SettingsOptions, before: ConfigRow): Omit<ConfigRow, "epoch"> {
  return {
    worldIpv4: options.worldIpv4 ?? IDENTITY_WORLD,
    worldIpv6: options.worldIpv6 ?? IDENTITY_WORLD,
    traceEstablished: options.traceEstablished ?? false,
    audit: options.policyAuditMode ?? false,
    host: before.host || options.hostFirewall === true,
    hostAudit: false,
    hostByPolicy: options.hostByPolicy ?? false,
    denyByIcmp: options.denyByIcmp ?? false,
    fragNeeded: options.fragNeeded ?? true,
    ctTimeouts: { ...CT_TIMEOUTS, ...options.ctTimeouts },
  };
}

const following = (epoch: number): number => (epoch + 1) >>> 0;

export function readSettings(native: Native, map: number): ConfigRow {
  return decodeConfig(readNumberRow(native, map, ROW) ?? new Uint8Array(LAYOUT.config.size));
}

function write(native: Native, map: number, row: ConfigRow): void {
  native.mapUpdate(map, encodeNumber(ROW), encodeConfig(row), ANY);
}

/** A fresh map starts at the time, so that no connection of an older one agrees by chance. */
export function writeSettings(native: Native, map: number, row: Omit<ConfigRow, "epoch">): void {
  const { epoch } = readSettings(native, map);
  const first = Math.floor(Date.now() / 1000) >>> 0;
  write(native, map, { ...row, epoch: epoch === 0 ? first : following(epoch) });
}

/** From here on every live connection is checked again at its next packet. */
export function changeSettings(
  native: Native,
  map: number,
  change: Partial<Omit<ConfigRow, "epoch">>,
): void {
  const row = readSettings(native, map);
  write(native, map, { ...row, ...change, epoch: following(row.epoch) });
}

/** As `changeSettings`, with nothing changed. */
export function raiseEpoch(native: Native, map: number): void {
  changeSettings(native, map, {});
}
