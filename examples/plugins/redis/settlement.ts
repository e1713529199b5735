/**
 * A message of the server is complete: which command it answers, whether that is now answered, and
 * what it changes (version of the protocol, subscriptions).
 */
import { NOT_A_NUMBER } from "imker/sdk/ascii.ts";
import {
  ANSWER_ALL_CHANNELS,
  ANSWER_ALL_PATTERNS,
  ANSWER_ALL_SHARDS,
  ANSWER_HELLO,
  ANSWER_RESET,
} from "./answer-kinds.ts";
import type { RedisConnection } from "./connection.ts";
import { MEANING_CHANNELS, MEANING_PATTERNS, MEANING_SHARDS } from "./meanings.ts";
import { TYPE_ARRAY, TYPE_MAP, TYPE_SIMPLE } from "./reply-types.ts";

/** Takes the number of subscriptions that a confirmation ends with. */
export function takeConfirmation(redis: RedisConnection, count: f64): void {
  if (count === NOT_A_NUMBER) return;
  if (redis.meaning === MEANING_SHARDS) redis.shards = count;
  else if (redis.meaning === MEANING_CHANNELS) redis.channels = Math.max(count - redis.patterns, 0);
  else if (redis.meaning === MEANING_PATTERNS) redis.patterns = Math.max(count - redis.channels, 0);
}

/** The reply to the oldest command is complete; whether that command is now answered. */
export function settleReply(redis: RedisConnection): bool {
  const answer = redis.replies.answer();
  if (redis.meaning < MEANING_CHANNELS) {
    if (answer === ANSWER_HELLO) {
      if (redis.type === TYPE_MAP) redis.version = 3;
      else if (redis.type === TYPE_ARRAY) redis.version = 2;
    } else if (answer === ANSWER_RESET && redis.type === TYPE_SIMPLE) {
      redis.version = 2;
      redis.channels = 0;
      redis.patterns = 0;
      redis.shards = 0;
    }
    // An error stands for all confirmations of its command.
    redis.replies.shiftWhole();
    return true;
  }
  if (answer === ANSWER_ALL_CHANNELS && redis.channels > 0) return false;
  if (answer === ANSWER_ALL_PATTERNS && redis.patterns > 0) return false;
  if (answer === ANSWER_ALL_SHARDS && redis.shards > 0) return false;
  return redis.replies.shift();
}
