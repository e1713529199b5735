/** What the commands that explain policies have in common: how they ask, and what may be wrong. */
import type { Command } from "commander";
import type { PolicyChange, PolicyKey } from "../admin/explain-types.ts";
import type { ApplyResult } from "../admin/types.ts";
import { type CliContext, wantsJson } from "./context.ts";
import { CliError, EXIT } from "./errors.ts";
import { reportProblems } from "./policy-result.ts";

type Refused = Pick<ApplyResult, "errors" | "warnings">;

/** The answer, or what is wrong with the files. Throws CliError for anything else. */
export async function askToExplain<T extends object>(
  context: CliContext,
  command: Command,
  path: string,
  request: PolicyChange,
): Promise<T | Refused> {
  return context.withClient(command, async (client) => {
    const reply = await client.send("POST", path, request);
    if (reply.status === 200) return reply.body as T;
    if (reply.status === 422) {
      const { errors, warnings } = reply.body as Refused;
      return { errors, warnings };
    }
    const detail = (reply.body as { detail?: string } | undefined)?.detail;
    throw new CliError(
      reply.status >= 500 ? EXIT.environment : EXIT.user,
      detail ?? `HTTP status ${reply.status}`,
    );
  });
}

export function printRefused(context: CliContext, command: Command, refused: Refused): void {
  const result = { applied: [], ...refused };
  if (wantsJson(command)) context.print(command, refused, () => "");
  reportProblems(context, command, result);
}

/** `KIND/namespace/name`, or `KIND/name` for what has no namespace. */
export function removals(texts: readonly string[]): PolicyKey[] {
  return texts.map((text) => {
    const [kind = "", first = "", second, ...rest] = text.split("/");
    if (kind === "" || first === "" || second === "" || rest.length > 0) {
      const expected = "expected KIND/namespace/name or KIND/name";
      throw new CliError(EXIT.user, `Cannot read policy "${text}": ${expected}`);
    }
    return second === undefined
      ? { kind, namespace: "", name: first }
      : { kind, namespace: first, name: second };
  });
}
