/**
 * What the rules would say, in mode audit. The tap of a connection runs without stages, because all
 * its messages do pass; beside it, in the same instance, a second handle with the stages judges the
 * same requests. A denial there is one that did not happen: when upstream answers all the same, the
 * judging handle would no longer understand what it sees, so it ends with the first such response
 * and a new one begins as soon as every request is answered.
 */

import { RECORD_KIND, RECORD_VERDICT } from "../contract/records.ts";
import type { RecordView } from "../isolate/types.ts";
import { DIRECTION } from "../isolate/types.ts";
import { instanceFacts } from "./connection.ts";
import type { OperationBatch } from "./operation-batch.ts";
import { Tap, type TapInput } from "./tap.ts";

/** Denials whose request the tap has not reported yet; the oldest give way. */
const DENIALS_MAX = 256;

export class Judge {
  /** The tap it judges for. */
  readonly #for: Tap;
  #tap: Tap | undefined;
  /** Exchange of the tap that is the judging handle's first. */
  #base = 0;
  #next = 0;
  #denied = false;
  #unanswered = 0;
  /** Exchange → stage. */
  readonly #denials = new Map<number, number>();

  /** Throws what the plugin throws, as all methods that call it do. */
  constructor(tap: Tap) {
    this.#for = tap;
    this.#open();
  }

  get tap(): Tap | undefined {
    return this.#tap;
  }

  #open(): void {
    const { connection, pooled } = this.#for;
    const handle = pooled.instance.open(instanceFacts(connection.facts, pooled, connection.sides));
    this.#tap = new Tap(connection, { pooled, handle, compared: undefined });
    this.#base = this.#next;
    this.#denied = false;
  }

  /** Judges what came, before the tap sees it. */
  take(input: TapInput, batch: OperationBatch, now: [number, number]): void {
    const tap = this.#tap;
    if (tap === undefined) return;
    if (this.#denied && input.direction === DIRECTION.response && input.length > 0) {
      this.end();
      return;
    }
    const start = tap.received(input.direction);
    if (tap.take({ ...input, start }, batch, now) !== undefined) this.end();
  }

  /** After the tap has seen it too. */
  settle(): void {
    if (this.#tap?.closed) this.end();
    if (this.#tap === undefined && this.#unanswered <= 0 && this.#for.atRest) this.#open();
  }

  /** A record of the judging handle. */
  note(record: RecordView): void {
    if (record.verdict !== RECORD_VERDICT.denied) return;
    this.#denied = true;
    this.#denials.set(this.#base + record.exchange, record.stage);
    if (this.#denials.size <= DENIALS_MAX) return;
    for (const oldest of this.#denials.keys()) {
      this.#denials.delete(oldest);
      break;
    }
  }

  /** A record of the tap: says what the rules say of it. */
  apply(record: RecordView): void {
    if (record.kind === RECORD_KIND.response) {
      this.#unanswered--;
      return;
    }
    this.#unanswered++;
    this.#next = record.exchange + 1;
    const stage = this.#denials.get(record.exchange);
    if (stage === undefined || record.verdict !== RECORD_VERDICT.forwarded) return;
    this.#denials.delete(record.exchange);
    record.verdict = RECORD_VERDICT.audit;
    record.stage = stage;
  }

  /** The rules changed. */
  setStages(): void {
    const { pooled, connection } = this.#for;
    if (this.#tap === undefined) return;
    pooled.instance.setStages(this.#tap.handle, pooled.stages(connection.sides));
  }

  /** Judges no more, until `settle` finds a beginning. */
  end(): void {
    const tap = this.#tap;
    this.#tap = undefined;
    if (tap !== undefined) tap.pooled.instance.close(tap.handle);
  }
}
