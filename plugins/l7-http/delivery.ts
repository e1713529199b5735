/**
 * Gives the plugin's own answers in order: an answer waits in the queue of exchanges until every
 * response before it has passed, then goes to the client as if upstream had sent it.
 */
import { CLOSE_FINISHED, CLOSE_MALFORMED, RESPONSE } from "../../runtime/sdk/output.ts";
import type { Call } from "../../runtime/sdk/plugin.ts";
import { ERROR, FORWARDED, RECORD_RESPONSE } from "../../runtime/sdk/record.ts";
import type { Answer, Answers } from "./answers.ts";
import type { HttpConnection } from "./connection.ts";
import {
  EXCHANGE_DENIED,
  EXCHANGE_END,
  EXCHANGE_FORWARDED,
  FLAG_CLOSE,
  FLAG_HEAD,
  FLAG_HTTP10,
} from "./exchanges.ts";

/** Fields of a response record, in the manifest's order. */
export const RESPONSE_STATUS: i32 = 0;
export const RESPONSE_PROTOCOL: i32 = 1;

export class Delivery {
  private readonly answers: Answers;

  constructor(answers: Answers) {
    this.answers = answers;
  }

  /** Gives every answer that nothing stands before. */
  flush(connection: HttpConnection, call: Call): void {
    const exchanges = connection.exchanges;
    while (exchanges.count > 0 && !call.output.ended()) {
      const entry = exchanges.head();
      const kind = exchanges.headKind();
      if (kind === EXCHANGE_FORWARDED) return;
      if (kind === EXCHANGE_END) {
        call.output.close(CLOSE_MALFORMED);
      } else if (kind === EXCHANGE_DENIED) {
        this.give(this.denial(entry), entry, FORWARDED, exchanges.first, call);
        if ((entry & FLAG_CLOSE) !== 0) call.output.close(CLOSE_FINISHED);
      } else {
        this.give(this.answers.malformed, entry, ERROR, exchanges.first, call);
        call.output.close(CLOSE_MALFORMED);
      }
      exchanges.shift();
    }
    if (connection.requestEnded && exchanges.count === 0 && !call.output.ended()) {
      call.output.close(CLOSE_FINISHED);
    }
  }

  /** Upstream is gone and owes a response of which nothing has passed. */
  upstreamGone(connection: HttpConnection, call: Call): void {
    this.giveForUpstream(connection, this.answers.upstreamGone, call);
    call.output.close(CLOSE_FINISHED);
  }

  /** What upstream sent is no response; nothing of it has passed. */
  upstreamMalformed(connection: HttpConnection, call: Call): void {
    this.giveForUpstream(connection, this.answers.upstreamMalformed, call);
    call.output.close(CLOSE_MALFORMED);
  }

  private giveForUpstream(connection: HttpConnection, answer: Answer, call: Call): void {
    const exchanges = connection.exchanges;
    if (exchanges.count === 0) {
      call.output.inject(RESPONSE, answer.at, answer.length);
      return;
    }
    this.give(answer, exchanges.head(), ERROR, exchanges.first, call);
    exchanges.shift();
  }

  private denial(entry: i32): Answer {
    if ((entry & FLAG_CLOSE) !== 0) return this.answers.deniedClose;
    return (entry & FLAG_HTTP10) !== 0 ? this.answers.deniedKeepAlive : this.answers.denied;
  }

  private give(answer: Answer, entry: i32, verdict: i32, exchange: i32, call: Call): void {
    call.record.number(RESPONSE_STATUS, answer.status as f64);
    call.record.bytes(RESPONSE_PROTOCOL, this.answers.protocol.at, this.answers.protocol.length);
    call.record.emit(RECORD_RESPONSE, verdict, 0, exchange);
    const length = (entry & FLAG_HEAD) !== 0 ? answer.headLength : answer.length;
    call.output.inject(RESPONSE, answer.at, length);
  }
}
