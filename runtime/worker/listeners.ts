/**
 * Opens a worker's listeners: static ones from its configuration, transparent ones when there is a
 * datapath, whose socket map they are put into so that it can assign connections to them.
 */
import { join } from "node:path";
import type { Engine, EngineAddon } from "../engine/index.ts";
import type { WorkerConfig } from "./messages.ts";

/** Returns the ports of the static listeners, in their order. */
export function openListeners(engine: Engine, addon: EngineAddon, config: WorkerConfig): number[] {
  const ports = config.listeners.map((listener) =>
    engine.listenStatic(
      listener.host,
      listener.port,
      listener.upstreamHost,
      listener.upstreamPort,
      Uint32Array.of(
        listener.sourceIdentity,
        listener.destinationIdentity,
        listener.egressRules,
        listener.ingressRules,
        0,
        0,
        0,
        0,
      ),
    ),
  );
  if (config.bpffs !== undefined) {
    const map = addon.openMap(join(config.bpffs, "maps", "listeners@1"));
    try {
      offer(engine, addon, map, config.worker);
    } finally {
      addon.closeFd(map);
    }
  }
  return ports;
}

/** Slot worker * 2 for IPv4, + 1 for IPv6; a socket in it replaces a predecessor's. */
function offer(engine: Engine, addon: EngineAddon, map: number, worker: number): void {
  for (const ipv6 of [false, true]) {
    const key = new Uint8Array(4);
    new DataView(key.buffer).setUint32(0, worker * 2 + (ipv6 ? 1 : 0), true);
    const value = new Uint8Array(addon.valueBytes(map));
    new DataView(value.buffer).setUint32(0, engine.listenTransparent(ipv6), true);
    addon.update(map, key, value);
  }
}
