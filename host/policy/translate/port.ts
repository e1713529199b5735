/** Ports, protocols and ICMP types to port matches. Semantics: policy-semantics.md 1.4, 1.6. */
import { type PortMatch, PROTOCOL } from "../rule.ts";
import { type IcmpRule, icmpTypeNumber } from "../schema/icmp.ts";
import { type PortProtocol, type ProtocolName, parsePortNumber } from "../schema/port.ts";

/** Numbers of the Internet Protocol (IANA). `ANY` is never ICMP. */
const PROTOCOLS: Readonly<Record<ProtocolName, readonly number[]>> = {
  TCP: [PROTOCOL.tcp],
  UDP: [PROTOCOL.udp],
  SCTP: [PROTOCOL.sctp],
  ANY: [PROTOCOL.tcp, PROTOCOL.udp, PROTOCOL.sctp],
  IGMP: [2],
  IPIP: [4],
  IPV6: [41],
  GRE: [47],
  ESP: [50],
  AH: [51],
  VRRP: [112],
};

export const ALL_PORTS = { first: 0, last: 0xffff } as const;

/** Port 0 and no port are all ports; a name is looked up by the resolver. */
export function portMatches({
  port = "",
  endPort = 0,
  protocol = "ANY",
}: PortProtocol): PortMatch[] {
  const number = port === "" ? 0 : parsePortNumber(port);
  return PROTOCOLS[protocol].map((protocol) => {
    if (number === undefined) return { kind: "name", protocol, name: port.toLowerCase() };
    const range = number === 0 ? ALL_PORTS : { first: number, last: Math.max(number, endPort) };
    return { kind: "range", protocol, ...range };
  });
}

/** The type stands in the high byte of the port. */
export function icmpMatches(icmp: IcmpRule): PortMatch[] {
  return (icmp.fields ?? []).map(({ family = "IPv4", type }) => {
    const port = (icmpTypeNumber(family, type) ?? 0) << 8;
    const protocol = family === "IPv6" ? PROTOCOL.icmpv6 : PROTOCOL.icmp;
    return { kind: "range", protocol, first: port, last: port };
  });
}
