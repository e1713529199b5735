/** What can be wrong with the agent's options, found before anything is started or touched. */
import { statSync } from "node:fs";
import { AddressError, AddressPool } from "../endpoint/ipam.ts";
import type { AgentOptions } from "../options.ts";
import { EnvironmentError } from "./environment.ts";

const LOOPBACK = "lo";

/** The caller's mistake; the message names the option. */
export class OptionError extends Error {
  override readonly name = "OptionError";
}

/**
 * `interfaceIndex`: of this network namespace, 0 when there is none of that name.
 * @throws OptionError, or EnvironmentError for an interface that is not there.
 */
export function checkOptions(
  options: AgentOptions,
  interfaceIndex: (name: string) => number,
): void {
  checkPool("--ipv4-pool", options.ipv4Pool);
  checkPool("--ipv6-pool", options.ipv6Pool);
  const { policyDir, devices, prefilterDevices } = options;
  if (policyDir !== undefined && statSync(policyDir, { throwIfNoEntry: false }) === undefined) {
    throw new OptionError(`Cannot use --policy-dir ${policyDir}: there is no such folder`);
  }
  if (prefilterDevices.includes(LOOPBACK)) {
    throw new OptionError("Cannot use --prefilter-device lo: the node must reach itself");
  }
  for (const [option, device] of [
    ...devices.map((name) => ["--device", name] as const),
    ...prefilterDevices.map((name) => ["--prefilter-device", name] as const),
  ]) {
    if (interfaceIndex(device) !== 0) continue;
    throw new EnvironmentError(
      `Cannot use ${option} ${device}: no such interface; 'ip link' lists those there are`,
    );
  }
}

/** Where packets of denied sources are dropped: never on the loopback. */
export function prefilterDevices(
  options: Pick<AgentOptions, "devices" | "prefilterDevices">,
): string[] {
  const chosen = options.prefilterDevices.length > 0 ? options.prefilterDevices : options.devices;
  return chosen.filter((device) => device !== LOOPBACK);
}

function checkPool(option: string, cidr: string): void {
  try {
    new AddressPool(cidr);
  } catch (cause) {
    if (!(cause instanceof AddressError)) throw cause;
    throw new OptionError(`${option}: ${cause.message}`, { cause });
  }
}
