/**
 * The plugin's own replies. They come in their turn: behind the server's replies to what the client
 * sent before, and never inside a message of the server.
 */
import type { Memory } from "imker/sdk/memory.ts";
import { RESPONSE } from "imker/sdk/output.ts";
import type { Call } from "imker/sdk/plugin.ts";
import { TextBlock } from "imker/sdk/text-block.ts";
import { ANSWER_DENIED } from "./answer-kinds.ts";
import { DENIED_WAITING_MAX, type RedisConnection } from "./connection.ts";

const DENIED_TEXT: string = "-NOPERM denied by network policy\r\n";
/** As Redis says it, so that clients know it. */
const ABORTED_TEXT: string = "-EXECABORT Transaction discarded because of previous errors.\r\n";

export class Answers {
  private readonly denied: TextBlock;
  private readonly aborted: TextBlock;

  constructor(memory: Memory) {
    this.denied = new TextBlock(memory, DENIED_TEXT.repeat(DENIED_WAITING_MAX + 1));
    this.aborted = new TextBlock(memory, ABORTED_TEXT);
  }

  /** Gives the answers whose turn it is: one block, however many. */
  give(redis: RedisConnection, call: Call): void {
    if (redis.elementsLeft > 0) return;
    const count = redis.replies.takeRun(ANSWER_DENIED);
    if (count === 0) return;
    redis.deniedWaiting -= count;
    call.output.inject(RESPONSE, this.denied.address, count * DENIED_TEXT.length);
  }

  /** In place of the server's reply to a DISCARD that the client did not send. */
  abort(call: Call): void {
    call.output.inject(RESPONSE, this.aborted.address, this.aborted.length);
  }
}
