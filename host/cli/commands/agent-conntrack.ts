/** Options of `imker agent` about how long the kernel knows a connection, with Cilium's names. */
import { type Command, InvalidArgumentError, Option } from "commander";
import type { CtTimeouts } from "../../datapath/abi.ts";
import { parseDuration } from "../duration.ts";

/** The kernel counts whole seconds and moves an expiry by no less than one (bpf/lib/ct.h). */
const SECONDS_MIN = 2;
/** A year. */
const SECONDS_MAX = 365 * 24 * 3600;

export interface ConntrackFlags {
  bpfCtTimeoutRegularTcp: number;
  bpfCtTimeoutRegularTcpSyn: number;
  bpfCtTimeoutRegularTcpFin: number;
  bpfCtTimeoutRegularAny: number;
}

export function addConntrackOptions(agent: Command): Command {
  const life = (name: string, what: string, text: string): Option =>
    new Option(`--bpf-ct-timeout-regular-${name} <duration>`, `how long ${what} is known`)
      .argParser(parseTimeout)
      .default(parseTimeout(text), text);
  return agent
    .addOption(life("tcp", "TCP that was answered", "2h13m20s"))
    .addOption(life("tcp-syn", "TCP that was not answered yet", "1m0s"))
    .addOption(life("tcp-fin", "TCP that has ended", "10s"))
    .addOption(life("any", "a connection of another protocol", "1m0s"));
}

export function ctTimeouts(flags: ConntrackFlags): CtTimeouts {
  return {
    tcp: flags.bpfCtTimeoutRegularTcp,
    tcpOpening: flags.bpfCtTimeoutRegularTcpSyn,
    tcpClosing: flags.bpfCtTimeoutRegularTcpFin,
    other: flags.bpfCtTimeoutRegularAny,
  };
}

/** Seconds. */
function parseTimeout(text: string): number {
  const seconds = (parseDuration(text) ?? Number.NaN) / 1000;
  if (!Number.isInteger(seconds) || seconds < SECONDS_MIN || seconds > SECONDS_MAX) {
    throw new InvalidArgumentError(
      "expected whole seconds as a duration from 2s to 8760h, such as 2h13m20s",
    );
  }
  return seconds;
}
