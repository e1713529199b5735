/** What can be wrong with the agent's options, found before anything is started or touched. */
import { statSync } from "node:fs";
import { AddressError, AddressPool } from "../endpoint/ipam.ts";
import { createLabelFilter } from "../identity/label-filter.ts";
import { checkCluster } from "../identity/ranges.ts";
import { parseFixedIdentityMapping } from "../identity/reserved.ts";
import type { AgentOptions } from "../options.ts";
import { refusedDevice } from "../prefilter/options.ts";
import { EnvironmentError } from "./environment.ts";

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
  checkIdentity(options);
  const { policyDir, clusterState, devices } = options;
  if (
    clusterState !== undefined &&
    statSync(clusterState, { throwIfNoEntry: false }) === undefined
  ) {
    throw new OptionError(`Cannot use --cluster-state ${clusterState}: there is no such path`);
  }
  if (policyDir !== undefined && statSync(policyDir, { throwIfNoEntry: false }) === undefined) {
    throw new OptionError(`Cannot use --policy-dir ${policyDir}: there is no such folder`);
  }
  const refused = refusedDevice(options.prefilter);
  if (refused !== undefined) throw new OptionError(refused);
  for (const [option, device] of [
    ...devices.map((name) => ["--device", name] as const),
    ...options.prefilter.devices.map((name) => ["--prefilter-device", name] as const),
  ]) {
    if (interfaceIndex(device) !== 0) continue;
    throw new EnvironmentError(
      `Cannot use ${option} ${device}: no such interface; 'ip link' lists those there are`,
    );
  }
}

function checkIdentity({ cluster: name, node, identity }: AgentOptions): void {
  const { clusterId: id, maxConnectedClusters, fixedMapping, labels, etcd } = identity;
  checked("--cluster-name, --cluster-id", () => checkCluster({ name, id, maxConnectedClusters }));
  checked("--labels", () => createLabelFilter(labels));
  if (fixedMapping !== undefined) {
    checked("--fixed-identity-mapping", () => parseFixedIdentityMapping(fixedMapping));
  }
  // It is part of keys in the shared store.
  if (!/^[-a-zA-Z0-9_.:]{1,253}$/.test(node)) {
    throw new OptionError(`Cannot use --node "${node}": expected a host name or an address`);
  }
  const files = [etcd?.certFile, etcd?.keyFile, etcd?.caFile, etcd?.passwordFile];
  for (const file of files.filter((one) => one !== undefined)) {
    if (statSync(file, { throwIfNoEntry: false })?.isFile()) continue;
    throw new EnvironmentError(`Cannot use ${file} for etcd: there is no such file`);
  }
}

function checked(option: string, check: () => void): void {
  try {
    check();
  } catch (cause) {
    const reason = cause instanceof Error ? cause.message : String(cause);
    throw new OptionError(`${option}: ${reason}`, { cause });
  }
}

function checkPool(option: string, cidr: string): void {
  try {
    new AddressPool(cidr);
  } catch (cause) {
    if (!(cause instanceof AddressError)) throw cause;
    throw new OptionError(`${option}: ${cause.message}`, { cause });
  }
}
