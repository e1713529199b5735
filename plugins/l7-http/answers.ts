/**
 * The responses the plugin gives itself, ready in memory. A 403 is Cilium's: the body is exactly
 * `Access denied` and CR LF.
 */
import type { Memory } from "../../runtime/sdk/memory.ts";
import { Word } from "./charset.ts";

/** One response: the head alone (for HEAD), and the whole. */
export class Answer {
  readonly status: i32;
  readonly at: i32;
  readonly headLength: i32;
  readonly length: i32;

  constructor(memory: Memory, status: i32, reason: string, connection: string, body: string) {
    let head = `HTTP/1.1 ${status} ${reason}\r\ncontent-length: ${body.length}\r\n`;
    head += "content-type: text/plain\r\n";
    if (connection.length > 0) head += `connection: ${connection}\r\n`;
    head += "\r\n";
    const bytes = new Word(memory, head + body);
    this.status = status;
    this.at = bytes.at;
    this.headLength = head.length;
    this.length = bytes.length;
  }
}

export class Answers {
  readonly denied: Answer;
  /** For HTTP/1.0, where going on must be said. */
  readonly deniedKeepAlive: Answer;
  readonly deniedClose: Answer;
  readonly malformed: Answer;
  readonly upstreamMalformed: Answer;
  readonly upstreamGone: Answer;
  /** `/` and `HTTP/1.1`, for records. */
  readonly slash: Word;
  readonly protocol: Word;

  constructor(memory: Memory) {
    const denied = "Access denied\r\n";
    this.denied = new Answer(memory, 403, "Forbidden", "", denied);
    this.deniedKeepAlive = new Answer(memory, 403, "Forbidden", "keep-alive", denied);
    this.deniedClose = new Answer(memory, 403, "Forbidden", "close", denied);
    this.malformed = new Answer(memory, 400, "Bad request", "close", "Bad request\r\n");
    this.upstreamMalformed = new Answer(
      memory,
      502,
      "Bad gateway",
      "close",
      "upstream protocol error\r\n",
    );
    this.upstreamGone = new Answer(
      memory,
      503,
      "Service unavailable",
      "close",
      "upstream connect error\r\n",
    );
    this.slash = new Word(memory, "/");
    this.protocol = new Word(memory, "HTTP/1.1");
  }
}
