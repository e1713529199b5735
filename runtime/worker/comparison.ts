/**
 * Whether two versions of a plugin do the same to one connection. Effects are compared as a stream:
 * adjacent passes (drops, inserted bytes) are one, so it does not matter how either splits them or
 * which of the two decides first. Only the first difference counts; what one version is ahead of
 * the other is kept, up to a limit.
 */
import type { TrialDifference } from "../contract/control.ts";
import type { RecordView } from "../isolate/types.ts";

/** Effects or records that one version may be ahead of the other. */
const AHEAD_MAX = 256;
/** Of inserted bytes among them. */
const AHEAD_BYTES_MAX = 64 * 1024;
const TEXT_CHARS_MAX = 200;
const VERDICTS = ["forwarded", "denied", "error"];
const REASONS = ["finished", "denied", "malformed"];

/** Which of the two: the version that serves everybody, or the one on trial. */
export type Candidate = "active" | "tried";

export type EffectKind = "pass" | "drop" | "rest" | "inject request" | "inject response" | "close";

export interface Effect {
  kind: EffectKind;
  /** Bytes; 1 of those without. Of `close`: 1. */
  length: number;
  /** Of an injection; copied when kept. */
  bytes?: Uint8Array;
  /** Of `close`: CLOSE_REASON. */
  reason?: number;
}

export type Difference = Pick<
  TrialDifference,
  "direction" | "offset" | "what" | "active" | "tried"
>;

interface Seen {
  verdict: number;
  stage: number;
  exchange: number;
  fields: string;
  text: string;
}

/** One direction, or one kind of record: what one version is ahead of the other. */
class Lane<T> {
  ahead: T[] = [];
  leader: Candidate = "active";
}

class EffectLane extends Lane<Effect> {
  /** Bytes of the stream both versions agree on. */
  offset = 0;
  /** The last match ended inside one of the two. */
  inside = false;
  bytes = 0;
}

export class Comparison {
  readonly #sensitive: readonly [ReadonlySet<number>, ReadonlySet<number>];
  readonly #effects = [new EffectLane(), new EffectLane()] as const;
  readonly #records = [new Lane<Seen>(), new Lane<Seen>()] as const;
  /** What the records of this call said, until its operations say where. */
  #recordsDiffer: Difference | undefined;
  #effectsDiffer: Difference | undefined;
  /** One version was too far ahead of the other to be compared. */
  overflowed = false;

  /** `sensitive`: keys of fields, of requests and of responses, whose values are not shown. */
  constructor(sensitive: readonly [ReadonlySet<number>, ReadonlySet<number>]) {
    this.#sensitive = sensitive;
  }

  /** The first difference, once both have seen the same bytes. */
  difference(): Difference | undefined {
    const [records, effects] = [this.#recordsDiffer, this.#effectsDiffer];
    if (records === undefined || effects === undefined) return records ?? effects;
    // The record says it best, the operation knows exactly where.
    return { ...records, offset: effects.offset, direction: effects.direction };
  }

  effect(of: Candidate, direction: number, effect: Effect): void {
    const lane = this.#effects[direction === 1 ? 1 : 0];
    const left = { ...effect };
    while (left.length > 0 && this.#effectsDiffer === undefined) {
      const [front] = lane.ahead;
      if (front === undefined || lane.leader === of) {
        lane.leader = of;
        this.#keep(lane, left);
        return;
      }
      const what = clash(front, left, lane.inside);
      if (what !== undefined) {
        this.#effectsDiffer = {
          ...differ(of, describe(left), describe(front)),
          what,
          direction: direction === 1 ? "response" : "request",
          offset: lane.offset,
        };
        return;
      }
      advance(lane, front, left);
    }
  }

  record(of: Candidate, view: RecordView): void {
    const kind = view.kind === 1 ? 1 : 0;
    const lane = this.#records[kind];
    const seen = look(view, this.#sensitive[kind]);
    const [front] = lane.ahead;
    if (front === undefined || lane.leader === of) {
      lane.leader = of;
      if (lane.ahead.length === AHEAD_MAX) this.overflowed = true;
      else lane.ahead.push(seen);
      return;
    }
    lane.ahead.shift();
    const sameVerdict = front.verdict === seen.verdict && front.stage === seen.stage;
    if (sameVerdict && front.exchange === seen.exchange && front.fields === seen.fields) return;
    this.#recordsDiffer ??= {
      ...differ(of, seen.text, front.text),
      what: sameVerdict ? "record" : "verdict",
      direction: kind === 1 ? "response" : "request",
      offset: this.#effects[kind].offset,
    };
  }

