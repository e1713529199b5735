/** `imker policy diff`: what a change would allow or deny, before it is made. */
import type { Command } from "commander";
import type { ApplyResult } from "../../admin/types.ts";
import type { DiffView } from "../../policy/explain/diff-types.ts";
import { type CliContext, wantsJson } from "../context.ts";
import { diffText } from "../diff-text.ts";
import { CliError, EXIT } from "../errors.ts";
import { RECURSIVE, readPolicyInput } from "../policy-input.ts";
import { askToExplain, printRefused, removals } from "../policy-question.ts";

interface DiffOptions {
  filename?: string[];
  recursive?: boolean;
  delete?: string[];
  exitCode?: boolean;
}

export function addPolicyDiff(policy: Command, context: CliContext): void {
  policy
    .command("diff")
    .description("what a change would allow or deny that is not so now; changes nothing")
    .option("-f, --filename <path...>", "policies that would be applied")
    .option(...RECURSIVE)
    .option("--delete <policy...>", "policies that would go: KIND/namespace/name, or KIND/name")
    .option("--exit-code", "exit with 4 if there is a difference")
    .action(async (options: DiffOptions, command: Command) => {
      const { filename, delete: gone = [] } = options;
      if (filename === undefined && gone.length === 0) {
        throw new CliError(EXIT.user, "Cannot compare: give policies with -f, --delete, or both");
      }
      const files = filename === undefined ? [] : readPolicyInput(filename, options.recursive);
      const change = { files, deletes: removals(gone) };
      const answer = await askToExplain<DiffView & Pick<ApplyResult, "warnings">>(
        context,
        command,
        "/v1/policies/diff",
        change,
      );
      if ("errors" in answer) return printRefused(context, command, answer);
      const { warnings, ...view } = answer;
      context.print(command, answer, () => diffText(view));
      if (!wantsJson(command))
        for (const { message } of warnings) context.err(`warning: ${message}\n`);
      if (options.exitCode === true && view.isDifferent) process.exitCode = EXIT.differs;
    });
}
