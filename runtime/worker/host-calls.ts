/**
 * What plugins may ask of the host. Knows which connection a call is for: records are taken only
 * then, and go where the instance's role says.
 */
import { RECORD_KIND, RECORD_VERDICT } from "../contract/records.ts";
import type { HostImports, PluginImage, RecordView } from "../isolate/types.ts";
import type { Connection } from "./connection.ts";
import type { PluginLog } from "./plugin-log.ts";
import type { RecordWriter } from "./record-writer.ts";
import type { Matcher } from "./rule-store.ts";
import type { Taps } from "./taps.ts";

/** Refused exchanges of a connection; the oldest goes, its response counts as another's then. */
const REFUSED_MAX = 256;

export interface HostCallsDeps {
  records: RecordWriter;
  log: PluginLog;
  match: (handle: number, bytes: Parameters<Matcher>[0]) => boolean;
  taps: () => Taps;
  nowMs: () => number;
}

export class HostCalls {
  readonly #deps: HostCallsDeps;
  /** The connection that is being served. */
  current: Connection | undefined;

  constructor(deps: HostCallsDeps) {
    this.#deps = deps;
  }

  /** One object for each instance, made outside the data path. */
  importsOf(image: PluginImage): HostImports {
    const { records, log, match, taps, nowMs } = this.#deps;
    return {
      emit: (record) => {
        const tap = taps().current;
        if (tap !== undefined) {
          taps().emitted(tap, record);
          return;
        }
        const connection = this.current;
        if (connection === undefined || connection.handle !== record.connection) {
          throw new Error("record for a connection that is not being served");
        }
        count(connection, record);
        if (connection.tap !== undefined) taps().recorded(connection.tap, record);
        if (connection.recording !== undefined) connection.recording.noteRecord(record);
        records.record(record, connection.serial);
      },
      log: (level, message) => {
        const connection = taps().current?.connection ?? this.current;
        log.line(image, level, message, { serial: connection?.serial ?? 0, nowMs: nowMs() });
      },
      match,
    };
  }
}

/** A plugin need not report a response to what it refused, but may, as its own refusal is one. */
function count(connection: Connection, { kind, verdict, exchange }: RecordView): void {
  if (kind === RECORD_KIND.response) {
    if (connection.refused?.delete(exchange) !== true) connection.unanswered--;
  } else if (verdict === RECORD_VERDICT.forwarded) connection.unanswered++;
  else {
    connection.refused ??= new Set();
    connection.refused.add(exchange);
    const [oldest] = connection.refused;
    if (connection.refused.size > REFUSED_MAX && oldest !== undefined) {
      connection.refused.delete(oldest);
    }
  }
}
