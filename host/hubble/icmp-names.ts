/** Names of ICMP types and codes, in the spelling Hubble's summaries have (RFC 792, RFC 4443). */

interface TypeName {
  readonly name: string;
  /** By code; absent when the type has no codes. */
  readonly codes?: readonly string[];
}

const ICMPV4_TYPES: Readonly<Record<number, TypeName>> = {
  0: { name: "EchoReply" },
  3: {
    name: "DestinationUnreachable",
    codes: [
      "Net",
      "Host",
      "Protocol",
      "Port",
      "FragmentationNeeded",
      "SourceRoutingFailed",
      "NetUnknown",
      "HostUnknown",
      "SourceIsolated",
      "NetAdminProhibited",
      "HostAdminProhibited",
      "NetTOS",
      "HostTOS",
      "CommAdminProhibited",
      "HostPrecedence",
      "PrecedenceCutoff",
    ],
  },
  4: { name: "SourceQuench" },
  5: { name: "Redirect", codes: ["Net", "Host", "TOS+Net", "TOS+Host"] },
  8: { name: "EchoRequest" },
  9: { name: "RouterAdvertisement" },
  10: { name: "RouterSolicitation" },
  11: { name: "TimeExceeded", codes: ["TTLExceeded", "FragmentReassemblyTimeExceeded"] },
  12: { name: "ParameterProblem", codes: ["PointerIndicatesError", "MissingOption", "BadLength"] },
  13: { name: "TimestampRequest" },
  14: { name: "TimestampReply" },
  15: { name: "InfoRequest" },
  16: { name: "InfoReply" },
  17: { name: "AddressMaskRequest" },
  18: { name: "AddressMaskReply" },
};

const ICMPV6_TYPES: Readonly<Record<number, TypeName>> = {
  1: {
    name: "DestinationUnreachable",
    codes: [
      "NoRouteToDst",
      "AdminProhibited",
      "BeyondScopeOfSrc",
      "AddressUnreachable",
      "PortUnreachable",
      "SrcAddressFailedPolicy",
      "RejectRouteToDst",
    ],
  },
  2: { name: "PacketTooBig" },
  3: { name: "TimeExceeded", codes: ["HopLimitExceeded", "FragmentReassemblyTimeExceeded"] },
  4: {
    name: "ParameterProblem",
    codes: ["ErroneousHeaderField", "UnrecognizedNextHeader", "UnrecognizedIPv6Option"],
  },
  128: { name: "EchoRequest" },
  129: { name: "EchoReply" },
  133: { name: "RouterSolicitation" },
  134: { name: "RouterAdvertisement" },
  135: { name: "NeighborSolicitation" },
  136: { name: "NeighborAdvertisement" },
  137: { name: "Redirect" },
};

export function icmpv4TypeName(type: number, code: number): string {
  return typeName(ICMPV4_TYPES[type], type, code);
}

export function icmpv6TypeName(type: number, code: number): string {
  return typeName(ICMPV6_TYPES[type], type, code);
}

function typeName(known: TypeName | undefined, type: number, code: number): string {
  if (known === undefined) return `${type}(${code})`;
  if (known.codes === undefined && code === 0) return known.name;
  return `${known.name}(${known.codes?.[code] ?? `Code: ${code}`})`;
}
