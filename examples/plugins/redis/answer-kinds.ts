/** What answers a command, beside the server with one reply (ANSWER_UPSTREAM, 0). */

/** The plugin's own error. */
export const ANSWER_DENIED: i32 = 1;
/** The server answers DISCARD in place of an EXEC; the client gets EXECABORT. */
export const ANSWER_ABORTED: i32 = 2;
/** The server's answer says which version of the protocol counts from then on. */
export const ANSWER_HELLO: i32 = 3;
/** Back to RESP2, without subscriptions. */
export const ANSWER_RESET: i32 = 4;
/** A confirmation for each channel that the command names. From here on: see replies.ts. */
export const ANSWER_CONFIRMED: i32 = 5;
/** A confirmation for each channel, pattern or shard channel there is, at least one. */
export const ANSWER_ALL_CHANNELS: i32 = 6;
export const ANSWER_ALL_PATTERNS: i32 = 7;
export const ANSWER_ALL_SHARDS: i32 = 8;
