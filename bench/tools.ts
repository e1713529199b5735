/**
 * What the benchmarks need of the machine, and the one line that says how to get it.
 */
import { accessSync, constants } from "node:fs";
import { availableParallelism } from "node:os";
import { delimiter, join } from "node:path";
import { EnvironmentError } from "./errors.ts";

const HOW: Record<string, string> = {
  cc: "apt-get install gcc libc6-dev",
  haproxy: "apt-get install haproxy",
  ip: "apt-get install iproute2",
  "iptables-restore": "apt-get install iptables",
  make: "apt-get install make",
  nft: "apt-get install nftables",
  nsenter: "apt-get install util-linux",
  python3: "apt-get install python3 python3-venv",
  taskset: "apt-get install util-linux",
};

export function findTool(name: string, path = process.env.PATH ?? ""): string | undefined {
  const folders = [...path.split(delimiter), "/usr/sbin", "/sbin"];
  return folders
    .filter((folder) => folder !== "")
    .map((folder) => join(folder, name))
    .find((file) => isExecutable(file));
}

export function requireTool(name: string, path?: string): string {
  const found = findTool(name, path);
  if (found !== undefined) return found;
  throw new EnvironmentError(`Cannot run the benchmark: ${name} is missing (${HOW[name] ?? name})`);
}

export function requireMachine(): void {
  if (process.getuid?.() !== 0) {
    throw new EnvironmentError(
      "Cannot run the benchmark: it makes namespaces and cgroups (run as root)",
    );
  }
  if (availableParallelism() < 2) {
    throw new EnvironmentError(
      "Cannot run the benchmark: the proxy needs a core of its own (a machine with 2 CPUs or more)",
    );
  }
  for (const tool of ["make", "cc", "ip", "nsenter", "taskset"]) requireTool(tool);
}

function isExecutable(file: string): boolean {
  try {
    accessSync(file, constants.X_OK);
    return true;
  } catch {
    return false;
  }
}
