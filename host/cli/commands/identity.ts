/** `imker identity …`: which labels stand behind the numbers in flows and maps. */
import type { Command } from "commander";
import type { IdentityView } from "../../admin/types.ts";
import { type CliContext, table } from "../context.ts";
import { CliError, EXIT } from "../errors.ts";

export function addIdentityCommands(program: Command, context: CliContext): void {
  const identity = program
    .command("identity")
    .description("numbers that stand for labels in the kernel's maps and in flows");
  identity
    .command("list")
    .description("all identities that this node knows; with labels only those that have them")
    .argument("[label...]", "such as app=web, k8s:app=web or reserved:world; all must match")
    .action(async (wanted: string[], _options: unknown, command: Command) => {
      await context.withClient(command, async (client) => {
        const all = await client.call<IdentityView[]>("GET", "/v1/identities");
        context.print(command, selectIdentities(all, wanted), identityTable);
      });
    });
  identity
    .command("get")
    .description("the identity of a number, or those with these labels")
    .argument("<id-or-label...>", "a number, or labels such as app=web")
    .action(async (words: string[], _options: unknown, command: Command) => {
      await context.withClient(command, async (client) => {
        const [first = ""] = words;
        if (words.length === 1 && /^\d+$/.test(first)) {
          const one = await client.call<IdentityView>("GET", `/v1/identities/${first}`);
          context.print(command, one, (view) => identityTable([view]));
          return;
        }
        const all = await client.call<IdentityView[]>("GET", "/v1/identities");
        const found = selectIdentities(all, words);
        if (found.length === 0) {
          throw new CliError(EXIT.user, `Cannot find an identity with ${words.join(" ")}`);
        }
        context.print(command, found, identityTable);
      });
    });
}

/** A label without a source may be of any; one without a value may have any. */
export function selectIdentities(
  all: readonly IdentityView[],
  wanted: readonly string[],
): IdentityView[] {
  return all.filter(({ labels }) =>
    wanted.every((text) => labels.some((label) => isLabel(label, text))),
  );
}

function isLabel(label: string, wanted: string): boolean {
  const names = [label, label.slice(label.indexOf(":") + 1)];
  return names.some((name) => name === wanted || name.startsWith(`${wanted}=`));
}

/** As `cilium-dbg identity list`: one label a line, the number at the first. */
function identityTable(all: readonly IdentityView[]): string {
  return table(
    ["ID", "LABELS"],
    all.flatMap(({ id, labels }) =>
      (labels.length === 0 ? [""] : labels).map((label, line) => [line === 0 ? id : "", label]),
    ),
  );
}
