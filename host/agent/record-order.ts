/**
 * Puts the packets of a connection before its messages: the proxy's records are pushed to the agent
 * at once, while the kernel's events wait in a ring until the agent looks. What plugins log, and
 * recorded connections, go another way.
 */
import type { RecordSink } from "../event/types.ts";
import type { EventPump } from "./event-pump.ts";

/** Where what is no flow goes. */
export type PluginSink = Pick<RecordSink, "log" | "recorded">;

export function recordsAfterPackets(
  sink: Omit<RecordSink, keyof PluginSink>,
  pump: EventPump,
  plugins: PluginSink,
): RecordSink {
  return {
    record(record) {
      pump.catchUp();
      sink.record(record);
    },
    closed(connection, reason, time) {
      pump.catchUp();
      sink.closed(connection, reason, time);
    },
    fault(fault) {
      pump.catchUp();
      sink.fault(fault);
    },
    ...plugins,
    lost(worker, cause, count) {
      sink.lost(worker, cause, count);
    },
  };
}
