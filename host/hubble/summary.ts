/** The Summary texts of flows, as Hubble's servers build them and its clients print them. */
import { type HttpFacts, PROTOCOL } from "./flow-facts.ts";
import { icmpv4TypeName, icmpv6TypeName } from "./icmp-names.ts";

const NS_PER_MS = 1_000_000n;

/** Bits of TCP header byte 13, in the order they are printed. NS is not in that byte. */
const TCP_FLAG_NAMES: readonly (readonly [bit: number, name: string])[] = [
  [0x02, "SYN"],
  [0x10, "ACK"],
  [0x04, "RST"],
  [0x01, "FIN"],
  [0x08, "PSH"],
  [0x20, "URG"],
  [0x40, "ECE"],
  [0x80, "CWR"],
];

/** Of a packet; `icmp` is type << 8 | code. */
export function packetSummary(protocol: number, tcpFlags: number, icmp: number): string {
  switch (protocol) {
    case PROTOCOL.tcp: {
      const names = TCP_FLAG_NAMES.filter(([bit]) => (tcpFlags & bit) !== 0);
      return `TCP Flags: ${names.map(([, name]) => name).join(", ")}`;
    }
    case PROTOCOL.udp:
      return "UDP";
    case PROTOCOL.icmp:
      return `ICMPv4 ${icmpv4TypeName(icmp >> 8, icmp & 0xff)}`;
    case PROTOCOL.icmpv6:
      return `ICMPv6 ${icmpv6TypeName(icmp >> 8, icmp & 0xff)}`;
    case PROTOCOL.sctp:
      return "SCTP";
    case PROTOCOL.vrrp:
      return "VRRP";
    case PROTOCOL.igmp:
      return "IGMP";
    default:
      return "";
  }
}

export function httpSummary(http: HttpFacts, latencyNs: bigint, isResponse: boolean): string {
  const request = `${http.method} ${http.url}`;
  if (!isResponse) return `${http.protocol} ${request}`;
  return `${http.protocol} ${http.code} ${latencyNs / NS_PER_MS}ms (${request})`;
}

/**
 * A record in its plugin's own words (runtime/contract/manifest.ts, `summary`): `{field}` is that
 * field's value, a part in `[ ]` is left out when a field in it is missing.
 */
export function templateSummary(
  protocol: string,
  template: string,
  fields: Readonly<Record<string, string>>,
): string {
  const value = (name: string): string => (Object.hasOwn(fields, name) ? (fields[name] ?? "") : "");
  const fill = (text: string): string =>
    text.replaceAll(/\{([^{}]+)\}/g, (_all, name: string) => value(name));
  const isWhole = (part: string): boolean =>
    [...part.matchAll(/\{([^{}]+)\}/g)].every(([, name = ""]) => Object.hasOwn(fields, name));
  // One pass, so that nothing in a value is taken for a part of the template.
  const text = template.replaceAll(
    /\[([^[\]]*)\]|\{([^{}]+)\}/g,
    (_all, part: string | undefined, name: string | undefined) => {
      if (part === undefined) return value(name ?? "");
      return isWhole(part) ? fill(part) : "";
    },
  );
  return `${protocol} ${text}`;
}

/** Records without a Hubble message of their own; keys are sorted, as Go prints a map. */
export function genericSummary(protocol: string, fields: Readonly<Record<string, string>>): string {
  const pairs = Object.keys(fields)
    .sort()
    .map((key) => `${key}:${fields[key]}`);
  return `${protocol} Fields: map[${pairs.join(" ")}]`;
}
