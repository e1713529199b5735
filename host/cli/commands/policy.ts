/** `imker policy …`: the policies of this node. */
import { readFileSync } from "node:fs";
import type { Command } from "commander";
import type {
  AppliedPolicy,
  ApplyResult,
  PolicyFile,
  PolicyFileError,
  PolicyView,
} from "../../admin/types.ts";
import { type CliContext, table, wantsJson } from "../context.ts";
import { CliError, EXIT } from "../errors.ts";

export function addPolicyCommands(program: Command, context: CliContext): void {
  const policy = program.command("policy").description("network policies");
  policy
    .command("apply")
    .description("put policies in force; nothing of a file with an error is applied")
    .requiredOption("-f, --filename <file...>", "YAML files, or - for standard input")
    .option("--wait", "return when kernel and proxy enforce them")
    .action(async (options: { filename: string[]; wait?: boolean }, command: Command) => {
      const path = `/v1/policies${options.wait ? "?wait=true" : ""}`;
      const result = await send(context, command, path, options.filename);
      context.print(command, result, (value) =>
        value.applied
          .map((one) => `${displayName(one)} applied (revision ${one.revision})\n`)
          .join(""),
      );
      failOnErrors(context, command, result.errors);
    });
  policy
    .command("validate")
    .description("check policy files without applying them")
    .argument("<file...>", "YAML files, or - for standard input")
    .action(async (files: string[], _options: unknown, command: Command) => {
      const result = await send(context, command, "/v1/policies/validate", files);
      context.print(command, result, (value) =>
        value.applied.map((one) => `${displayName(one)} is valid\n`).join(""),
      );
      failOnErrors(context, command, result.errors);
    });
  addGet(policy, context);
  addDelete(policy, context);
}

function addGet(policy: Command, context: CliContext): void {
  policy
    .command("get")
    .description("policies in force")
    .argument("[name]", "name, or namespace/name; without it, all")
    .action(async (name: string | undefined, _options: unknown, command: Command) => {
      await context.withClient(command, async (client) => {
        const all = await client.call<PolicyView[]>("GET", "/v1/policies");
        const chosen = name === undefined ? all : select(all, name);
        context.print(command, chosen, (views) =>
          table(
            ["KIND", "NAMESPACE", "NAME", "REVISION", "SOURCE"],
            views.map((one) => [one.kind, one.namespace, one.name, one.revision, one.source]),
          ),
        );
      });
    });
}

function addDelete(policy: Command, context: CliContext): void {
  policy
    .command("delete")
    .description("take policies out of force")
    .argument("<name...>", "name, or namespace/name")
    .option("--wait", "return when kernel and proxy no longer enforce them")
    .action(async (names: string[], options: { wait?: boolean }, command: Command) => {
      await context.withClient(command, async (client) => {
        const all = await client.call<PolicyView[]>("GET", "/v1/policies");
        const chosen = names.flatMap((name) => select(all, name));
        const gone: AppliedPolicy[] = [];
        for (const one of chosen) {
          const path = `/v1/policies/${one.kind}/${one.namespace || "-"}/${one.name}`;
          const query = options.wait ? "?wait=true" : "";
          gone.push(await client.call<AppliedPolicy>("DELETE", path + query));
        }
        context.print(command, gone, (views) =>
          views.map((one) => `${displayName(one)} deleted\n`).join(""),
        );
      });
    });
}

function select(all: PolicyView[], name: string): PolicyView[] {
  const found = all.filter((one) => one.name === name || `${one.namespace}/${one.name}` === name);
  if (found.length === 0) {
    throw new CliError(EXIT.user, `Cannot find policy "${name}": see 'imker policy get'`);
  }
  return found;
}

async function send(
  context: CliContext,
  command: Command,
  path: string,
  names: string[],
): Promise<ApplyResult> {
  const files = names.map(readPolicyFile);
  return context.withClient(command, async (client) => {
    const reply = await client.send("POST", path, { files });
    if (reply.status === 200 || reply.status === 422) return reply.body as ApplyResult;
    const detail = (reply.body as { detail?: string } | undefined)?.detail;
    throw new CliError(
      reply.status >= 500 ? EXIT.environment : EXIT.user,
      detail ?? `HTTP status ${reply.status}`,
    );
  });
}

function readPolicyFile(name: string): PolicyFile {
  try {
    return { file: name, text: readFileSync(name === "-" ? 0 : name, "utf8") };
  } catch (cause) {
    throw new CliError(EXIT.user, `Cannot read ${name}: ${(cause as Error).message}`, { cause });
  }
}

function failOnErrors(context: CliContext, command: Command, errors: PolicyFileError[]): void {
  if (errors.length === 0) return;
  if (!wantsJson(command)) {
    for (const error of errors) context.err(`${errorLine(error)}\n`);
  }
  process.exitCode = EXIT.user;
}

/** `file:line:column: document 2: spec.ingress[0]: message (expected …)` */
function errorLine(error: PolicyFileError): string {
  const place = [error.file, error.line, error.column].filter((part) => part !== undefined);
  const document = error.document > 0 ? ` document ${error.document + 1}:` : "";
  const path = error.path === "" ? "" : ` ${error.path}:`;
  const expected = error.expected === "" ? "" : ` (expected ${error.expected})`;
  return `${place.join(":")}:${document}${path} ${error.message}${expected}`;
}

function displayName(one: AppliedPolicy): string {
  return `${one.kind} ${one.namespace === "" ? "" : `${one.namespace}/`}${one.name}`;
}
