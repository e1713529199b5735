/** `imker prefilter …`: sources whose packets are dropped before anything else. */
import { readFileSync, statSync } from "node:fs";
import type { Command } from "commander";
import type { z } from "zod";
import {
  LIST_BYTES_MAX,
  PREFIXES_PER_REQUEST_MAX,
  type prefilterChange,
  type prefilterStatus,
} from "../../admin/prefilter-schema.ts";
import { type CliContext, table, wantsJson } from "../context.ts";
import { CliError, EXIT } from "../errors.ts";
import { locally } from "../local-file.ts";

type Change = z.infer<typeof prefilterChange>;
type Status = z.infer<typeof prefilterStatus>;

const PREFIXES = "/v1/prefilter/prefixes";
/** A shorter list is read before anybody would look. */
const PROGRESS_LINES = 100_000;

export function addPrefilterCommands(program: Command, context: CliContext): void {
  const prefilter = program
    .command("prefilter")
    .description("sources whose packets are dropped at the interface, before anything else");
  addChangeCommands(prefilter, context);
  prefilter
    .command("list")
    .description("the prefixes, one a line")
    .action(async (_options: unknown, command: Command) => {
      await context.withClient(command, async (client) => {
        const text = new TextDecoder().decode(await client.download(PREFIXES));
        const prefixes = text.split("\n").filter((line) => line !== "");
        context.print(command, prefixes, () => text);
      });
    });
  prefilter
    .command("status")
    .description("its size, where it is attached, and what it dropped")
    .action(async (_options: unknown, command: Command) => {
      await context.withClient(command, async (client) => {
        context.print(command, await client.call<Status>("GET", "/v1/prefilter"), statusText);
      });
    });
}

function addChangeCommands(prefilter: Command, context: CliContext): void {
  prefilter
    .command("add")
    .description("drop packets from these, too")
    .argument("<cidr...>", "prefixes or addresses")
    .option("--force", "even if it cuts the connection this command came over")
    .action(async (prefixes: string[], options: { force?: true }, command: Command) => {
      await requireFew(prefixes);
      if (!options.force) await refuseCut(prefixes.join("\n"));
      await context.withClient(command, async (client) => {
        const change = await client.call<Change>("POST", PREFIXES, { prefixes });
        context.print(command, change, changeText);
      });
    });
  prefilter
    .command("delete")
    .description("take these off the list, each as it was added")
    .argument("<cidr...>", "prefixes or addresses")
    .action(async (prefixes: string[], _options: unknown, command: Command) => {
      await requireFew(prefixes);
      await context.withClient(command, async (client) => {
        const change = await client.call<Change>("POST", "/v1/prefilter/delete", { prefixes });
        context.print(command, change, changeText);
      });
    });
  prefilter
    .command("load")
    .description("replace the whole list by a file: one CIDR a line, '#' and ';' begin a comment")
    .argument("<file>", "'-' is standard input")
    .option("--force", "even if it cuts the connection this command came over")
    .action(async (name: string, options: { force?: true }, command: Command) => {
      const file = readList(name);
      const say = (line: string): void => {
        if (!wantsJson(command)) context.err(`${line}\n`);
      };
      if (!options.force) await refuseCut(file.toString("utf8"), say);
      if (file.length > 1 << 20) say("the agent builds the list ...");
      await context.withClient(command, async (client) => {
        const change = await client.put<Change>(PREFIXES, file, "text/plain");
        context.print(command, change, changeText);
      });
    });
}

/**
 * Reads the list as the agent will, which finds its errors early, and refuses one that holds the
 * other end of the SSH connection this shell is on.
 */
async function refuseCut(text: string, say: (line: string) => void = () => {}): Promise<void> {
  // Only these two commands need it; the others must not pay for loading it.
  const { PrefixError, parseDenied } = await import("../../prefilter/prefix.ts");
  const { readingPrefixes } = await import("../../prefilter/text-list.ts");
  const { finishInTurns } = await import("../../piecework.ts");
  const { isDenied } = await import("../../prefilter/generations.ts");
  try {
    const lists = await finishInTurns(readingPrefixes(text), (lines) => {
      if (lines % PROGRESS_LINES === 0) say(`read ${lines.toLocaleString("en")} lines`);
    });
    const peer = sshPeer();
    if (peer === undefined) return;
    const address = parseDenied(peer);
    if (!isDenied(lists[address.family], address)) return;
    throw new CliError(
      EXIT.user,
      `Cannot deny ${peer}: your own SSH connection comes from there and would be cut; ` +
        "--force does it all the same",
    );
  } catch (error) {
    if (error instanceof PrefixError) throw new CliError(EXIT.user, error.message);
    throw error;
  }
}

/** Address of who is connected by SSH; IPv4 as such also where the server listens on IPv6. */
function sshPeer(): string | undefined {
  const [peer = ""] = (process.env.SSH_CONNECTION ?? "").split(" ");
  const plain = peer.replace(/%.*$/, "").replace(/^::ffff:(?=\d+\.)/i, "");
  return plain === "" ? undefined : plain;
}

/** Of words of the command line there are no lines to name. */
async function requireFew(prefixes: readonly string[]): Promise<void> {
  const { PrefixError, parseDenied } = await import("../../prefilter/prefix.ts");
  if (prefixes.length > PREFIXES_PER_REQUEST_MAX) {
    throw new CliError(
      EXIT.user,
      `Cannot send ${prefixes.length} prefixes at once: at most ${PREFIXES_PER_REQUEST_MAX}; ` +
        "'prefilter load' takes a file",
    );
  }
  for (const prefix of prefixes) {
    try {
      parseDenied(prefix);
    } catch (cause) {
      if (!(cause instanceof PrefixError)) throw cause;
      throw new CliError(EXIT.user, cause.message, { cause });
    }
  }
}

function readList(name: string): Buffer {
  return locally(`Cannot read ${name}`, () => {
    const file = name === "-" ? undefined : statSync(name);
    if ((file?.size ?? 0) > LIST_BYTES_MAX) throw new Error(`over ${LIST_BYTES_MAX} bytes`);
    return readFileSync(file === undefined ? 0 : name);
  });
}

function changeText({ added, deleted, prefixes }: Change): string {
  return `${added} added, ${deleted} deleted, ${prefixes} in the list\n`;
}

function statusText({ ipv4, ipv6, bytes, bytesPerPrefix, devices, counters }: Status): string {
  const mebibytes = (bytes / 2 ** 20).toFixed(1);
  const where = devices.map(({ name, attached, mode, detail }) => [
    ...[name, attached ? (mode ?? "") : "not attached", detail],
  ]);
  const counts = (["ipv4", "ipv6"] as const).map((family) => {
    const { droppedPackets, droppedBytes, passedPackets, passedBytes } = counters[family];
    return [family, droppedPackets, droppedBytes, passedPackets, passedBytes];
  });
  return [
    `prefixes  ${ipv4} IPv4, ${ipv6} IPv6\n`,
    `memory    ${mebibytes} MiB (${bytesPerPrefix} bytes a prefix)\n\n`,
    table(["DEVICE", "MODE", "DETAIL"], where),
    "\n",
    table(["FAMILY", "DROPPED", "BYTES", "PASSED", "BYTES"], counts),
  ].join("");
}
