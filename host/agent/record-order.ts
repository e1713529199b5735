/**
 * Puts the packets of a connection before its messages: the proxy's records are pushed to the agent
 * at once, while the kernel's events wait in a ring until the agent looks. What plugins log goes
 * another way.
 */
import type { ProxyLog, RecordSink } from "../event/types.ts";
import type { EventPump } from "./event-pump.ts";

export function recordsAfterPackets(
  sink: Omit<RecordSink, "log">,
  pump: EventPump,
  log: (line: ProxyLog) => void,
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
    log,
    lost(worker, cause, count) {
      sink.lost(worker, cause, count);
    },
  };
}
