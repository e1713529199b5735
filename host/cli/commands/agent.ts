/** `imker agent`: run the agent in the foreground. */
import { availableParallelism, hostname } from "node:os";
import { join } from "node:path";
import { type Command, InvalidArgumentError, Option } from "commander";
import { AGENT_DEFAULTS, type AgentOptions, type TcpApiOptions } from "../../options.ts";
import { globalOption } from "../context.ts";
import { CliError, EXIT } from "../errors.ts";

const WORKERS_MAX = 64;
const MILLISECONDS_MAX = 3_600_000;
export const WORKERS_DEFAULT = Math.min(availableParallelism(), WORKERS_MAX);

export function parseWorkers(text: string): number {
  const workers = Number(text);
  if (!Number.isInteger(workers) || workers < 1 || workers > WORKERS_MAX) {
    throw new InvalidArgumentError(`expected a number from 1 to ${WORKERS_MAX}`);
  }
  return workers;
}

function parseMilliseconds(text: string): number {
  const milliseconds = Number(text);
  if (!Number.isInteger(milliseconds) || milliseconds < 0 || milliseconds > MILLISECONDS_MAX) {
    throw new InvalidArgumentError(`expected a number from 0 to ${MILLISECONDS_MAX}`);
  }
  return milliseconds;
}

type Flags = Omit<AgentOptions, "devices" | "prefilterDevices" | "policyDir" | "tcpApi"> & {
  device: string[];
  prefilterDevice: string[];
  policyDir?: string;
} & TcpApiFlags;

interface TcpApiFlags {
  apiListen?: { host: string; port: number };
  apiTlsCert?: string;
  apiTlsKey?: string;
}

export function addAgentCommand(program: Command): void {
  program
    .command("agent")
    .description("run the agent in the foreground; it starts and watches the proxy")
    .option("--run-dir <path>", "sockets and logs", AGENT_DEFAULTS.runDir)
    .option("--state-dir <path>", "database and proxy state", AGENT_DEFAULTS.stateDir)
    .option("--bpffs <path>", "where maps and links are pinned", AGENT_DEFAULTS.bpffs)
    .option("--node <name>", "name of this node in flows", hostname())
    .option("--cluster <name>", "name of the cluster in labels", AGENT_DEFAULTS.cluster)
    .option("--ipv4-pool <cidr>", "pod addresses", AGENT_DEFAULTS.ipv4Pool)
    .option("--ipv6-pool <cidr>", "pod addresses", AGENT_DEFAULTS.ipv6Pool)
    .option("--device <interface>", "interface to the outside; repeat", collect, [])
    .option(
      "--prefilter-device <interface>",
      "interface with the prefilter; repeat; default: those of --device",
      collect,
      [],
    )
    .option(
      "--prefilter-event-ms <n>",
      "at most one drop event of the prefilter in this time, on each CPU",
      parseMilliseconds,
      1,
    )
    .option("--policy-dir <path>", "keep the policy files of this folder in force")
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
    )
    .action(async (flags: Flags, command: Command) => {
      const { device, prefilterDevice, policyDir, apiListen, apiTlsCert, apiTlsKey, ...rest } =
        flags;
      const tcpApi = tcpApiOptions({ apiListen, apiTlsCert, apiTlsKey });
      // Loading the agent takes a while; the other commands must not pay for it.
      const { runAgent } = await import("../../main.ts");
      await runAgent({
        ...rest,
        devices: device,
        prefilterDevices: prefilterDevice,
        policyDir,
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
