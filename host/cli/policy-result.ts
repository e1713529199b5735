/** What commands that send policies to the agent, or take them away, have in common. */
import type { Command } from "commander";
import type {
  AppliedPolicy,
  ApplyResult,
  PolicyFile,
  PolicyFileError,
  PolicyView,
} from "../admin/types.ts";
import { type CliContext, wantsJson } from "./context.ts";
import { CliError, EXIT } from "./errors.ts";

/** Open connections into the node that stand against applying; nothing was applied. */
export class CutError extends CliError {}

export interface ChangeFlags {
  wait?: boolean | undefined;
  force?: boolean | undefined;
}

/** Of a request that changes policies. */
export function changeQuery(
  { sshConnection = "" }: CliContext,
  { wait, force }: ChangeFlags,
): URLSearchParams {
  const query = new URLSearchParams();
  if (wait) query.set("wait", "true");
  if (force) query.set("force", "true");
  // sshd writes UNKNOWN where it does not know an address.
  if (/^\S*[.:]\S* \d+ \S*[.:]\S* \d+$/.test(sshConnection)) {
    query.set("connection", sshConnection);
  }
  return query;
}

/** Sends files to be applied or validated; problems of the files are part of the result. */
export async function sendPolicies(
  context: CliContext,
  command: Command,
  path: string,
  files: PolicyFile[],
): Promise<ApplyResult> {
  return context.withClient(command, async (client) => {
    const reply = await client.send("POST", path, { files });
    if (reply.status === 200 || reply.status === 422) return resultOf(reply.body as ApplyResult);
    const { cuts } = (reply.body ?? {}) as { cuts?: unknown };
    const detail = (reply.body as { detail?: string } | undefined)?.detail;
    const code = reply.status >= 500 ? EXIT.environment : EXIT.user;
    const message = detail ?? `HTTP status ${reply.status}`;
    throw cuts === undefined ? new CliError(code, message) : new CutError(code, message);
  });
}

/** Without what else an error's document has: the same fields whether there is an error or not. */
function resultOf({ applied, errors, warnings, confirmBy }: ApplyResult): ApplyResult {
  return { applied, errors, warnings, ...(confirmBy === undefined ? {} : { confirmBy }) };
}

/** Takes policies out of force, of those that are there, and says which. */
export async function deletePolicies(
  context: CliContext,
  command: Command,
  { choose, ...flags }: ChangeFlags & { choose: (all: PolicyView[]) => PolicyView[] },
): Promise<void> {
  await context.withClient(command, async (client) => {
    const all = await client.call<PolicyView[]>("GET", "/v1/policies");
    const gone: AppliedPolicy[] = [];
    for (const { kind, namespace, name } of choose(all)) {
      const path = `/v1/policies/${kind}/${namespace || "-"}/${name}`;
      const query = changeQuery(context, flags);
      gone.push(await client.call<AppliedPolicy>("DELETE", `${path}?${query}`));
    }
    context.print(command, gone, (views) =>
      views.map((one) => `${displayName(one)} deleted\n`).join(""),
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
