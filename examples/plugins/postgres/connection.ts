/** What the plugin remembers of a connection. */
import type { Memory } from "imker/sdk/memory.ts";
import { Connection, type RuleSet, type Stage } from "imker/sdk/plugin.ts";
import { ReplyQueue } from "imker/sdk/reply-queue.ts";
import { Prepared } from "./prepared.ts";

/** Answers a client may wait for; beyond it is closed. */
const UNANSWERED_MAX: i32 = 4096;
/** The server cuts names of users and databases here. */
export const LOGIN_BYTES_MAX: i32 = 63;
/** What is kept of the server's result. */
const RESULT_BYTES_MAX: i32 = 64;

/** Before the startup message; after it; encrypted; nothing may follow. */
export const PHASE_START: i32 = 0;
export const PHASE_OPEN: i32 = 1;
export const PHASE_ENCRYPTED: i32 = 2;
export const PHASE_DONE: i32 = 3;

/**
 * Entries of the queue of answers. All but EXECUTE end with a ReadyForQuery. `WAIT_QUERY` is
 * reported when it comes, `WAIT_EXECUTE` with its own result, `WAIT_SYNC` not at all.
 */
export const WAIT_QUERY: i32 = 0;
export const WAIT_EXECUTE: i32 = 1;
export const WAIT_SYNC: i32 = 2;
export const WAIT_DENIED: i32 = 3;

export class PostgresConnection extends Connection {
  phase: i32 = PHASE_START;
  /** Requests for encryption so far; one of them is with the server. */
  negotiations: i32 = 0;
  negotiating: bool = false;
  readonly replies: ReplyQueue = new ReplyQueue(UNANSWERED_MAX);
  nextExchange: i32 = 0;
  /** A message of the extended protocol was denied: everything up to Sync is dropped. */
  skipping: bool = false;
  /** Messages came since the last Sync. */
  inBatch: bool = false;
  /** The server is done with the startup. */
  ready: bool = false;
  /** Since the last ReadyForQuery there was an error; COPY in the extended protocol. */
  errorSeen: bool = false;
  copySync: bool = false;
  readonly prepared: Prepared = new Prepared();
  /** Login names and the last result, in the plugin's memory. Length 0: not there. */
  readonly user: i32;
  userLength: i32 = 0;
  readonly database: i32;
  databaseLength: i32 = 0;
  readonly result: i32;
  resultLength: i32 = 0;
  private readonly memory: Memory;
  private readonly policy: RuleSet[] = [];

  constructor(memory: Memory) {
    super();
    this.memory = memory;
    this.user = memory.allocate(LOGIN_BYTES_MAX * 2 + RESULT_BYTES_MAX);
    this.database = this.user + LOGIN_BYTES_MAX;
    this.result = this.database + LOGIN_BYTES_MAX;
  }

  release(): void {
    this.memory.release(this.user);
  }

  /** Keeps a result until its ReadyForQuery. */
  keepResult(at: i32, length: i32): void {
    this.resultLength = length > RESULT_BYTES_MAX ? RESULT_BYTES_MAX : length;
    this.memory.copy(this.result, at, this.resultLength);
  }

  /** Whether the stages are others than when this was asked last. */
  policyChanged(): bool {
    const stages = this.stages;
    let same = stages.length === this.policy.length;
    for (let i = 0; i < stages.length && same; i++) {
      same = (stages[i] as Stage).rules === (this.policy[i] as RuleSet);
    }
    if (same) return false;
    while (this.policy.length > 0) this.policy.pop();
    for (let i = 0; i < stages.length; i++) this.policy.push((stages[i] as Stage).rules);
    return true;
  }
}
