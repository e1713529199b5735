/** Schema of `icmps`, and the ICMP type names of both families (Cilium's API names). */
import { z } from "zod";
import { acrossFields, itemsOf } from "./field.ts";

const FIELDS_MAX = 40;

const TYPES_IPV4: Readonly<Record<string, number>> = {
  EchoReply: 0,
  DestinationUnreachable: 3,
  Redirect: 5,
  Echo: 8,
  EchoRequest: 8,
  RouterAdvertisement: 9,
  RouterSelection: 10,
  TimeExceeded: 11,
  ParameterProblem: 12,
  Timestamp: 13,
  TimestampReply: 14,
  Photuris: 40,
  ExtendedEchoRequest: 42,
  ExtendedEchoReply: 43,
};

const TYPES_IPV6: Readonly<Record<string, number>> = {
  DestinationUnreachable: 1,
  PacketTooBig: 2,
  TimeExceeded: 3,
  ParameterProblem: 4,
  EchoRequest: 128,
  EchoReply: 129,
  MulticastListenerQuery: 130,
  MulticastListenerReport: 131,
  MulticastListenerDone: 132,
  RouterSolicitation: 133,
  RouterAdvertisement: 134,
  NeighborSolicitation: 135,
  NeighborAdvertisement: 136,
  RedirectMessage: 137,
  RouterRenumbering: 138,
  ICMPNodeInformationQuery: 139,
  ICMPNodeInformationResponse: 140,
  InverseNeighborDiscoverySolicitation: 141,
  InverseNeighborDiscoveryAdvertisement: 142,
  HomeAgentAddressDiscoveryRequest: 144,
  HomeAgentAddressDiscoveryReply: 145,
  MobilePrefixSolicitation: 146,
  MobilePrefixAdvertisement: 147,
  DuplicateAddressRequestCodeSuffix: 157,
  DuplicateAddressConfirmationCodeSuffix: 158,
  ExtendedEchoRequest: 160,
  ExtendedEchoReply: 161,
};

/**
 * Number of an ICMP type given as number, digits or name; undefined if the family has none such.
 */
export function icmpTypeNumber(family: "IPv4" | "IPv6", type: string | number): number | undefined {
  if (typeof type === "string" && !/^[0-9]+$/.test(type)) {
    const names = family === "IPv6" ? TYPES_IPV6 : TYPES_IPV4;
    return Object.hasOwn(names, type) ? names[type] : undefined;
  }
  const number = Number(type);
  return Number.isInteger(number) && number >= 0 && number <= 255 ? number : undefined;
}

const icmpField = z
  .strictObject({
    family: z.enum(["IPv4", "IPv6"]).optional(),
    type: z.union([z.number(), z.string()]).meta({ expected: "0 to 255 or a type name" }),
  })
  .check(
    acrossFields((fields, report) => {
      const { type } = fields;
      const family = fields.family ?? "IPv4";
      if (typeof type !== "string" && typeof type !== "number") return;
      if (family !== "IPv4" && family !== "IPv6") return;
      if (icmpTypeNumber(family, type) !== undefined) return;
      report(["type"], `ICMP type ${type} not found in ${family}`, "0 to 255 or a type name");
    }),
  );

export const icmpRuleSchema = z.strictObject({ fields: z.array(icmpField).optional() }).check(
  acrossFields((fields, report) => {
    if (itemsOf(fields.fields).length > FIELDS_MAX) {
      report(
        ["fields"],
        `too many types, the max is ${FIELDS_MAX}`,
        `at most ${FIELDS_MAX} fields`,
      );
    }
  }),
);

export type IcmpRule = z.infer<typeof icmpRuleSchema>;
