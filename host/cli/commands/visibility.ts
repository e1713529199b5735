/** `imker visibility …`: traffic shown to a plugin, whatever policies say about it. */
import type { Command } from "commander";
import { InvalidArgumentError, Option } from "commander";
import type { PolicyView } from "../../admin/types.ts";
import type { Endpoint } from "../../endpoint/types.ts";
import {
  type VisibilityRequest,
  visibilityObject,
  visibilityRow,
} from "../../visibility/object.ts";
import { type CliContext, table } from "../context.ts";
import { CliError, EXIT } from "../errors.ts";
import { deletePolicies, displayName, reportProblems, sendPolicies } from "../policy-result.ts";

const KIND = "VisibilityPolicy";

interface AddOptions {
  endpoint?: string;
  selector?: Record<string, string>;
  namespace?: string;
  port: number[];
  plugin: string;
  direction: "ingress" | "egress";
  name?: string;
  wait?: boolean;
}

export function addVisibilityCommands(program: Command, context: CliContext): void {
  const visibility = program
    .command("visibility")
    .description("show traffic to a plugin without any change to what is allowed");
  addAdd(visibility, context);
  visibility
    .command("list")
    .description("what is shown to which plugin")
    .action(async (_options: unknown, command: Command) => {
      await context.withClient(command, async (client) => {
        const all = await client.call<PolicyView[]>("GET", "/v1/policies");
        const chosen = all.filter(({ kind }) => kind === KIND);
        context.print(command, chosen, (views) =>
          table(
            ["NAMESPACE", "NAME", "ENDPOINTS", "DIRECTION", "PORTS", "PLUGIN"],
            views.map((one) => [one.namespace, one.name, ...visibilityRow(one.object)]),
          ),
        );
      });
    });
  addDelete(visibility, context);
}

function addAdd(visibility: Command, context: CliContext): void {
  visibility
    .command("add")
    .description("show the traffic of an endpoint, or of all that a selector selects")
    .option("--endpoint <reference>", "an endpoint: id, name, or namespace/name")
    .option("--selector <labels>", "labels key=value, with commas between; all must match", labels)
    .option("--namespace <namespace>", "of the selected endpoints (default: default)")
    .requiredOption("--port <port...>", "such as 6379/TCP", port)
    .requiredOption("--plugin <plugin>", "NAME, or NAME@VERSION")
    .addOption(
      new Option("--direction <direction>", "as the endpoint sees it")
        .choices(["ingress", "egress"])
        .default("ingress"),
    )
    .option("--name <name>", "of the policy that is made (default: made of the options)")
    .option("--wait", "return when it is in force")
    .action(async (options: AddOptions, command: Command) => {
      const object = visibilityObject(await requestOf(context, command, options));
      const files = [{ file: "visibility add", text: JSON.stringify(object) }];
      const path = `/v1/policies${options.wait ? "?wait=true" : ""}`;
      const result = await sendPolicies(context, command, path, files);
      context.print(command, result, (value) =>
        value.applied.map((one) => `${displayName(one)} added\n`).join(""),
      );
      reportProblems(context, command, result);
    });
}

function addDelete(visibility: Command, context: CliContext): void {
  visibility
    .command("delete")
    .description("no longer show it; open connections end as they began")
    .argument("<name...>", "name, or namespace/name")
    .option("--wait", "return when it is in force")
    .action(async (names: string[], options: { wait?: boolean }, command: Command) => {
      await deletePolicies(context, command, {
        wait: options.wait === true,
        choose: (all) => names.flatMap((name) => select(all, name)),
      });
    });
}

async function requestOf(
  context: CliContext,
  command: Command,
  options: AddOptions,
): Promise<VisibilityRequest> {
  const { endpoint, selector, direction, plugin, name, port: ports } = options;
  if ((endpoint === undefined) === (selector === undefined)) {
    throw new CliError(EXIT.user, "Cannot add visibility: give --endpoint or --selector");
  }
  const rest = { direction, plugin, name, ports };
  if (endpoint === undefined) {
    return {
      ...rest,
      namespace: options.namespace ?? "default",
      target: { labels: selector ?? {} },
    };
  }
  if (options.namespace !== undefined) {
    const detail = "--namespace goes with --selector, an endpoint has its own";
    throw new CliError(EXIT.user, `Cannot add visibility: ${detail}`);
  }
  // The agent knows which endpoint is meant, and that there is one.
  const found = await context.withClient(command, (client) =>
    client.call<Endpoint>("GET", `/v1/endpoints/${endpoint}`),
  );
  return { ...rest, namespace: found.namespace, target: { endpoint: found.name } };
}

function select(all: PolicyView[], name: string): PolicyView[] {
  const found = all.filter(
    (one) => one.kind === KIND && (one.name === name || `${one.namespace}/${one.name}` === name),
  );
  if (found.length > 0) return found;
  throw new CliError(EXIT.user, `Cannot find visibility "${name}": see 'imker visibility list'`);
}

function port(text: string, before: number[] = []): number[] {
  const [, digits] = /^(\d{1,5})(?:\/tcp)?$/i.exec(text) ?? [];
  const number = Number(digits ?? 0);
  if (number >= 1 && number <= 65_535) return [...before, number];
  throw new InvalidArgumentError("Expected a TCP port such as 6379/TCP.");
}

function labels(text: string, before: Record<string, string> = {}): Record<string, string> {
  const found = { ...before };
  for (const part of text.split(",")) {
    const equals = part.indexOf("=");
    if (equals < 1) throw new InvalidArgumentError("Expected key=value.");
    found[part.slice(0, equals)] = part.slice(equals + 1);
  }
  return found;
}
