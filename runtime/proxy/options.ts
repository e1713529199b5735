/** The proxy's command line: what it accepts, its defaults, its help. */

import { isIP } from "node:net";
import { availableParallelism } from "node:os";
import { parseArgs } from "node:util";
import type { StaticListener } from "../worker/messages.ts";

/** The datapath's socket map has two slots for each worker (LISTENER_SLOTS of bpf/abi/abi.h). */
const WORKERS_MAX = 64;

export interface ProxyOptions {
  /** Control socket and record sockets. */
  runDir: string;
  /** The last confirmed state. */
  stateDir: string;
  /** Folder whose `maps/` holds the pinned maps; undefined with static listeners. */
  bpffs: string | undefined;
  workers: number;
  listeners: StaticListener[];
  /** A ProxyState to begin with, instead of the one in `stateDir`. */
  stateFile: string | undefined;
  logLevel: string;
}

export class OptionsError extends Error {
  override readonly name = "OptionsError";
}

export const HELP = `Usage: runtime/main.ts [options]

Serves connections that policy hands to L7 plugins. The agent (imker agent) starts and steers it.

  --run-dir DIR      control and record sockets (default /var/run/imker)
  --state-dir DIR    last confirmed state (default /var/lib/imker)
  --bpffs DIR        where the agent pins its maps (default /sys/fs/bpf/imker)
  --workers N        worker threads, 1 to ${WORKERS_MAX} (default: one for each processor)
  --log-level LEVEL  debug, info, warn, error (default info)
  --help

Without datapath and privileges, for benchmarks and tests:
  --static LISTEN=UPSTREAM[,KEY=N…]
                     relay from one address to another, for example
                     127.0.0.1:8080=127.0.0.1:9090,egress=1 or [::1]:8080=[::1]:9090.
                     Keys: egress and ingress (rule set ids; egress is the first of the state file
                     when neither is given), source and destination (identities; 1000 and 1001)
  --state FILE       JSON file with the state: { revision, plugins, services, ruleSets }
`;

/** Undefined: help was asked for. Throws OptionsError naming the wrong option. */
export function parseOptions(args: string[]): ProxyOptions | undefined {
  const values = parse(args);
  if (values.help === true) return undefined;
  const workers = values.workers === undefined ? availableParallelism() : Number(values.workers);
  if (!Number.isInteger(workers) || workers < 1 || workers > WORKERS_MAX) {
    throw new OptionsError(`Cannot use --workers ${values.workers}: not 1 to ${WORKERS_MAX}`);
  }
  const listeners = (values.static ?? []).map(parseListener);
  return {
    runDir: values["run-dir"] ?? "/var/run/imker",
    stateDir: values["state-dir"] ?? "/var/lib/imker",
    bpffs: listeners.length > 0 ? undefined : (values.bpffs ?? "/sys/fs/bpf/imker"),
    workers: Math.min(workers, WORKERS_MAX),
    listeners,
    stateFile: values.state,
    logLevel: values["log-level"] ?? "info",
  };
}

function parse(args: string[]) {
  try {
    return parseArgs({
      args,
      options: {
        "run-dir": { type: "string" },
        "state-dir": { type: "string" },
        bpffs: { type: "string" },
        workers: { type: "string" },
        static: { type: "string", multiple: true },
        state: { type: "string" },
        "log-level": { type: "string" },
        help: { type: "boolean" },
      },
    }).values;
  } catch (cause) {
    const reason = cause instanceof Error ? cause.message : String(cause);
    throw new OptionsError(`Cannot read the options: ${reason}`, { cause });
  }
}

function parseListener(text: string): StaticListener {
  const wrong = (what: string): OptionsError =>
    new OptionsError(`Cannot use --static ${text}: ${what}`);
  const [addresses = "", ...pairs] = text.split(",");
  const [listen = "", upstream = "", surplus] = addresses.split("=");
  const at = parseAddress(listen);
  const to = parseAddress(upstream);
  if (at === undefined || to === undefined || surplus !== undefined) {
    throw wrong("expected ADDRESS:PORT=ADDRESS:PORT");
  }
  const numbers = new Map([
    ["egress", 0],
    ["ingress", 0],
    ["source", 1000],
    ["destination", 1001],
  ]);
  for (const pair of pairs) {
    const [key = "", value = ""] = pair.split("=");
    if (!numbers.has(key) || !/^\d{1,10}$/.test(value)) throw wrong(`what is "${pair}"`);
    numbers.set(key, Number(value));
  }
  return {
    host: at.host,
    port: at.port,
    upstreamHost: to.host,
    upstreamPort: to.port,
    sourceIdentity: numbers.get("source") ?? 0,
    destinationIdentity: numbers.get("destination") ?? 0,
    egressRules: numbers.get("egress") ?? 0,
    ingressRules: numbers.get("ingress") ?? 0,
  };
}

function parseAddress(text: string): { host: string; port: number } | undefined {
  const [, bracketed, plain, port] = /^(?:\[([^\]]+)\]|([^:]+)):(\d{1,5})$/.exec(text) ?? [];
  const host = bracketed ?? plain ?? "";
  return isIP(host) === 0 || Number(port) > 65_535 ? undefined : { host, port: Number(port) };
}
