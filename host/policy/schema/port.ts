/** Schema of `toPorts`: ports and protocols, TLS, server names, listeners and their L7 rules. */
import { z } from "zod";
import {
  acrossFields,
  fieldsOf,
  forbiddenField,
  itemsOf,
  type Report,
  textField,
  textOf,
} from "./field.ts";
import { l7KindOf, l7RulesSchema } from "./l7.ts";

const PORTS_MAX = 40;
const PORT_MAX = 65_535;
const EXTENDED_PROTOCOLS = ["VRRP", "IGMP", "GRE", "IPIP", "IPV6", "ESP", "AH"] as const;
export const PROTOCOLS = ["TCP", "UDP", "SCTP", ...EXTENDED_PROTOCOLS, "ANY"] as const;
export type ProtocolName = (typeof PROTOCOLS)[number];

export const L7_PORT_ZERO = "L7 rules can not be used when a port is 0";
export const PORT_EXPECTED = 'a string: a number from 0 to 65535 such as "80", or a port name';

/** Digits only: hex such as 0x10 is a name, octal such as 010 is refused. */
export function parsePortNumber(port: string): number | undefined {
  if (!/^(0|[1-9][0-9]{0,4})$/.test(port)) return undefined;
  const number = Number(port);
  return number <= PORT_MAX ? number : undefined;
}

/** IANA service name (RFC 6335, section 5.1); compared in lower case. */
export function isServiceName(port: string): boolean {
  return /^(?=.{1,15}$)(?=.*[A-Za-z])[A-Za-z0-9]+(-[A-Za-z0-9]+)*$/.test(port);
}

export function isExtendedProtocol(protocol: string): boolean {
  return (EXTENDED_PROTOCOLS as readonly string[]).includes(protocol);
}

const port = textField(PORT_EXPECTED, (value) =>
  value === "" || parsePortNumber(value) !== undefined || isServiceName(value)
    ? undefined
    : `unable to parse port: ${JSON.stringify(value)} is neither a number from 0 to 65535 nor a name`,
);

export const endPortSchema = z.number().int().min(0).max(PORT_MAX);

const portProtocol = z
  .strictObject({
    port: port.optional(),
    endPort: endPortSchema.meta({ expected: "a number from 0 to 65535" }).optional(),
    protocol: z.enum(PROTOCOLS).optional(),
  })
  .check(
    acrossFields((fields, report) => {
      const extended = isExtendedProtocol(textOf(fields.protocol));
      // Whether it may be missing is an option of the agent: ../missing-ports.ts.
      const missing = fields.port === undefined || fields.port === "";
      if (!missing && extended && fields.port !== "0") {
        report(["port"], "port must be empty or 0", "no port");
      }
      if (fields.port === "0" && Number(fields.endPort ?? 0) > 0) {
        report(["endPort"], "endPort needs a port above 0", "a range such as 1 to 1023");
      }
    }),
  );
export type PortProtocol = z.infer<typeof portProtocol>;

const tlsContext = z.strictObject({
  secret: z.strictObject({ namespace: z.string().optional(), name: z.string() }),
  trustedCA: z.string().optional(),
  certificate: z.string().optional(),
  privateKey: z.string().optional(),
});

const listener = z.strictObject({
  envoyConfig: z.strictObject({
    kind: z.enum(["CiliumEnvoyConfig", "CiliumClusterwideEnvoyConfig"]).optional(),
    name: z.string(),
  }),
  name: z.string(),
  priority: z
    .number()
    .int()
    .min(1)
    .max(100)
    .meta({ expected: "a number from 1 to 100" })
    .optional(),
});

const serverName = textField("a host name", (value) =>
  value === "" ? "Empty server name is not allowed" : undefined,
);

const allowFields = {
  ports: z.array(portProtocol).optional(),
  rules: l7RulesSchema.optional(),
  terminatingTLS: tlsContext.optional(),
  originatingTLS: tlsContext.optional(),
  serverNames: z
    .array(serverName)
    .min(1)
    .refine((names) => new Set(names).size === names.length, { error: "names one host twice" })
    .optional(),
  listener: listener.optional(),
};

export const ingressPortRuleSchema = z
  .strictObject(allowFields)
  .check(acrossFields((fields, report) => checkPortRule(fields, "ingress", report)));

export const egressPortRuleSchema = z
  .strictObject(allowFields)
  .check(acrossFields((fields, report) => checkPortRule(fields, "egress", report)));

const notInDeny = forbiddenField("is not allowed in a deny rule");
export const denyPortRuleSchema = z
  .strictObject({
    ports: allowFields.ports,
    rules: notInDeny,
    terminatingTLS: notInDeny,
    originatingTLS: notInDeny,
    serverNames: notInDeny,
    listener: notInDeny,
  })
  .check(acrossFields(checkPortCount));

export type PortRule = z.infer<typeof ingressPortRuleSchema>;

function checkPortCount(fields: Record<string, unknown>, report: Report): void {
  const count = itemsOf(fields.ports).length;
  if (count > PORTS_MAX) {
    report(["ports"], `too many ports, the max is ${PORTS_MAX}`, `at most ${PORTS_MAX} ports`);
  }
  if (count === 0) report(["ports"], "port must be specified", "at least one port");
}

function checkPortRule(
  fields: Record<string, unknown>,
  direction: "ingress" | "egress",
  report: Report,
): void {
  checkPortCount(fields, report);
  const kind = l7KindOf(fieldsOf(fields.rules));
  if (direction === "ingress" && kind === "dns") {
    report(["rules", "dns"], "DNS rules are not allowed on ingress", "dns in an egress rule");
  }
  for (const [index, value] of itemsOf(fields.ports).entries()) {
    if (kind)
      checkL7Port(fieldsOf(value), kind, (path, message, expected) =>
        report(["ports", index, ...path], message, expected),
      );
  }
  if (itemsOf(fields.serverNames).length > 0 && kind && fields.terminatingTLS === undefined) {
    const message = "ServerNames are not allowed with L7 rules without TLS termination";
    report(["serverNames"], message, "terminatingTLS, or no L7 rules");
  }
  if (fields.listener === undefined) return;
  const name = textOf(fieldsOf(fields.listener).name);
  if (direction === "ingress") {
    report(["listener"], `Listener is not allowed on ingress (${name})`, "no listener");
  }
  if (kind) {
    const message = `Listener is not allowed with L7 rules (${name})`;
    report(["listener"], message, "either a listener or rules");
  }
}

function checkL7Port(fields: Record<string, unknown>, kind: string, report: Report): void {
  const protocol = fields.protocol ?? "ANY";
  const known = (PROTOCOLS as readonly unknown[]).includes(protocol);
  if (known && kind !== "dns" && protocol !== "TCP") {
    const message = `L7 rules can only apply to TCP (not ${protocol}) except for DNS rules`;
    report(["protocol"], message, "TCP");
  }
  if (fields.port === "0") {
    report(["port"], L7_PORT_ZERO, "a port from 1 to 65535");
  }
  const number = parsePortNumber(textOf(fields.port));
  if (kind === "dns" && number !== undefined && Number(fields.endPort ?? 0) > number) {
    report(["endPort"], "DNS rules do not support port ranges", "no endPort");
  }
}
