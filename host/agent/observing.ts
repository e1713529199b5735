/** From events and records to flows that can be asked for. */
import { setImmediate } from "node:timers/promises";
import type { Datapath } from "../datapath/types.ts";
import { RecordClients } from "../event/record-client.ts";
import { FlowBuilder } from "../hubble/flow-builder.ts";
import type { FlowGetters } from "../hubble/getters.ts";
import { Observer } from "../hubble/observer.ts";
import { FlowRing } from "../hubble/ring.ts";
import { AGENT_VERSION, type Base } from "./base.ts";
import { EventPump } from "./event-pump.ts";
import { type PluginSink, recordsAfterPackets } from "./record-order.ts";

export function startObserving(
  { options, log, life }: Base,
  datapath: Datapath,
  { getters, plugins }: { getters: FlowGetters; plugins: PluginSink },
) {
  const ring = new FlowRing();
  const flows = new FlowBuilder({ getters, nowNs, deliver: (entry) => ring.push(entry) });
  const pump = life.own(
    new EventPump(
      datapath,
      (event) => flows.packet(event),
      (count) => flows.lostPackets(count),
    ),
  );
  const records = life.own(
    new RecordClients(
      { sink: recordsAfterPackets(flows, pump, plugins), log, nowMs: () => performance.now() },
      { runDir: options.runDir },
    ),
  );
  const node = {
    nodeName: `${options.cluster}/${options.node}`,
    clusterName: options.cluster,
    nodeLabels: [],
    version: AGENT_VERSION,
  };
  const observer = new Observer({ ring, node, nowNs, yieldTurn: () => setImmediate() });
  return { pump, records, observer };
}

/** Nanoseconds since 1970. */
const nowNs = (): bigint => BigInt(Date.now()) * 1_000_000n;
