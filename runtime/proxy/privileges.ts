/**
 * What the process may do: as many files as allowed, and only the capabilities that transparent
 * sockets and the pinned maps need. Capabilities are a thread's; this runs before workers start, so
 * they inherit what is left (the threads of the JavaScript engine itself, which serve nobody, were
 * started earlier).
 */
import type { EngineAddon } from "../engine/index.ts";

/** linux/capability.h. */
const CAPABILITY = { netBindService: 10, netAdmin: 12, netRaw: 13, sysAdmin: 21, bpf: 39 } as const;

/** Descriptors that are not connections: runtime, logs, maps, listeners, control. */
const FILES_RESERVED = 512;
const FILES_PER_WORKER = 64;
const FILES_PER_CONNECTION = 2;
const CONNECTIONS_PER_WORKER_MAX = 16_384;

/** Connections each of `workers` may have open. */
export function connectionsMax(addon: EngineAddon, workers: number): number {
  const files = addon.raiseFileLimit() - FILES_RESERVED - workers * FILES_PER_WORKER;
  const share = Math.floor(files / FILES_PER_CONNECTION / workers);
  return Math.max(16, Math.min(CONNECTIONS_PER_WORKER_MAX, share));
}

/**
 * CAP_NET_ADMIN: IP_TRANSPARENT and SO_MARK; CAP_NET_RAW: transparent on older kernels;
 * CAP_NET_BIND_SERVICE: a client's own port below 1024; CAP_BPF and CAP_SYS_ADMIN: opening an
 * endpoint's policy map by its id (bpf_map_get_fd_by_id in kernel/bpf/syscall.c).
 */
export function dropPrivileges(addon: EngineAddon, datapath: boolean): void {
  const { netBindService, netAdmin, netRaw, sysAdmin, bpf } = CAPABILITY;
  addon.keepCapabilities(
    datapath
      ? Uint8Array.of(netBindService, netAdmin, netRaw, sysAdmin, bpf)
      : Uint8Array.of(netBindService),
  );
}
