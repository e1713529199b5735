/**
 * What plugins may ask of the host. Knows which connection a call is for: records are taken only
 * then, and go where the instance's role says.
 */
import { RECORD_KIND, RECORD_VERDICT } from "../contract/records.ts";
import type { HostImports, PluginImage } from "../isolate/types.ts";
import type { Connection } from "./connection.ts";
import type { PluginLog } from "./plugin-log.ts";
import type { RecordWriter } from "./record-writer.ts";
import type { Matcher } from "./rule-store.ts";
import type { Taps } from "./taps.ts";

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
        if (record.kind === RECORD_KIND.response) connection.unanswered--;
        else if (record.verdict === RECORD_VERDICT.forwarded) connection.unanswered++;
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
