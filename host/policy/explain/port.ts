/**
 * Ports as a person writes them: `80`, `80/TCP`, `53/UDP`, `http`, `EchoRequest/ICMP`,
 * `128/ICMPv6`, `ESP`. Several stand between commas. A name is a port of the destination.
 */
import { PROTOCOL } from "../rule.ts";
import { icmpTypeNumber } from "../schema/icmp.ts";
import { ExplainInputError } from "./input-error.ts";
import { protocolName, protocolNumber, rangeText } from "./text.ts";
import type { TracedPort, TraceEnd } from "./types.ts";

const PORT_MAX = 0xffff;
const PORTS_MAX = 64;
const WITH_PORTS: ReadonlySet<number> = new Set([PROTOCOL.tcp, PROTOCOL.udp, PROTOCOL.sctp]);
const EXPECTED = "expected such as 80, 80/TCP, 53/UDP, http, EchoRequest/ICMP or ESP";

/** @throws ExplainInputError */
export function parsePorts(texts: readonly string[], named: TraceEnd["namedPorts"]): TracedPort[] {
  const parts = texts.flatMap((text) => text.split(",")).map((text) => text.trim());
  const ports = parts.flatMap((part) => parsePort(part, named));
  if (ports.length > PORTS_MAX) {
    throw new ExplainInputError(`Cannot trace ${ports.length} ports: at most ${PORTS_MAX} at once`);
  }
  return ports;
}

function parsePort(text: string, named: TraceEnd["namedPorts"]): TracedPort[] {
  const [port = "", protocolText, ...rest] = text.split("/");
  if (port === "" || rest.length > 0) throw unreadable(text);
  if (protocolText === undefined) {
    const alone = protocolNumber(port);
    if (alone !== undefined && alone !== 0 && !hasTypes(alone)) return [traced(alone, 0, port)];
    return numberOrName(port, [PROTOCOL.tcp], named, text);
  }
  const protocol = protocolNumber(protocolText);
  if (protocol === undefined) throw unreadable(text);
  if (protocol === PROTOCOL.any) return numberOrName(port, [...WITH_PORTS], named, text);
  if (protocol === PROTOCOL.icmp || protocol === PROTOCOL.icmpv6) {
    const family = protocol === PROTOCOL.icmp ? "IPv4" : "IPv6";
    const type = icmpTypeNumber(family, port);
    if (type === undefined) throw unreadable(text);
    return [traced(protocol, type << 8)];
  }
  if (!WITH_PORTS.has(protocol)) throw unreadable(text);
  return numberOrName(port, [protocol], named, text);
}

function hasTypes(protocol: number): boolean {
  return WITH_PORTS.has(protocol) || protocol === PROTOCOL.icmp || protocol === PROTOCOL.icmpv6;
}

function numberOrName(
  port: string,
  protocols: readonly number[],
  named: TraceEnd["namedPorts"],
  text: string,
): TracedPort[] {
  if (/^\d+$/.test(port)) {
    const number = Number(port);
    if (number > PORT_MAX) throw unreadable(text);
    return protocols.map((protocol) => traced(protocol, number));
  }
  const found = named.filter(
    (one) => one.name.toLowerCase() === port.toLowerCase() && protocols.includes(one.protocol),
  );
  const distinct = new Map(found.map((one) => [`${one.protocol} ${one.port}`, one]));
  if (distinct.size === 0) {
    const protocol = protocols.map(protocolName).join(", ");
    throw new ExplainInputError(
      `Cannot find port "${port}" (${protocol}): the destination names no such port`,
    );
  }
  return [...distinct.values()].map((one) => ({
    ...traced(one.protocol, one.port),
    text: `${rangeText(one.protocol, one.port, one.port)} (${one.name})`,
  }));
}

function traced(protocol: number, port: number, text?: string): TracedPort {
  const known = text === undefined ? rangeText(protocol, port, port) : protocolName(protocol);
  return { protocol, port, text: known };
}

function unreadable(text: string): ExplainInputError {
  return new ExplainInputError(`Cannot read port "${text}": ${EXPECTED}`);
}
