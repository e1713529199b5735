/** `imker key …`: keys that sign plugins, and which of them this node trusts. */
import type { Command } from "commander";
import type { KeyView } from "../../admin/plugin-schema.ts";
import type { CliContext } from "../context.ts";
import { locally, readLocalFile } from "../local-file.ts";
import { keyTable, lines } from "./plugin-text.ts";

interface TrustOptions {
  plugin: string[];
  notBefore?: string;
  notAfter?: string;
}

export function addKeyCommands(program: Command, context: CliContext): void {
  const key = program.command("key").description("keys that sign plugins");
  addGenerate(key, context);
  addTrust(key, context);
  key
    .command("list")
    .description("keys that this node knows")
    .action(async (_options: unknown, command: Command) => {
      await context.withClient(command, async (client) => {
        context.print(command, await client.call<KeyView[]>("GET", "/v1/keys"), keyTable);
      });
    });
  key
    .command("revoke")
    .description("take trust from a key: what it signed is not activated any more, and flagged")
    .argument("<name>")
    .action(async (name: string, _options: unknown, command: Command) => {
      await context.withClient(command, async (client) => {
        const path = `/v1/keys/${encodeURIComponent(name)}/revoke`;
        context.print(command, await client.call<KeyView>("POST", path), keyText);
      });
    });
  key
    .command("remove")
    .description("forget a key; unlike a revoked one it can be trusted again")
    .argument("<name>")
    .action(async (name: string, _options: unknown, command: Command) => {
      await context.withClient(command, async (client) => {
        const path = `/v1/keys/${encodeURIComponent(name)}`;
        const gone = await client.call<KeyView>("DELETE", path);
        context.print(command, gone, (one) => `key ${one.name} removed\n`);
      });
    });
}

function addGenerate(key: Command, context: CliContext): void {
  key
    .command("generate")
    .description("make an ed25519 key pair: NAME.pem (keep it secret) and NAME.pub.pem")
    .argument("<name>")
    .option("-o, --output <folder>", "where to write them", ".")
    .action(async (name: string, options: { output: string }, command: Command) => {
      // Loading what signs takes a while; the other commands must not pay for it.
      const { writeKeyPair } = await import("../../plugin/key-files.ts");
      const pair = locally(`Cannot make key "${name}"`, () => {
        if (!/^[a-z0-9]([-a-z0-9.]{0,61}[a-z0-9])?$/.test(name)) {
          throw new Error("expected a name: a-z, 0-9, '-' and '.'");
        }
        return writeKeyPair(options.output, name);
      });
      context.print(command, { name, ...pair }, (one) =>
        lines([
          ["key", one.id],
          ["private", one.privateFile],
          ["public", one.publicFile],
        ]),
      );
    });
}

function addTrust(key: Command, context: CliContext): void {
  key
    .command("trust")
    .description("let packages signed with this key be installed and activated")
    .argument("<name>", "name of the key on this node")
    .argument("<file>", "public key, PEM (NAME.pub.pem)")
    .requiredOption("--plugin <pattern...>", "plugins it may sign: a name, or acme-*")
    .option("--not-before <time>", "counts from this RFC 3339 time on")
    .option("--not-after <time>", "counts up to this RFC 3339 time")
    .action(async (name: string, file: string, options: TrustOptions, command: Command) => {
      const publicKey = Buffer.from(readLocalFile(file)).toString("utf8");
      const { plugin: plugins, notBefore, notAfter } = options;
      await context.withClient(command, async (client) => {
        const body = { name, publicKey, plugins, notBefore, notAfter };
        context.print(command, await client.call<KeyView>("POST", "/v1/keys", body), keyText);
      });
    });
}

function keyText(one: KeyView): string {
  return lines([
    ["key", `${one.name} (${one.state})`],
    ["id", one.id],
    ["plugins", one.plugins.join(", ")],
    ...(one.notBefore === undefined ? [] : [["from", one.notBefore] as const]),
    ...(one.notAfter === undefined ? [] : [["until", one.notAfter] as const]),
    ...(one.revokedAt === undefined ? [] : [["revoked", one.revokedAt] as const]),
  ]);
}
