/** A hundred connections in one instance, their pieces in any order: none notices the others. */

import type { RecordView } from "../../isolate/types.ts";
import { createMatcher } from "../../regex/index.ts";
import { randomCut } from "../cuts.ts";
import { expectedOutcome } from "../index.ts";
import { seededRandom } from "../mutation.ts";
import { differences } from "../outcome-diff.ts";
import { PeerPair, type Step } from "../peer-pair.ts";
import { RecordLog } from "../record-log.ts";
import { prepareRules } from "../run-vector.ts";
import { failureText } from "../steady-runner.ts";
import type { Vector, VectorRules } from "../vectors.ts";
import type { Check, Subject } from "./types.ts";

const CONNECTIONS = 100;
const FINDINGS_MAX = 3;

export const connectionsAreApart: Check = {
  name: "interleaved",
  run(subject) {
    try {
      const table = new Table(subject);
      const findings = table.run().slice(0, FINDINGS_MAX);
      return {
        ok: findings.length === 0,
        detail: `${CONNECTIONS} connections of ${subject.vectors.length} vectors in one instance`,
        findings,
        figures: { connections: CONNECTIONS },
      };
    } catch (error) {
      return { ok: false, detail: failureText(error) };
    }
  },
};

/** One piece of a step, or the step itself when it has no bytes. */
interface Seat {
  vector: Vector;
  pair: PeerPair;
  log: RecordLog;
  left: Step[];
}

class Table {
  readonly #subject: Subject;
  readonly #random: () => number;
  readonly #sources: string[] = [];
  readonly #ruleSets = new Map<string, number>();
  readonly #logs = new Map<number, RecordLog>();
  readonly #instance;

  constructor(subject: Subject) {
    this.#subject = subject;
    this.#random = seededRandom(subject.options.seed);
    this.#instance = subject.instantiate({
      emit: (record: RecordView) => this.#logs.get(record.connection)?.emit(record),
      log() {},
      match: (handle, bytes) => this.#matches(handle, bytes),
    });
  }

  run(): string[] {
    const { vectors } = this.#subject;
    const seats: Seat[] = [];
    for (let index = 0; index < CONNECTIONS; index++) {
      const vector = vectors[index % vectors.length];
      if (vector !== undefined) seats.push(this.#open(vector));
    }
    const busy = [...seats];
    while (busy.length > 0) {
      const index = Math.floor(this.#random() * busy.length);
      const seat = busy[index];
      const step = seat?.left.shift();
      if (seat === undefined || step === undefined) busy.splice(index, 1);
      else seat.pair.take(step, Number.POSITIVE_INFINITY);
    }
    return seats.flatMap((seat, index) => {
      const lines = differences(expectedOutcome(seat.vector), {
        upstream: seat.pair.received("request"),
        client: seat.pair.received("response"),
        records: seat.log.lines,
        close: seat.pair.closed,
      });
      return lines.length === 0 ? [] : [`connection ${index}, ${seat.vector.name}: ${lines[0]}`];
    });
  }

  #open(vector: Vector): Seat {
    const connection = this.#instance.open({
      sourceIdentity: 1000,
      destinationIdentity: 2000,
      sourceAddress: new Uint8Array(16),
      destinationAddress: new Uint8Array(16),
      sourcePort: 40000,
      destinationPort: 80,
      stages: this.#stages(vector.stages),
    });
    const log = new RecordLog(this.#subject.image.manifest, () => false);
    this.#logs.set(connection, log);
    const pair = new PeerPair(this.#instance, connection);
    return { vector, pair, log, left: this.#pieces(vector) };
  }

  #pieces(vector: Vector): Step[] {
    const lengths = vector.steps.map((step) => ("bytes" in step ? step.bytes.length : 0));
    const cut = randomCut(lengths, this.#random);
    return vector.steps.flatMap((step, index): Step[] => {
      if (step.kind === "stages") return [{ kind: "stages", stages: this.#stages(step.rules) }];
      if (!("bytes" in step)) return [step];
      const places = cut.of(index);
      const ends = typeof places === "number" ? [] : places;
      return [0, ...ends].map((from, at) => ({
        kind: step.kind,
        bytes: step.bytes.subarray(from, ends[at] ?? step.bytes.length),
      }));
    });
  }

  #stages(stages: readonly VectorRules[]): { point: number; ruleSet: number }[] {
    return stages.map((rules, point) => {
      const key = JSON.stringify(rules);
      const known = this.#ruleSets.get(key);
      if (known !== undefined) return { point, ruleSet: known };
      const { manifest } = this.#subject.image;
      const prepared = prepareRules(manifest, rules, (source) => this.#sources.push(source));
      const ruleSet = this.#instance.load(this.#instance.compile(prepared));
      this.#ruleSets.set(key, ruleSet);
      return { point, ruleSet };
    });
  }

  #matches(handle: number, bytes: Uint8Array): boolean {
    const source = this.#sources[handle - 1];
    return source !== undefined && createMatcher(source)(bytes);
  }
}
