/** Shapes of the questions to what the kernel holds. */
import { isIP } from "node:net";
import { z } from "zod";

const NUMBER_MAX = 0xffff_ffff;
const PORT_MAX = 65_535;
const END = /^(?:\[([0-9a-f:.]+)\]|([0-9.]+))(?::(\d{1,5}))?$/i;

const number = (max: number) => z.coerce.number().int().min(0).max(max);
const protocol = number(255).meta({ description: "IANA's number, such as 6 for TCP" });

const end = z
  .string()
  .transform((text, context) => {
    const [, ipv6, ipv4, port = "0"] = END.exec(text) ?? [];
    const address = ipv6 ?? ipv4 ?? "";
    if (isIP(address) === 0 || Number(port) > PORT_MAX) {
      context.addIssue({ code: "custom", message: "expected 10.0.0.1:80 or [fd00::1]:80" });
      return z.NEVER;
    }
    return { address, port: Number(port) };
  })
  .meta({ description: "`10.0.0.1:80` or `[fd00::1]:80`; no port is 0" });

export const connectionQuery = z.object({ protocol, source: end, destination: end });

export const policyQuestionQuery = z.object({
  identity: number(NUMBER_MAX).meta({ description: "Of the peer" }),
  direction: z.enum(["ingress", "egress"]),
  protocol,
  port: number(PORT_MAX)
    .optional()
    .meta({ description: "ICMP: 256 times the type. Absent: only entries without a port match" }),
});

export const addressParams = z.object({
  address: z
    .string()
    .refine((text) => isIP(text) !== 0, "expected an IPv4 or IPv6 address")
    .meta({ description: "An IPv4 or IPv6 address; the longest prefix that holds it counts" }),
});
