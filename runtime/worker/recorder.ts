/**
 * Recordings of a worker's connections: which connections are kept, what all of them may take, and
 * what the agent is told of the one whose plugin denied a message, found it malformed or failed.
 * Nothing else leaves the worker. A connection is kept from its first byte on or not at all.
 */
import type { Recording } from "../contract/control.ts";
import { type CaseBody, FRAME } from "../contract/records.ts";
import { CLOSE_REASON } from "../isolate/types.ts";
import { type Connection, openBody, stageSides } from "./connection.ts";
import type { WorkerCounters } from "./counters.ts";
import type { RecordWriter } from "./record-writer.ts";
import { ConnectionRecording, type RecordingRoom } from "./recording.ts";
import type { RuleStore } from "./rule-store.ts";

/** Of all recordings of a worker; a connection beyond it is told of as far as there was room. */
const KEPT_BYTES_MAX = 16 << 20;
/** Cases of a worker in one second; more are counted. */
const CASES_PER_SECOND_MAX = 4;
const FAULT_CHARACTERS_MAX = 2048;
const CLOSES = ["finished", "denied", "malformed"] as const;

export interface RecorderDeps {
  rules: Pick<RuleStore, "recordings">;
  records: RecordWriter;
  counters: WorkerCounters;
}

export class Recorder {
  readonly #deps: RecorderDeps;
  readonly #room: RecordingRoom = { bytesLeft: KEPT_BYTES_MAX };
  /** Connections that are kept. */
  #kept = 0;
  #nowMs = 0;
  #second = 0;
  #casesInSecond = 0;

  constructor(deps: RecorderDeps) {
    this.#deps = deps;
  }

  /** A plugin begins to serve the connection. */
  begin(connection: Connection, nowMs: number): void {
    const { recordings } = this.#deps.rules;
    if (recordings.length === 0) return;
    this.#nowMs = nowMs;
    const limits = wanted(recordings, connection, nowMs);
    if (limits === undefined) return;
    connection.recording = new ConnectionRecording(limits, this.#room);
    this.#kept++;
  }

  /** Lets go of what is kept of the connection. */
  release(connection: Connection): void {
    const { recording } = connection;
    if (recording === undefined) return;
    connection.recording = undefined;
    this.#room.bytesLeft += recording.bytes;
    this.#kept--;
  }

  /** Lets go of everything that nobody wants recorded any more. */
  sync(connections: Iterable<Connection>, nowMs: number): void {
    this.#nowMs = nowMs;
    if (this.#kept === 0) return;
    const { recordings } = this.#deps.rules;
    for (const connection of connections) {
      if (connection.recording === undefined) continue;
      if (wanted(recordings, connection, nowMs) === undefined) this.release(connection);
    }
  }

  /** The plugin is done with what it was given. `halfMessage`: the rest of it will never come. */
  judged(connection: Connection, closeReason: number, halfMessage: boolean): void {
    const { recording } = connection;
    if (recording === undefined) return;
    const close = closeReason < 0 ? {} : { close: CLOSES[closeReason] ?? "malformed" };
    if (recording.denied || closeReason === CLOSE_REASON.denied) {
      this.#tell(connection, recording, { cause: "denied", ...close });
    } else if (closeReason === CLOSE_REASON.malformed || (closeReason < 0 && halfMessage)) {
      this.#tell(connection, recording, { cause: "malformed", ...close });
    }
  }

  /** The plugin failed on what it was given. */
  failed(connection: Connection, message: string): void {
    const { recording } = connection;
    if (recording === undefined) return;
    const fault = message.slice(0, FAULT_CHARACTERS_MAX);
    this.#tell(connection, recording, { cause: "fault", fault });
  }

  #tell(
    connection: Connection,
    recording: ConnectionRecording,
    outcome: Pick<CaseBody, "cause" | "close" | "fault">,
  ): void {
    this.release(connection);
    const { records, counters } = this.#deps;
    if (recording.until <= this.#nowMs) return;
    const second = Math.floor(performance.now() / 1000);
    if (second !== this.#second) {
      this.#second = second;
      this.#casesInSecond = 0;
    }
    if (this.#casesInSecond++ >= CASES_PER_SECOND_MAX) {
      counters.cases_dropped++;
      return;
    }
    const body: CaseBody = { open: openBody(connection), ...outcome, ...recording.content() };
    records.event(FRAME.case, connection.serial, body);
    counters.cases++;
  }
}

/** The recording that takes the connection, if one does. */
function wanted(
  recordings: readonly Recording[],
  connection: Connection,
  nowMs: number,
): Recording | undefined {
  const ids = stageSides(connection.sides).map(({ ruleSet }) => ruleSet);
  return recordings.find(
    ({ ruleSets, until }) => until > nowMs && ruleSets.some((id) => ids.includes(id)),
  );
}
