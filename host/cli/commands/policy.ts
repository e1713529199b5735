/** `imker policy …`: the policies of this node. */
import { type Command, Option } from "commander";
import type { AppliedPolicy, ApplyResult, PolicyFile, PolicyView } from "../../admin/types.ts";
import type { FieldRow } from "../../policy/fields.ts";
import { type CliContext, table } from "../context.ts";
import { CliError, EXIT } from "../errors.ts";
import { RECURSIVE, readPolicyInput } from "../policy-input.ts";
import {
  type ChangeFlags,
  CutError,
  changeQuery,
  deletePolicies,
  displayName,
  reportProblems,
  sendPolicies,
} from "../policy-result.ts";
import { addPolicyDiff } from "./policy-diff.ts";
import { addPolicyTrace } from "./policy-trace.ts";

export function addPolicyCommands(program: Command, context: CliContext): void {
  const policy = program.command("policy").description("network policies");
  addApply(policy, context);
  addConfirm(policy, context);
  policy
    .command("validate")
    .description("check policy files without applying them, by the agent if one is reachable")
    .argument("<path...>", "YAML files, folders of them, or - for stdin")
    .option("--for-apply", "refuse what apply would refuse; without it, that is a warning")
    .option(...RECURSIVE)
    .action(async (paths: string[], options: ValidateFlags, command: Command) => {
      const files = readPolicyInput(paths, options.recursive);
      const result = await validate(context, command, files, options.forApply === true);
      context.print(command, result, (value) =>
        value.applied.map((one) => `${displayName(one)} is valid\n`).join(""),
      );
      reportProblems(context, command, result);
    });
  addFields(policy, context);
  addGet(policy, context);
  addDelete(policy, context);
  addPolicyTrace(policy, context);
  addPolicyDiff(policy, context);
}

interface ValidateFlags {
  forApply?: boolean;
  recursive?: boolean;
}

interface ApplyFlags extends ChangeFlags {
  filename: string[];
  recursive?: boolean;
  confirmTimeout?: string;
}

function addApply(policy: Command, context: CliContext): void {
  policy
    .command("apply")
    .description("put policies in force; nothing of a file with an error is applied")
    .requiredOption("-f, --filename <path...>", "YAML files, folders of them, or - for stdin")
    .option(...RECURSIVE)
    .option("--wait", "return when kernel and proxy enforce them")
    .option("--force", "also when that cuts open connections into the node, such as your own")
    .option("--confirm-timeout <duration>", "undo it after so long (60s, 5m) unless confirmed")
    .action(async (flags: ApplyFlags, command: Command) => {
      const files = readPolicyInput(flags.filename, flags.recursive);
      const result = await applyOrAsk(context, command, flags, files);
      context.print(command, result, appliedText);
      reportProblems(context, command, result);
    });
}

/** Who sits at a terminal may decide now what --force decides before. */
async function applyOrAsk(
  context: CliContext,
  command: Command,
  flags: ApplyFlags,
  files: PolicyFile[],
): Promise<ApplyResult> {
  const send = (force: boolean): Promise<ApplyResult> =>
    sendPolicies(context, command, applyPath(context, { ...flags, force }), files);
  try {
    return await send(flags.force === true);
  } catch (error) {
    if (!(error instanceof CutError) || context.ask === undefined) throw error;
    if (!(await context.ask(`${error.message}\nApply them all the same? [y/N] `))) throw error;
    return send(true);
  }
}

function applyPath(context: CliContext, { confirmTimeout, ...flags }: ApplyFlags): string {
  const query = changeQuery(context, flags);
  if (confirmTimeout !== undefined) query.set("confirm-timeout", confirmTimeout);
  return `/v1/policies?${query}`;
}

function appliedText({ applied, confirmBy }: ApplyResult): string {
  const lines = applied.map((one) => `${displayName(one)} applied (revision ${one.revision})\n`);
  if (confirmBy !== undefined) {
    lines.push(`undone at ${confirmBy} unless 'imker policy confirm' comes before\n`);
  }
  return lines.join("");
}

function addConfirm(policy: Command, context: CliContext): void {
  policy
    .command("confirm")
    .description("keep what was applied with --confirm-timeout")
    .action(async (_options: unknown, command: Command) => {
      await context.withClient(command, async (client) => {
        const kept = await client.call<AppliedPolicy[]>("POST", "/v1/policies/confirm");
        context.print(command, kept, (all) =>
          all.map((one) => `${displayName(one)} is kept\n`).join(""),
        );
      });
    });
}

