/** The row of settings that every program reads, and the epoch in it. */
import type { Native } from "../native/index.ts";
import { type ConfigRow, decodeConfig, encodeConfig, encodeNumber, LAYOUT } from "./abi.ts";
import { readNumberRow } from "./maps.ts";

const ROW = 0;
const ANY = 0;

const following = (epoch: number): number => (epoch + 1) >>> 0;

function read(native: Native, map: number): ConfigRow {
  return decodeConfig(readNumberRow(native, map, ROW) ?? new Uint8Array(LAYOUT.config.size));
}

function write(native: Native, map: number, row: ConfigRow): void {
  native.mapUpdate(map, encodeNumber(ROW), encodeConfig(row), ANY);
}

/** A fresh map starts at the time, so that no connection of an older one agrees by chance. */
export function writeSettings(native: Native, map: number, row: Omit<ConfigRow, "epoch">): void {
  const { epoch } = read(native, map);
  const first = Math.floor(Date.now() / 1000) >>> 0;
  write(native, map, { ...row, epoch: epoch === 0 ? first : following(epoch) });
}

/** From here on every live connection is checked again at its next packet. */
export function raiseEpoch(native: Native, map: number): void {
  const row = read(native, map);
  write(native, map, { ...row, epoch: following(row.epoch) });
}
