/** `imker endpoint …`: pods of this node. */
import { spawn } from "node:child_process";
import { constants } from "node:os";
import { type Command, InvalidArgumentError } from "commander";
import type { EndpointPolicy } from "../../admin/explain-types.ts";
import type { Endpoint } from "../../endpoint/types.ts";
import type { DirectionPolicies } from "../../policy/explain/endpoint-policy.ts";
import { type CliContext, table } from "../context.ts";
import { CliError, EXIT } from "../errors.ts";
import { wrapped } from "../wrapped.ts";
import { collectLabel } from "./label-option.ts";

/** Of what goes on in another line of details. */
const INDENT = " ".repeat(11);

interface AddOptions {
  create?: boolean;
  netns?: string;
  name: string;
  namespace: string;
  label: Record<string, string>;
  serviceAccount?: string;
  ipv4?: string;
  ipv6?: string;
  port: { name: string; port: number; protocol: string }[];
}

export function addEndpointCommands(program: Command, context: CliContext): void {
  const endpoint = program
    .command("endpoint")
    .description("pods of this node, and the node itself");
  addAdd(endpoint, context);
  endpoint
    .command("list")
    .description("all endpoints of this node")
    .action(async (_options: unknown, command: Command) => {
      await context.withClient(command, async (client) => {
        const all = await client.call<Endpoint[]>("GET", "/v1/endpoints");
        context.print(command, all, endpointTable);
      });
    });
  endpoint
    .command("get")
    .description("one endpoint, and which policies are for it")
    .argument("<endpoint>", "id, name, or namespace/name")
    .action(async (reference: string, _options: unknown, command: Command) => {
      await context.withClient(command, async (client) => {
        const one = await client.call<Endpoint>("GET", endpointPath(reference));
        const path = `/v1/policies/of/${one.id}`;
        const policy = await client.call<EndpointPolicy>("GET", path);
        context.print(command, { ...one, policy }, () => details(one) + policyDetails(policy));
      });
    });
  endpoint
    .command("delete")
    .description("remove an endpoint, its interface, and its namespace if imker made it")
    .argument("<endpoint>", "id, name, or namespace/name")
    .action(async (reference: string, _options: unknown, command: Command) => {
      await context.withClient(command, async (client) => {
        const gone = await client.call<Endpoint>("DELETE", endpointPath(reference));
        context.print(command, gone, (one) => `endpoint ${one.namespace}/${one.name} deleted\n`);
      });
    });
  addConfig(endpoint, context);
  addLabel(endpoint, context);
  addExec(endpoint, context);
}

function addConfig(endpoint: Command, context: CliContext): void {
  endpoint
    .command("config")
    .description("change an option of an endpoint; it ends with the agent")
    .argument("<endpoint>", "id, name, or namespace/name")
    .argument("<option>", "PolicyAuditMode=Enabled or PolicyAuditMode=Disabled", parseAuditMode)
    .action(async (...given: [string, boolean, unknown, Command]) => {
      const [reference, policyAuditMode, , command] = given;
      await context.withClient(command, async (client) => {
        const path = endpointPath(reference).replace("/v1/endpoints/", "/v1/endpoint-options/");
        context.print(
          command,
          await client.call<Endpoint>("PUT", path, { policyAuditMode }),
          details,
        );
      });
    });
}

function parseAuditMode(text: string): boolean {
  const [, value] = /^PolicyAuditMode=(Enabled|Disabled)$/i.exec(text) ?? [];
  if (value === undefined)
    throw new InvalidArgumentError("expected PolicyAuditMode=Enabled or PolicyAuditMode=Disabled");
  return value.toLowerCase() === "enabled";
}

function addLabel(endpoint: Command, context: CliContext): void {
  endpoint
    .command("label")
    .description("change labels, and with them the identity; ends when that is in force")
    .argument("<endpoint>", "id, name, or namespace/name")
    .argument("<change...>", "key=value sets a label, key- takes it away")
    .action(async (reference: string, words: string[], _options: unknown, command: Command) => {
      const labels = Object.fromEntries(words.map(labelChange));
      await context.withClient(command, async (client) => {
        const one = await client.call<Endpoint>("PATCH", endpointPath(reference), { labels });
        context.print(command, one, details);
      });
    });
}

/** As kubectl has it. */
function labelChange(word: string): [key: string, value: string | null] {
  const at = word.indexOf("=");
  if (at > 0) return [word.slice(0, at), word.slice(at + 1)];
  if (at < 0 && word.length > 1 && word.endsWith("-")) return [word.slice(0, -1), null];
  throw new CliError(EXIT.user, `Cannot read "${word}": expected key=value or key-`);
}

