/**
 * The L4 part of a policy map key as one number: protocol and a masked port prefix. Keys are nested
 * or disjoint, never overlapping otherwise, which the whole resolver rests on.
 */
import { PROTOCOL } from "../rule.ts";

/** Opaque; equal for equal (protocol, port, prefix). */
export type PortKey = number;

export interface PortKeyParts {
  protocol: number;
  /** Host order, masked to `prefix` bits. */
  port: number;
  /** 0 is all ports, 16 one. */
  prefix: number;
}

export const PORT_BITS = 16;
const PORTS = 1 << PORT_BITS;
const PREFIXES = 32;

/** Every protocol and port. */
export const ALL_PORTS: PortKey = 0;

export function portKey(protocol: number, port: number, prefix: number): PortKey {
  if (protocol === PROTOCOL.any) return ALL_PORTS;
  return (protocol * PREFIXES + prefix) * PORTS + port;
}

export function portKeyParts(key: PortKey): PortKeyParts {
  const rest = Math.floor(key / PORTS);
  return { protocol: Math.floor(rest / PREFIXES), port: key % PORTS, prefix: rest % PREFIXES };
}

/** Bits of protocol and port that count: 0, 8 or 8 + prefix, as in `l4_prefixlen` of the map. */
export function portKeyBits(key: PortKey): number {
  const { protocol, prefix } = portKeyParts(key);
  return protocol === PROTOCOL.any ? 0 : 8 + prefix;
}

/** The key itself, then every broader one up to `ALL_PORTS`. */
export function selfAndBroader(key: PortKey): PortKey[] {
  const keys: PortKey[] = [];
  const { protocol, port, prefix } = portKeyParts(key);
  if (protocol !== PROTOCOL.any) {
    for (let bits = prefix; bits >= 0; bits--) {
      const mask = (PORTS - 1) & ~((1 << (PORT_BITS - bits)) - 1);
      keys.push(portKey(protocol, port & mask, bits));
    }
  }
  keys.push(ALL_PORTS);
  return keys;
}

/** The fewest keys that cover the ports `first` to `last` (inclusive) and no other. */
export function portRangeKeys(protocol: number, first: number, last: number): PortKey[] {
  const keys: PortKey[] = [];
  let port = first;
  while (port <= last) {
    let hostBits = port === 0 ? PORT_BITS : Math.min(PORT_BITS, 31 - Math.clz32(port & -port));
    while (port + (1 << hostBits) - 1 > last) hostBits--;
    keys.push(portKey(protocol, port, PORT_BITS - hostBits));
    port += 1 << hostBits;
  }
  return keys;
}