  /**
   * Nothing more will come of a direction of `bytes` bytes, or of both when the connection is over:
   * what only one version did is a difference.
   */
  finish(direction: number, bytes: number): void {
    const lane = this.#effects[direction === 1 ? 1 : 0];
    const [front] = lane.ahead;
    if (front === undefined || this.#effectsDiffer !== undefined) return;
    // A pass may reach beyond the end; nothing was moved there.
    if ((front.kind === "pass" || front.kind === "drop") && lane.offset >= bytes) return;
    const other = lane.leader === "active" ? "tried" : "active";
    this.#effectsDiffer = {
      ...differ(other, "nothing", describe(front)),
      what: front.kind === "close" ? "close" : "operation",
      direction: direction === 1 ? "response" : "request",
      offset: lane.offset,
    };
  }

  /** All has been said: a record only one version reported is a difference. */
  finishRecords(): void {
    for (const [kind, lane] of this.#records.entries()) {
      const [front] = lane.ahead;
      if (front === undefined) continue;
      const other = lane.leader === "active" ? "tried" : "active";
      this.#recordsDiffer ??= {
        ...differ(other, "nothing", front.text),
        what: "record",
        direction: kind === 1 ? "response" : "request",
        offset: this.#effects[kind === 1 ? 1 : 0].offset,
      };
    }
  }

  #keep(lane: EffectLane, effect: Effect): void {
    const last = lane.ahead.at(-1);
    const more = effect.bytes?.length ?? 0;
    if (lane.bytes + more > AHEAD_BYTES_MAX || lane.ahead.length === AHEAD_MAX) {
      this.overflowed = true;
      return;
    }
    lane.bytes += more;
    if (last?.kind === effect.kind && effect.kind !== "close") {
      last.length += effect.length;
      if (effect.bytes !== undefined)
        last.bytes = Buffer.concat([last.bytes ?? new Uint8Array(), effect.bytes]);
      return;
    }
    lane.ahead.push(
      effect.bytes === undefined ? effect : { ...effect, bytes: effect.bytes.slice() },
    );
  }
}

/** What keeps the two from being the same as far as both go, if anything. */
function clash(a: Effect, b: Effect, inside: boolean): Difference["what"] | undefined {
  if (a.kind !== b.kind) {
    if (a.kind === "close" || b.kind === "close") return "close";
    return inside ? "length" : "operation";
  }
  if (a.kind === "close") return a.reason === b.reason ? undefined : "close";
  if (a.bytes === undefined || b.bytes === undefined) return undefined;
  const common = Math.min(a.length, b.length);
  return Buffer.compare(a.bytes.subarray(0, common), b.bytes.subarray(0, common)) === 0
    ? undefined
    : "bytes";
}

function advance(lane: EffectLane, front: Effect, left: Effect): void {
  const common = Math.min(front.length, left.length);
  if (front.kind === "pass" || front.kind === "drop") lane.offset += common;
  for (const effect of [front, left]) {
    effect.length -= common;
    if (effect.bytes !== undefined) effect.bytes = effect.bytes.subarray(common);
  }
  if (front.bytes !== undefined) lane.bytes -= common;
  lane.inside = front.length > 0 || left.length > 0;
  if (front.length === 0) lane.ahead.shift();
}

/** `mine` is what `of` did, `other` what the other version did. */
function differ(of: Candidate, mine: string, other: string): { active: string; tried: string } {
  const [active, tried] = of === "active" ? [mine, other] : [other, mine];
  return { active: active.slice(0, TEXT_CHARS_MAX), tried: tried.slice(0, TEXT_CHARS_MAX) };
}

function describe({ kind, length, bytes, reason }: Effect): string {
  if (kind === "close") return `close ${REASONS[reason ?? -1] ?? ""}`;
  if (kind === "rest") return "pass everything from here on";
  if (bytes === undefined) return `${kind} ${length}`;
  const text = Buffer.from(bytes.subarray(0, TEXT_CHARS_MAX)).toString("latin1");
  return `${kind} ${JSON.stringify(text)}`;
}

/** A copy of a record that can be compared and shown. */
function look(view: RecordView, sensitive: ReadonlySet<number>): Seen {
  const { verdict, stage, exchange, fieldCount, key, isNumber, number, start, length } = view;
  const memory = Buffer.from(view.memory.buffer, view.memory.byteOffset, view.memory.length);
  let fields = "";
  let shown = "";
  for (let i = 0; i < fieldCount; i++) {
    const from = start[i] ?? 0;
    const value =
      isNumber[i] === 1
        ? String(number[i] ?? 0)
        : memory.toString("latin1", from, from + (length[i] ?? 0));
    fields += `${key[i]} ${value.length} ${value}\n`;
    const hidden = sensitive.has(key[i] ?? 0);
    if (shown.length < TEXT_CHARS_MAX) shown += ` ${key[i]}=${hidden ? "***" : value}`;
  }
  const text = `${VERDICTS[verdict] ?? verdict} stage ${stage} exchange ${exchange}:${shown}`;
  return { verdict, stage, exchange, fields, text };
}
