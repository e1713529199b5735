/**
 * TCP connections that others have opened into this network namespace, read from /proc/net/tcp and
 * tcp6: established ones at a port where somebody listens.
 */
import { closeSync, openSync, readSync } from "node:fs";
import type { OpenConnection } from "../enforce/open-connection.ts";

const TABLES = ["/proc/self/net/tcp", "/proc/self/net/tcp6"] as const;
/** Of each table; a line is 150 bytes. What stands behind is not looked at. */
const TABLE_BYTES_MAX = 16 << 20;
const READ_BYTES = 1 << 16;

const ESTABLISHED = "01";
const LISTEN = "0A";

export function openConnections(read: (path: string) => string = readTable): OpenConnection[] {
  const rows = TABLES.map(read).flatMap(parseTable);
  const listening = new Set(
    rows.filter(({ state }) => state === LISTEN).map(({ connection }) => connection.localPort),
  );
  return rows
    .filter(({ state, connection }) => state === ESTABLISHED && listening.has(connection.localPort))
    .map(({ connection }) => connection);
}

/** A kernel without IPv6 has no table for it. */
function readTable(path: string): string {
  let file: number;
  try {
    file = openSync(path, "r");
  } catch {
    return "";
  }
  try {
    const parts: Buffer[] = [];
    let total = 0;
    while (total < TABLE_BYTES_MAX) {
      const buffer = Buffer.alloc(READ_BYTES);
      const count = readSync(file, buffer);
      if (count === 0) break;
      parts.push(buffer.subarray(0, count));
      total += count;
    }
    return Buffer.concat(parts).toString("latin1");
  } finally {
    closeSync(file);
  }
}

interface Row {
  state: string;
  connection: OpenConnection;
}

function parseTable(text: string): Row[] {
  return text.split("\n").flatMap((line) => {
    const match =
      /^\s*\d+: ([0-9A-F]+):([0-9A-F]{4}) ([0-9A-F]+):([0-9A-F]{4}) ([0-9A-F]{2}) /.exec(line);
    if (match === null) return [];
    const [, local = "", localPort = "", peer = "", peerPort = "", state = ""] = match;
    return [
      {
        state,
        connection: {
          ...{ local: addressOf(local), localPort: Number.parseInt(localPort, 16) },
          ...{ peer: addressOf(peer), peerPort: Number.parseInt(peerPort, 16) },
        },
      },
    ];
  });
}

/** The kernel prints words of 32 bits in its own byte order; both our architectures are little. */
function addressOf(hex: string): string {
  const bytes = Buffer.from(hex, "hex");
  for (let at = 0; at < bytes.length; at += 4) bytes.subarray(at, at + 4).reverse();
  if (bytes.length === 4) return bytes.join(".");
  const groups = Array.from({ length: 8 }, (_, index) => bytes.readUInt16BE(index * 2));
  const isMapped = groups.slice(0, 5).every((group) => group === 0) && groups[5] === 0xffff;
  if (isMapped) return bytes.subarray(12).join(".");
  return new URL(`http://[${groups.map((group) => group.toString(16)).join(":")}]`).hostname.slice(
    1,
    -1,
  );
}
