/** What the agent needs of the machine, checked before anything is touched. */
import { existsSync } from "node:fs";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";

/** Something outside the program is missing; the message says what and how to get it. */
export class EnvironmentError extends Error {
  override readonly name = "EnvironmentError";
}

const PROJECT = dirname(dirname(dirname(fileURLToPath(import.meta.url))));

export const BUILD = {
  bpf: join(PROJECT, ".build", "bpf"),
  plugins: join(PROJECT, ".build", "plugins"),
  addons: join(PROJECT, ".build", "native"),
} as const;

/** @throws EnvironmentError with one line. */
export function checkEnvironment(): void {
  if (process.getuid?.() !== 0) {
    throw new EnvironmentError(
      "Cannot run the agent: it needs root (CAP_BPF, CAP_NET_ADMIN); run it with sudo",
    );
  }
  if (!existsSync("/sys/kernel/btf/vmlinux")) {
    throw new EnvironmentError(
      "Cannot run the agent: the kernel has no BTF (/sys/kernel/btf/vmlinux); " +
        "use a kernel built with CONFIG_DEBUG_INFO_BTF=y",
    );
  }
  for (const folder of Object.values(BUILD)) {
    if (existsSync(folder)) continue;
    throw new EnvironmentError(
      `Cannot run the agent: ${folder} is not built; run 'sh deploy/setup.sh'`,
    );
  }
}