function addAdd(endpoint: Command, context: CliContext): void {
  endpoint
    .command("add")
    .description("add a pod: a network namespace with an address, labels and policy")
    .option("--create", "make a network namespace for it (the default without --netns)")
    .option("--netns <path>", "use this network namespace, such as /run/netns/web")
    .requiredOption("--name <name>", "name of the pod")
    .option("--namespace <namespace>", "Kubernetes namespace", "default")
    .option("--label <key=value>", "pod label; repeat for more", collectLabel, {})
    .option("--service-account <name>", "Kubernetes service account; policies may select by it")
    .option("--ipv4 <address>", "wanted IPv4 address (default: the next free one)")
    .option("--ipv6 <address>", "wanted IPv6 address (default: the next free one)")
    .option(
      "--port <name=port/protocol>",
      "named port, such as web=80/TCP; repeat",
      collectPort,
      [],
    )
    .action(async (options: AddOptions, command: Command) => {
      if (options.create && options.netns !== undefined) {
        throw new CliError(EXIT.user, "Cannot use --create and --netns together: choose one");
      }
      const { name, namespace, label, serviceAccount, netns, ipv4, ipv6, port } = options;
      await context.withClient(command, async (client) => {
        const pod = { name, namespace, labels: label, serviceAccount, ports: port };
        const body = { ...pod, netns, ipv4, ipv6 };
        const made = await client.call<Endpoint>("POST", "/v1/endpoints", body);
        context.print(command, made, details);
      });
    });
}

function addExec(endpoint: Command, context: CliContext): void {
  endpoint
    .command("exec")
    .description("run a command in an endpoint's network namespace; exits with its code")
    .usage("[options] <endpoint> -- <command> [argument…]")
    .argument("<endpoint>", "id, name, or namespace/name")
    .argument("<command...>", "command and its arguments, after --")
    .action(async (reference: string, argv: string[], _options: unknown, command: Command) => {
      const one = await context.withClient(command, (client) =>
        client.call<Endpoint>("GET", endpointPath(reference)),
      );
      process.exitCode = await runIn(one.netns, argv);
    });
}

/** Exit code of the command, 128 + n when signal n ended it. */
function runIn(netns: string, argv: string[]): Promise<number> {
  return new Promise((resolve, reject) => {
    const child = spawn("nsenter", [`--net=${netns}`, "--", ...argv], { stdio: "inherit" });
    child.once("error", (cause) => {
      const hint = "needs root and nsenter (Debian package util-linux)";
      reject(
        new CliError(EXIT.environment, `Cannot enter ${netns}: ${cause.message}; ${hint}`, {
          cause,
        }),
      );
    });
    child.once("exit", (code, signal) => {
      resolve(code ?? 128 + (signal === null ? 0 : constants.signals[signal]));
    });
  });
}

function endpointPath(reference: string): string {
  return `/v1/endpoints/${reference.split("/").map(encodeURIComponent).join("/")}`;
}

function collectPort(text: string, ports: AddOptions["port"]): AddOptions["port"] {
  const match = /^([^=]+)=(\d+)(?:\/(\w+))?$/.exec(text);
  if (match === null) throw new InvalidArgumentError("expected name=port/protocol: web=80/TCP");
  const [, name = "", port, protocol = "TCP"] = match;
  return [...ports, { name, port: Number(port), protocol: protocol.toUpperCase() }];
}

function endpointTable(all: Endpoint[]): string {
  return table(
    ["ID", "NAMESPACE", "NAME", "IDENTITY", "IPV4", "IPV6", "STATE", "REVISION"],
    all.map((one) => [
      one.id,
      one.namespace,
      one.name,
      one.identity,
      one.ipv4,
      one.ipv6,
      one.state,
      one.policyRevision,
    ]),
  );
}

function details(one: Endpoint): string {
  const lines: [string, string | number][] = [
    ["endpoint", `${one.namespace === "" ? "" : `${one.namespace}/`}${one.name} (id ${one.id})`],
    ["identity", one.identity],
    ["labels", one.labels.join(`\n${INDENT}`)],
    ["addresses", `${one.ipv4} ${one.ipv6}`],
    ["namespace", one.netns],
    ["state", `${one.state}, policy revision ${one.policyRevision}`],
    ["audit mode", one.policyAuditMode ? "on: L3/L4 denials pass" : "off"],
  ];
  const trouble = one.trouble === undefined ? "" : wrapped(one.trouble, INDENT, "trouble    ");
  return lines.map(([name, value]) => `${name.padEnd(10)} ${value}\n`).join("") + trouble;
}

function policyDetails(policy: EndpointPolicy): string {
  const { entriesWanted, entriesInstalled, revision, trouble } = policy;
  const entries =
    entriesWanted === undefined || entriesWanted === entriesInstalled
      ? `${entriesInstalled} entries`
      : `${entriesInstalled} entries, the policies (revision ${revision}) want ${entriesWanted}`;
  return (
    directionDetails("ingress", policy.ingress) +
    directionDetails("egress", policy.egress) +
    `policy map ${entries}\n` +
    (trouble === undefined ? "" : wrapped(trouble, INDENT, "trouble    "))
  );
}

function directionDetails(name: string, { isEnforced, policies }: DirectionPolicies): string {
  const state =
    isEnforced === undefined ? "undecided" : isEnforced ? "default deny" : "open: no default deny";
  const lines = [state, ...policies].join(`\n${INDENT}`);
  return `${name.padEnd(10)} ${lines}\n`;
}
