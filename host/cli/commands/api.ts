/** `imker api …`: the API itself: its description, its tokens, its audit log. */
import { type Command, InvalidArgumentError, Option } from "commander";
import { TOKEN_ROLES } from "../../admin/role.ts";
import type { RouteRow } from "../../admin/route-list.ts";
import type { AuditEntry, Created, TokenView } from "../../admin/token-schema.ts";
import { type CliContext, table } from "../context.ts";

export function addApiCommands(program: Command, context: CliContext): void {
  const api = program.command("api").description("the agent's HTTP API: description and access");
  addDescriptions(api, context, program.version() ?? "");
  addTokens(api, context);
  api
    .command("audit")
    .description("who asked for which change, the newest last")
    .option("--last <n>", "the last n", parseCount, 20)
    .action(async (options: { last: number }, command: Command) => {
      await context.withClient(command, async (client) => {
        const path = `/v1/audit?last=${options.last}`;
        context.print(command, await client.call<AuditEntry[]>("GET", path), auditTable);
      });
    });
}

/** They need no agent. */
function addDescriptions(api: Command, context: CliContext, version: string): void {
  // Loading what describes the API takes a while; the other commands must not pay for it.
  const load = () => import("../api-description.ts");
  api
    .command("openapi")
    .description("print the OpenAPI 3.1 document; needs no agent")
    .action(async () => context.out((await load()).openApiText(version)));
  api
    .command("docs")
    .description("print the same as an HTML page; needs no agent")
    .action(async () => context.out((await load()).docsHtml(version)));
  api
    .command("routes")
    .description("list the routes; needs no agent")
    .option("--markdown", "as the table of docs/admin-api.md")
    .action(async (options: { markdown?: boolean }, command: Command) => {
      const { routeList, routeMarkdown } = await load();
      if (options.markdown) context.out(routeMarkdown());
      else context.print(command, routeList(), routeTable);
    });
}

function routeTable(rows: RouteRow[]): string {
  return table(
    ["METHOD", "PATH", "ROLE", "SUMMARY"],
    rows.map(({ method, path, role, summary }) => [method, path, role, summary]),
  );
}

function addTokens(api: Command, context: CliContext): void {
  const token = api.command("token").description("bearer tokens for the API over TCP");
  token
    .command("create")
    .description("make a token and print it, once")
    .argument("<name>", "name of whoever will use it")
    .addOption(
      new Option("--role <role>", "viewer reads, operator changes, admin does everything")
        .choices(TOKEN_ROLES)
        .makeOptionMandatory(),
    )
    .option("--ttl <duration>", "until it ends, such as 12h or 30d (default: 30d)", parseDuration)
    .action(async (name: string, options: { role: string; ttl?: number }, command: Command) => {
      const { role, ttl: ttlSeconds } = options;
      await context.withClient(command, async (client) => {
        const made = await client.call<Created>("POST", "/v1/tokens", { name, role, ttlSeconds });
        // Only the token on stdout, so that a script can keep it.
        context.print(command, made, (one) => `${one.token}\n`);
        context.err(`token ${made.name}, role ${made.role}, until ${made.expiresAt}\n`);
      });
    });
  token
    .command("list")
    .description("all tokens, without their secrets")
    .action(async (_options: unknown, command: Command) => {
      await context.withClient(command, async (client) => {
        context.print(command, await client.call<TokenView[]>("GET", "/v1/tokens"), tokenTable);
      });
    });
  token
    .command("revoke")
    .description("revoke a token, at once")
    .argument("<name>", "its name")
    .action(async (name: string, _options: unknown, command: Command) => {
      await context.withClient(command, async (client) => {
        const path = `/v1/tokens/${encodeURIComponent(name)}`;
        const gone = await client.call<TokenView>("DELETE", path);
        context.print(command, gone, (one) => `token ${one.name} revoked\n`);
      });
    });
}

const UNIT_SECONDS: Record<string, number> = { s: 1, m: 60, h: 3600, d: 86_400 };

/** Seconds of `90s`, `15m`, `12h` or `30d`. */
function parseDuration(text: string): number {
  const [, count, unit = ""] = /^(\d{1,9})([smhd])$/.exec(text) ?? [];
  const seconds = Number(count) * (UNIT_SECONDS[unit] ?? Number.NaN);
  if (!(seconds > 0)) throw new InvalidArgumentError("expected a duration: 90s, 15m, 12h, 30d");
  return seconds;
}

function parseCount(text: string): number {
  const count = Number(text);
  if (!Number.isInteger(count) || count < 1) throw new InvalidArgumentError("expected a number");
  return count;
}

function tokenTable(all: TokenView[]): string {
  return table(
    ["NAME", "ROLE", "CREATED", "ENDS"],
    all.map(({ name, role, createdAt, expiresAt, expired }) => [
      ...[name, role, createdAt],
      expired ? `${expiresAt} (ended)` : expiresAt,
    ]),
  );
}

function auditTable(entries: AuditEntry[]): string {
  return table(
    ["TIME", "WHO", "ROLE", "STATUS", "REQUEST", "BODY"],
    entries.map(({ time, who, role, status, method, path, body }) => [
      time,
      who.kind === "unix" ? `uid ${who.uid} (pid ${who.pid})` : `${who.name} @ ${who.address}`,
      ...[role, status, `${method} ${path}`],
      body === undefined ? "" : `${body.bytes} bytes, sha256 ${body.sha256}`,
    ]),
  );
}
