/** `imker agent`: run the agent in the foreground. */
import { availableParallelism, hostname } from "node:os";
import { join } from "node:path";
import { type Command, InvalidArgumentError, Option } from "commander";
import {
  AGENT_DEFAULTS,
  type AgentOptions,
  type PolicyOptions,
  type TcpApiOptions,
} from "../../options.ts";
import { globalOption } from "../context.ts";
import { CliError, EXIT } from "../errors.ts";
import { addConntrackOptions, type ConntrackFlags, ctTimeouts } from "./agent-conntrack.ts";
import { addIdentityOptions, type IdentityFlags, identityOptions } from "./agent-identity.ts";
import { addPolicyOptions, enabling, type PolicyFlags, policyOptions } from "./agent-policy.ts";
import { addPrefilterOptions, type PrefilterFlags, prefilterOptions } from "./agent-prefilter.ts";
import { collectLabel } from "./label-option.ts";

const WORKERS_MAX = 64;
export const WORKERS_DEFAULT = Math.min(availableParallelism(), WORKERS_MAX);

export function parseWorkers(text: string): number {
  const workers = Number(text);
  if (!Number.isInteger(workers) || workers < 1 || workers > WORKERS_MAX) {
    throw new InvalidArgumentError(`expected a number from 1 to ${WORKERS_MAX}`);
  }
  return workers;
}

/** Options that a command line gives in another form. */
type OwnForm =
  | "devices"
  | "nodeLabels"
  | "policyDir"
  | "tcpApi"
  | "clusterState"
  | "cluster"
  | "identity"
  | "prefilter"
  | "ctTimeouts"
  | keyof PolicyOptions;

type Flags = Omit<AgentOptions, OwnForm> & {
  clusterName: string;
  device: string[];
  nodeLabel: Record<string, string>;
  clusterState?: string;
  policyDir?: string;
} & TcpApiFlags &
  IdentityFlags &
  PrefilterFlags &
  ConntrackFlags &
  PolicyFlags;

interface TcpApiFlags {
  apiListen?: { host: string; port: number };
  apiTlsCert?: string;
  apiTlsKey?: string;
}

export function addAgentCommand(program: Command): void {
  const agent = program
    .command("agent")
    .description("run the agent in the foreground; it starts and watches the proxy")
    .option("--run-dir <path>", "sockets and logs", AGENT_DEFAULTS.runDir)
    .option("--state-dir <path>", "database and proxy state", AGENT_DEFAULTS.stateDir)
    .option("--bpffs <path>", "where maps and links are pinned", AGENT_DEFAULTS.bpffs)
    .option("--node <name>", "name of this node in flows", hostname())
    .option("--cluster-name <name>", "name of the cluster in labels", AGENT_DEFAULTS.cluster)
    .option("--ipv4-pool <cidr>", "pod addresses", AGENT_DEFAULTS.ipv4Pool)
    .option("--ipv6-pool <cidr>", "pod addresses", AGENT_DEFAULTS.ipv6Pool)
    .option("--device <interface>", "interface to the outside; repeat", collect, [])
    .option("--policy-audit-mode", "let pass what L3/L4 policy denies, and tell of it")
    .option("--host-firewall", "enforce policies with a nodeSelector on the node itself")
    .addOption(enabling("host-firewall", "hostFirewall"))
    .option("--node-label <key=value>", "label of this node; repeat", collectLabel, {})
    .option("--policy-dir <path>", "keep the policy files of this folder in force")
    .option("--cluster-state <path>", "file or folder with namespaces, services, nodes, groups")
    .option("--api-listen <host:port>", "serve the API over TCP too, with TLS", parseListen)
    .option("--api-tls-cert <file>", "certificate of the API over TCP, with its chain (PEM)")
    .option("--api-tls-key <file>", "key of that certificate (PEM)")
    .option("--workers <n>", "worker threads of the proxy", parseWorkers, WORKERS_DEFAULT)
    .addOption(
      new Option("--runtime <name>", "what runs the proxy")
        .choices(["node", "deno"])
        .default("node"),
    )
    .addOption(
      new Option("--log-level <level>", "what is logged")
        .choices(["debug", "info", "warn", "error"])
        .default("info"),
    );
  addPolicyOptions(agent);
  addConntrackOptions(agent);
  addPrefilterOptions(addIdentityOptions(agent)).action(async (flags: Flags, command: Command) => {
    const { device, nodeLabel, policyDir, clusterState, clusterName, ...others } = flags;
    const { apiListen, apiTlsCert, apiTlsKey, ...rest } = others;
    const tcpApi = tcpApiOptions({ apiListen, apiTlsCert, apiTlsKey });
    // Loading the agent takes a while; the other commands must not pay for it.
    const { runAgent } = await import("../../main.ts");
    await runAgent({
      ...rest,
      cluster: clusterName,
      identity: identityOptions(flags),
      ...policyOptions(flags),
      ctTimeouts: ctTimeouts(flags),
      devices: device,
      nodeLabels: nodeLabel,
      prefilter: prefilterOptions(flags),
      policyDir,
      clusterState,
      tcpApi,
      socket: globalOption(command, "socket") ?? join(rest.runDir, "admin.sock"),
    });
  });
}

/** `HOST:PORT`; an IPv6 address stands in brackets. */
function parseListen(text: string): { host: string; port: number } {
  const match = /^(?:\[([0-9a-fA-F:.]+)\]|([^:[\]]+)):(\d{1,5})$/.exec(text);
  const [, ipv6, name, digits] = match ?? [];
  const host = ipv6 ?? name;
  const port = Number(digits);
  if (host === undefined || !(port <= 65_535)) {
    throw new InvalidArgumentError("expected HOST:PORT, such as 127.0.0.1:9443 or [::1]:9443");
  }
  return { host, port };
}

/** There is no way to have the API on TCP without TLS. */
function tcpApiOptions({
  apiListen,
  apiTlsCert,
  apiTlsKey,
}: {
  [name in keyof TcpApiFlags]-?: TcpApiFlags[name] | undefined;
}): TcpApiOptions | undefined {
  if (apiListen === undefined && apiTlsCert === undefined && apiTlsKey === undefined) {
    return undefined;
  }
  const missing = [
    ...(apiListen === undefined ? ["--api-listen"] : []),
    ...(apiTlsCert === undefined ? ["--api-tls-cert"] : []),
    ...(apiTlsKey === undefined ? ["--api-tls-key"] : []),
  ];
  if (apiListen === undefined || apiTlsCert === undefined || apiTlsKey === undefined) {
    throw new CliError(
      EXIT.environment,
      `Cannot serve the API over TCP: ${missing.join(" and ")} missing; it needs TLS`,
    );
  }
  return { ...apiListen, certFile: apiTlsCert, keyFile: apiTlsKey };
}

function collect(value: string, all: string[]): string[] {
  return [...all, value];
}
