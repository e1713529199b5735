/** `imker bpf …`: what the kernel holds, as rows. */
import type { Command } from "commander";
import type { CtRow, PolicyMapEntry } from "../../datapath/types.ts";
import { type CliContext, table } from "../context.ts";

const PROTOCOL_NAMES: Record<number, string> = {
  0: "ANY",
  1: "ICMP",
  6: "TCP",
  17: "UDP",
  58: "ICMPv6",
  132: "SCTP",
};

export function addBpfCommands(program: Command, context: CliContext): void {
  const bpf = program.command("bpf").description("the datapath's maps");
  const policy = bpf.command("policy").description("policy maps");
  policy
    .command("list")
    .description("the policy map of an endpoint")
    .argument("<endpoint>", "id, name, or namespace/name")
    .action(async (reference: string, _options: unknown, command: Command) => {
      await context.withClient(command, async (client) => {
        const path = `/v1/bpf/policy/${reference}`;
        const rows = await client.call<(PolicyMapEntry & { allowedBy: string[] })[]>("GET", path);
        context.print(command, rows, policyTable);
      });
    });
  bpf
    .command("ct")
    .description("connection tracking")
    .command("list")
    .description("tracked connections")
    .action(async (_options: unknown, command: Command) => {
      await context.withClient(command, async (client) => {
        context.print(command, await client.call<CtRow[]>("GET", "/v1/bpf/ct"), ctTable);
      });
    });
  bpf
    .command("ipcache")
    .description("addresses and their identities")
    .command("list")
    .description("all prefixes")
    .action(async (_options: unknown, command: Command) => {
      await context.withClient(command, async (client) => {
        const path = "/v1/bpf/ipcache";
        const rows = await client.call<{ prefix: string; identity: number }[]>("GET", path);
        context.print(command, rows, (all) =>
          table(
            ["PREFIX", "IDENTITY"],
            all.map((row) => [row.prefix, row.identity]),
          ),
        );
      });
    });
}

function policyTable(rows: (PolicyMapEntry & { allowedBy: string[] })[]): string {
  return table(
    ["DIRECTION", "IDENTITY", "PROTOCOL", "PORT", "ACTION", "RULES", "PRECEDENCE", "POLICIES"],
    rows.map((row) => [
      row.direction,
      row.identity === 0 ? "ANY" : row.identity,
      PROTOCOL_NAMES[row.protocol] ?? row.protocol,
      row.portPrefix === 0 ? "ANY" : portText(row.port, row.portPrefix),
      actionText(row),
      row.ruleSet === 0 ? "-" : row.ruleSet,
      `0x${row.precedence.toString(16)}`,
      row.allowedBy.join(",") || "-",
    ]),
  );
}

/** An entry of class 0 (low byte of its precedence) decides nothing: default deny. */
function actionText({ deny, redirect, precedence }: PolicyMapEntry): string {
  if (deny) return "deny";
  if (precedence % 256 === 0) return "default-deny";
  return redirect ? "redirect" : "allow";
}

function portText(port: number, prefix: number): string {
  return prefix === 16 ? String(port) : `${port}-${port + (1 << (16 - prefix)) - 1}`;
}

function ctTable(rows: CtRow[]): string {
  return table(
    ["PROTOCOL", "SOURCE", "DESTINATION", "IDENTITIES", "EXPIRES", "FLAGS", "PACKETS", "BYTES"],
    rows.map((row) => [
      PROTOCOL_NAMES[row.protocol] ?? row.protocol,
      hostPort(row.source, row.sourcePort),
      hostPort(row.destination, row.destinationPort),
      `${row.sourceIdentity}->${row.destinationIdentity}`,
      `${row.expiresInSeconds}s`,
      [row.proxied && "proxied", row.seenReply && "replied", row.closing && "closing"]
        .filter(Boolean)
        .join(",") || "-",
      row.packets.join("/"),
      row.bytes.join("/"),
    ]),
  );
}

function hostPort(address: string, port: number): string {
  return address.includes(":") ? `[${address}]:${port}` : `${address}:${port}`;
}
