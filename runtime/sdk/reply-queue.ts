/**
 * Who answers which request, in order: the server, or the plugin itself because a policy denied the
 * request. Clients that pipeline take answers by their order, so a plugin's own answer must wait
 * until the server has answered everything before it. One queue for each connection, bounded.
 */

/** The server answers. Any other number names an answer of the plugin's own. */
export const ANSWER_UPSTREAM: i32 = 0;

const CAPACITY_START: i32 = 8;

export class ReplyQueue {
  /** Requests without an answer at most; a power of two. */
  readonly entriesMax: i32;
  /** A ring, each entry an exchange and its answer. */
  private exchanges: i32[] = [];
  private answers: i32[] = [];
  private first: i32 = 0;
  private count: i32 = 0;

  constructor(entriesMax: i32) {
    this.entriesMax = entriesMax;
  }

  /** Whether one more would be too many: close, or stop reading requests. */
  full(): bool {
    return this.count >= this.entriesMax;
  }

  /** Whether every request is answered. */
  empty(): bool {
    return this.count === 0;
  }

  /** A request, in the order in which they come. Not when full. */
  push(exchange: i32, answer: i32): void {
    if (this.count === this.exchanges.length) this.grow();
    const at = (this.first + this.count) & (this.exchanges.length - 1);
    this.exchanges[at] = exchange;
    this.answers[at] = answer;
    this.count++;
  }

  /** The number of the oldest request without an answer; not when empty. */
  exchange(): i32 {
    return this.exchanges[this.first] as i32;
  }

  /** Who answers it: ANSWER_UPSTREAM or a number of the plugin's; ANSWER_UPSTREAM when empty. */
  answer(): i32 {
    return this.count === 0 ? ANSWER_UPSTREAM : (this.answers[this.first] as i32);
  }

  /** The oldest request is answered. Not when empty. */
  shift(): void {
    this.first = (this.first + 1) & (this.exchanges.length - 1);
    this.count--;
  }

  /**
   * Takes the requests at the head that are answered by `answer`, and says how many there were.
   * Inject all of these answers as one block: a call has 64 operations, a queue may be longer.
   */
  takeRun(answer: i32): i32 {
    let taken = 0;
    while (this.count > 0 && this.answer() === answer) {
      this.shift();
      taken++;
    }
    return taken;
  }

  /** Forgets everything, for the next connection. */
  clear(): void {
    this.first = 0;
    this.count = 0;
  }

  private grow(): void {
    const capacity = this.count === 0 ? CAPACITY_START : this.count * 2;
    const exchanges: i32[] = [];
    const answers: i32[] = [];
    for (let i = 0; i < capacity; i++) {
      const at = this.count === 0 ? 0 : (this.first + i) & (this.count - 1);
      exchanges.push(i < this.count ? (this.exchanges[at] as i32) : 0);
      answers.push(i < this.count ? (this.answers[at] as i32) : 0);
    }
    this.exchanges = exchanges;
    this.answers = answers;
    this.first = 0;
  }
}
