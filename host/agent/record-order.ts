/**
 * Puts the packets of a connection before its messages: the proxy's records are pushed to the agent
 * at once, while the kernel's events wait in a ring until the agent looks.
 */
import type { RecordSink } from "../event/types.ts";
import type { EventPump } from "./event-pump.ts";

export function recordsAfterPackets(sink: RecordSink, pump: EventPump): RecordSink {
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
    log(line) {
      sink.log(line);
    },
    lost(worker, cause, count) {
      sink.lost(worker, cause, count);
    },
  };
}
