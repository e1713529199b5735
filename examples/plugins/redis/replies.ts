/**
 * Who answers which command, in order, as runs: commands that the server answers one after the
 * other are one entry, and so are all confirmations of one SUBSCRIBE. So a client may send ahead as
 * far as it likes; what is bounded is how often forwarded and denied commands alternate.
 */
import { ANSWER_UPSTREAM } from "imker/sdk/reply-queue.ts";
import { ANSWER_CONFIRMED } from "./answer-kinds.ts";

const CAPACITY_START: i32 = 8;

export class Replies {
  /** Runs at most; a power of two. */
  readonly runsMax: i32;
  /** A ring: first exchange, answer and length of each run. */
  private exchanges: i32[] = [];
  private answers: i32[] = [];
  private counts: i32[] = [];
  private first: i32 = 0;
  private runs: i32 = 0;

  constructor(runsMax: i32) {
    this.runsMax = runsMax;
  }

  /** Whether one more run would be too many: close. */
  full(): bool {
    return this.runs >= this.runsMax;
  }

  /** Whether every command is answered. */
  empty(): bool {
    return this.runs === 0;
  }

  /** A command in the order in which they come, and how many messages answer it. Not when full. */
  push(exchange: i32, answer: i32, messages: i32): void {
    if (this.runs > 0 && answer < ANSWER_CONFIRMED) {
      const last = this.place(this.runs - 1);
      const next = (this.exchanges[last] as i32) + (this.counts[last] as i32);
      if ((this.answers[last] as i32) === answer && next === exchange) {
        this.counts[last] = (this.counts[last] as i32) + 1;
        return;
      }
    }
    if (this.runs === this.exchanges.length) this.grow();
    const at = this.place(this.runs);
    this.exchanges[at] = exchange;
    this.answers[at] = answer;
    this.counts[at] = messages;
    this.runs++;
  }

  /** The number of the oldest command without an answer; not when empty. */
  exchange(): i32 {
    return this.exchanges[this.first] as i32;
  }

  /** What answers it; ANSWER_UPSTREAM when empty. */
  answer(): i32 {
    return this.runs === 0 ? ANSWER_UPSTREAM : (this.answers[this.first] as i32);
  }

  /** One message of the answer is over; whether it was the last. Not when empty. */
  shift(): bool {
    const left = (this.counts[this.first] as i32) - 1;
    const last = this.answer() < ANSWER_CONFIRMED || left === 0;
    if (left === 0) {
      this.drop();
    } else {
      this.counts[this.first] = left;
      if (last) this.exchanges[this.first] = this.exchange() + 1;
    }
    return last;
  }

  /** The oldest command is answered, whatever was still expected. Not when empty. */
  shiftWhole(): void {
    if (this.answer() < ANSWER_CONFIRMED) this.shift();
    else this.drop();
  }

  /** Takes the commands at the head that are answered by `answer`; how many there were. */
  takeRun(answer: i32): i32 {
    let taken = 0;
    while (this.runs > 0 && this.answer() === answer) {
      taken += this.counts[this.first] as i32;
      this.drop();
    }
    return taken;
  }

  private drop(): void {
    this.first = this.place(1);
    this.runs--;
  }

  private place(index: i32): i32 {
    return (this.first + index) & (this.exchanges.length - 1);
  }

  private grow(): void {
    const capacity = this.runs === 0 ? CAPACITY_START : this.runs * 2;
    const exchanges: i32[] = [];
    const answers: i32[] = [];
    const counts: i32[] = [];
    for (let i = 0; i < capacity; i++) {
      const at = this.runs === 0 ? 0 : this.place(i & (this.runs - 1));
      exchanges.push(i < this.runs ? (this.exchanges[at] as i32) : 0);
      answers.push(i < this.runs ? (this.answers[at] as i32) : 0);
      counts.push(i < this.runs ? (this.counts[at] as i32) : 0);
    }
    this.exchanges = exchanges;
    this.answers = answers;
    this.counts = counts;
    this.first = 0;
  }
}
