/** The XDP prefilter on the devices that the agent's options name. */
import type { KernelDatapath } from "../datapath/index.ts";
import { loadNative } from "../native/index.ts";
import { prefilterDevices } from "../prefilter/options.ts";
import { Prefilter } from "../prefilter/prefilter.ts";
import type { Base } from "./base.ts";

/** Before anything else is in force: what it drops needs nothing else. */
export function startPrefilter({ options, log, life }: Base, datapath: KernelDatapath): Prefilter {
  return life.own(
    new Prefilter({
      ...{ native: loadNative(), log, bpffs: options.bpffs, stateDir: options.stateDir },
      devices: prefilterDevices(options.prefilter, options.devices),
      eventIntervalMs: options.prefilter.eventMs,
      eventsFd: datapath.eventsFd(),
    }),
  );
}
