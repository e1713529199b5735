/** `imker bpf …`: what the kernel holds, as rows. */
import { type Command, InvalidArgumentError, Option } from "commander";
import { type CtStatus, countAll } from "../../agent/ct-collector.ts";
import type { CtRow, PolicyMapEntry } from "../../datapath/types.ts";
import { type CliContext, table } from "../context.ts";

const TCP = "6";
const PROTOCOL_NAMES: Record<number, string> = {
  0: "ANY",
  1: "ICMP",
  2: "IGMP",
  4: "IPIP",
  6: "TCP",
  17: "UDP",
  41: "IPV6",
  47: "GRE",
  50: "ESP",
  51: "AH",
  58: "ICMPv6",
  112: "VRRP",
  132: "SCTP",
};

type PolicyRow = PolicyMapEntry & { allowedBy: string[] };
type Question = { identity: string; direction: string; protocol: string; port?: string };
type IpcacheRow = { prefix: string; identity: number };

export function addBpfCommands(program: Command, context: CliContext): void {
  const bpf = program.command("bpf").description("the datapath's maps");
  addPolicy(bpf.command("policy").description("policy maps"), context);
  addCt(bpf.command("ct").description("connection tracking"), context);
  addIpcache(bpf.command("ipcache").description("addresses and their identities"), context);
}

function addPolicy(policy: Command, context: CliContext): void {
  policy
    .command("list")
    .description("the policy map of an endpoint")
    .argument("<endpoint>", "id, name, or namespace/name")
    .action(async (reference: string, _options: unknown, command: Command) => {
      await context.withClient(command, async (client) => {
        const rows = await client.call<PolicyRow[]>("GET", `/v1/bpf/policy/${pathOf(reference)}`);
        context.print(command, rows, policyTable);
      });
    });
  policy
    .command("get")
    .description("the entry that decides, as the kernel finds it")
    .argument("<endpoint>", "id, name, or namespace/name")
    .requiredOption("--identity <number>", "of the peer", wholeNumber)
    .addOption(
      new Option("--direction <direction>", "seen from the endpoint")
        .choices(["ingress", "egress"])
        .default("ingress"),
    )
    .option("--protocol <protocol>", "TCP, UDP, … or a number", parseProtocol, TCP)
    .option("--port <port>", "destination port; of ICMP 256 times the type", wholeNumber)
    .action(async (reference: string, options: Question, command: Command) => {
      await context.withClient(command, async (client) => {
        // The command's options are more than the question: --json may stand among them.
        const { identity, direction, protocol, port } = options;
        const query = new URLSearchParams({ identity, direction, protocol, ...(port && { port }) });
        const path = `/v1/bpf/decision/${pathOf(reference)}?${query}`;
        context.print(command, [await client.call<PolicyRow>("GET", path)], policyTable);
      });
    });
}

function addCt(ct: Command, context: CliContext): void {
  ct.command("list")
    .description("tracked connections")
    .action(async (_options: unknown, command: Command) => {
      await context.withClient(command, async (client) => {
        context.print(command, await client.call<CtRow[]>("GET", "/v1/bpf/ct"), ctTable);
      });
    });
  ct.command("get")
    .description("one connection, given from either end")
    .argument("<protocol>", "TCP, UDP, … or a number", parseProtocol)
    .argument("<source>", "such as 10.0.0.1:4000 or [fd00::1]:4000")
    .argument("<destination>", "such as 10.0.0.2:80")
    .action(async (...given: [string, string, string, unknown, Command]) => {
      const [protocol, source, destination, , command] = given;
      await context.withClient(command, async (client) => {
        const query = new URLSearchParams({ protocol, source, destination });
        const row = await client.call<CtRow>("GET", `/v1/bpf/connection?${query}`);
        context.print(command, [row], ctTable);
      });
    });
  ct.command("gc")
    .description("take expired connections out of the map now")
    .action(async (_options: unknown, command: Command) => {
      await context.withClient(command, async (client) => {
        const status = await client.call<CtStatus>("POST", "/v1/bpf/ct/collect");
        context.print(command, status, ctStatusText);
      });
    });
}

function addIpcache(ipcache: Command, context: CliContext): void {
  const text = (all: IpcacheRow[]): string =>
    table(
      ["PREFIX", "IDENTITY"],
      all.map((row) => [row.prefix, row.identity]),
    );
  ipcache
    .command("list")
    .description("all prefixes")
    .action(async (_options: unknown, command: Command) => {
      await context.withClient(command, async (client) => {
        const rows = await client.call<IpcacheRow[]>("GET", "/v1/bpf/ipcache");
        context.print(command, rows, text);
      });
    });
  ipcache
    .command("get")
    .description("the identity that the kernel takes an address for")
    .argument("<address>", "IPv4 or IPv6 address")
    .action(async (address: string, _options: unknown, command: Command) => {
      await context.withClient(command, async (client) => {
        const path = `/v1/bpf/ipcache/${encodeURIComponent(address)}`;
        context.print(command, [await client.call<IpcacheRow>("GET", path)], text);
      });
    });
}

const pathOf = (reference: string): string =>
  reference.split("/").map(encodeURIComponent).join("/");

function wholeNumber(text: string): string {
  if (!/^\d{1,10}$/.test(text)) throw new InvalidArgumentError("expected a number");
  return text;
}

/** The number of a protocol, as text. */
function parseProtocol(text: string): string {
  if (/^\d{1,3}$/.test(text)) return text;
  const wanted = text.toUpperCase();
  const found = Object.entries(PROTOCOL_NAMES).find(([, name]) => name.toUpperCase() === wanted);
  if (found === undefined)
    throw new InvalidArgumentError(
      `expected a number or one of ${Object.values(PROTOCOL_NAMES).join(", ")}`,
    );
  return found[0];
}

function ctStatusText({ alive, deleted, capacity, lastPassMs }: CtStatus): string {
  return (
    `${countAll(alive)} of ${capacity} entries are in use; ` +
    `${countAll(deleted)} have expired and were deleted since the agent started ` +
    `(${lastPassMs.toFixed(0)} ms)\n`
  );
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
      row.allowedBy.join(", ") || "-",
    ]),
  );
}

/** An entry of class 0 (low byte of its precedence) decides nothing: default deny. */
function actionText({ deny, redirect, ruleSet, precedence }: PolicyMapEntry): string {
  if (deny) return "deny";
  if (precedence % 256 === 0) return "default-deny";
  if (redirect && ruleSet === 0) return "no-plugin";
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