function addFields(policy: Command, context: CliContext): void {
  policy
    .command("fields")
    .description("every field of the policy languages and whether it is enforced; needs no agent")
    .option("--markdown", "as the tables of docs/policy-support.md")
    .action(async (options: { markdown?: boolean }, command: Command) => {
      const { supportedFields, supportedFieldsMarkdown } = await import("../policy-fields.ts");
      if (options.markdown) context.out(supportedFieldsMarkdown());
      else context.print(command, supportedFields(), fieldTable);
    });
}

function fieldTable(rows: FieldRow[]): string {
  return table(
    ["KIND", "FIELD", "STATE"],
    rows.map(({ kinds, path, support }) => [kinds[0] ?? "", path, support]),
  );
}

interface GetFlags {
  output: "table" | "json" | "yaml";
}

function addGet(policy: Command, context: CliContext): void {
  policy
    .command("get")
    .description("policies in force")
    .argument("[name]", "name, namespace/name or KIND/namespace/name; without it, all")
    .addOption(
      new Option("-o, --output <format>", "yaml: the policies as they can be applied")
        .choices(["table", "json", "yaml"])
        .default("table"),
    )
    .action(async (name: string | undefined, { output }: GetFlags, command: Command) => {
      await context.withClient(command, async (client) => {
        const all = await client.call<PolicyView[]>("GET", "/v1/policies");
        const chosen = name === undefined ? all : select(all, name);
        if (output === "yaml") return context.out(await yamlText(chosen));
        if (output === "json") return context.out(`${JSON.stringify(chosen, undefined, 2)}\n`);
        context.print(command, chosen, (views) =>
          table(
            ["KIND", "NAMESPACE", "NAME", "REVISION", "SOURCE"],
            views.map((one) => [one.kind, one.namespace, one.name, one.revision, one.source]),
          ),
        );
      });
    });
}

/** One document for each. */
async function yamlText(views: readonly PolicyView[]): Promise<string> {
  const { stringify } = await import("yaml");
  return views.map(({ object }) => stringify(object)).join("---\n");
}

function addDelete(policy: Command, context: CliContext): void {
  policy
    .command("delete")
    .description("take policies out of force")
    .argument("<name...>", "name, namespace/name or KIND/namespace/name")
    .option("--wait", "return when kernel and proxy no longer enforce them")
    .option("--force", "also when that cuts open connections into the node, such as your own")
    .action(async (names: string[], flags: ChangeFlags, command: Command) => {
      await deletePolicies(context, command, {
        ...flags,
        choose: (all) => names.map((name) => selectOne(all, name)),
      });
    });
}

function select(all: PolicyView[], name: string): PolicyView[] {
  const found = all.filter((one) =>
    [one.name, `${one.namespace}/${one.name}`, displayName(one).replace(" ", "/")].includes(name),
  );
  if (found.length === 0) {
    throw new CliError(EXIT.user, `Cannot find policy "${name}": see 'imker policy get'`);
  }
  return found;
}

/** Nothing may go because it is called like something else. */
function selectOne(all: PolicyView[], name: string): PolicyView {
  const [one, ...others] = select(all, name);
  if (one !== undefined && others.length === 0) return one;
  const names = select(all, name).map((other) => displayName(other).replace(" ", "/"));
  throw new CliError(
    EXIT.user,
    `Cannot tell which policy "${name}" is: ${names.join(" or ")}; nothing was deleted`,
  );
}

/** An agent knows its plugins; without one, those of this tree decide. */
async function validate(
  context: CliContext,
  command: Command,
  files: PolicyFile[],
  forApply: boolean,
): Promise<ApplyResult> {
  try {
    const path = `/v1/policies/validate${forApply ? "?forApply=true" : ""}`;
    return await sendPolicies(context, command, path, files);
  } catch (error) {
    if (!(error instanceof CliError) || error.code !== EXIT.unreachable) throw error;
    // Loading the policy language takes a while; the other commands must not pay for it.
    const { validateLocally } = await import("../local-validate.ts");
    return validateLocally(files, forApply);
  }
}
