/** What every command that sends policies to the agent does with the answer. */
import type { Command } from "commander";
import type { AppliedPolicy, ApplyResult, PolicyFile, PolicyFileError } from "../admin/types.ts";
import { type CliContext, wantsJson } from "./context.ts";
import { CliError, EXIT } from "./errors.ts";

/** Sends files to be applied or validated; problems of the files are part of the result. */
export async function sendPolicies(
  context: CliContext,
  command: Command,
  path: string,
  files: PolicyFile[],
): Promise<ApplyResult> {
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

/** A warning fails nothing. With --json both stand in what was printed. */
export function reportProblems(context: CliContext, command: Command, result: ApplyResult): void {
  if (!wantsJson(command)) {
    for (const one of result.warnings) context.err(`warning: ${errorLine(one)}\n`);
    for (const one of result.errors) context.err(`${errorLine(one)}\n`);
  }
  if (result.errors.length > 0) process.exitCode = EXIT.user;
}

/** `file:line:column: document 2: spec.ingress[0]: message (expected …)` */
function errorLine(error: PolicyFileError): string {
  const place = [error.file, error.line, error.column].filter((part) => part !== undefined);
  const document = error.document > 0 ? ` document ${error.document + 1}:` : "";
  const path = error.path === "" ? "" : ` ${error.path}:`;
  const expected = error.expected === "" ? "" : ` (expected ${error.expected})`;
  return `${place.join(":")}:${document}${path} ${error.message}${expected}`;
}

/** `CiliumNetworkPolicy shop/web`. */
export function displayName(one: AppliedPolicy): string {
  return `${one.kind} ${one.namespace === "" ? "" : `${one.namespace}/`}${one.name}`;
}
