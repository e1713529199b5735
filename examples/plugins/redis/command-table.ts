/**
 * What is known about commands: where their keys and channels stand, which take a subcommand. A
 * command that is not here has no keys as far as rules are concerned, so no rule with a key allows
 * it. Scripts and functions are left out on purpose: they reach any key, whatever they declare.
 */
import type { Memory } from "imker/sdk/memory.ts";

/** Nothing to be found in the arguments. */
export const PLACES_NONE: i32 = 0;
/** Keys from `first` to `last` (negative: counted from the end), every `step`th. */
export const PLACES_KEYS: i32 = 1;
/** Channels, likewise. */
export const PLACES_CHANNELS: i32 = 2;
/** A number of keys at `first`, the keys behind it, and one at `last` unless that is 0. */
export const PLACES_COUNTED: i32 = 3;
/** XREAD: options, STREAMS, as many keys as ids. */
export const PLACES_STREAMS: i32 = 4;
/** SORT: a key, options, among them STORE with a key and patterns that reach any key. */
export const PLACES_SORT: i32 = 5;
/** GEORADIUS: a key, options, among them STORE and STOREDIST with a key. */
export const PLACES_RADIUS: i32 = 6;

/** What a command does to the connection. */
export const EFFECT_NONE: i32 = 0;
/** What follows would be no commands and replies: it must not pass. */
export const EFFECT_LEAVES: i32 = 1;
/** Its arguments are secret. */
export const EFFECT_SECRET: i32 = 2;
export const EFFECT_HELLO: i32 = 3;
export const EFFECT_RESET: i32 = 4;
export const EFFECT_MULTI: i32 = 5;
export const EFFECT_EXEC: i32 = 6;
export const EFFECT_DISCARD: i32 = 7;
/** A confirmation for each channel. */
export const EFFECT_SUBSCRIBES: i32 = 8;
/** Likewise; without channels, for all there are, of three kinds. */
export const EFFECT_UNSUBSCRIBES: i32 = 9;
export const EFFECT_UNSUBSCRIBES_PATTERNS: i32 = 10;
export const EFFECT_UNSUBSCRIBES_SHARDS: i32 = 11;

/** Effect, and the commands; a subcommand stands behind a bar. */
const EFFECTS: string[] = [
  "1 MONITOR SYNC PSYNC REPLCONF CLIENT|REPLY SCRIPT|DEBUG",
  "2 AUTH MIGRATE ACL|SETUSER CONFIG|SET",
  "3 HELLO",
  "4 RESET",
  "5 MULTI",
  "6 EXEC",
  "7 DISCARD",
  "8 SUBSCRIBE PSUBSCRIBE SSUBSCRIBE",
  "9 UNSUBSCRIBE",
  "10 PUNSUBSCRIBE",
  "11 SUNSUBSCRIBE",
];

/** The command's second word is a subcommand. */
const CONTAINERS: string =
  "ACL CLIENT CLUSTER COMMAND CONFIG DEBUG FUNCTION HOTKEYS LATENCY MEMORY MODULE OBJECT PUBSUB " +
  "SCRIPT SENTINEL SLOWLOG XGROUP XINFO";

/** Kind, first, last, step, and the commands. */
const PLACES: string[] = [
  "1 1 1 1 APPEND BITCOUNT BITFIELD BITFIELD_RO BITPOS DECR DECRBY DELEX DIGEST DUMP EXPIRE " +
    "EXPIREAT EXPIRETIME GEOADD GEODIST GEOHASH GEOPOS GEORADIUSBYMEMBER_RO GEORADIUS_RO " +
    "GEOSEARCH GET GETBIT GETDEL GETEX GETRANGE GETSET HDEL HEXISTS HEXPIRE HEXPIREAT " +
    "HEXPIRETIME HGET HGETALL HGETDEL HGETEX HINCRBY HINCRBYFLOAT HKEYS HLEN HMGET HMSET " +
    "HPERSIST HPEXPIRE HPEXPIREAT HPEXPIRETIME HPTTL HRANDFIELD HSCAN HSET HSETEX HSETNX " +
    "HSTRLEN HTTL HVALS INCR INCRBY INCRBYFLOAT LINDEX LINSERT LLEN LPOP LPOS LPUSH LPUSHX " +
    "LRANGE LREM LSET LTRIM MOVE PERSIST PEXPIRE PEXPIREAT PEXPIRETIME PFADD PSETEX PTTL " +
    "RESTORE RPOP RPUSH RPUSHX SADD SCARD SET SETBIT SETEX SETNX SETRANGE SISMEMBER SMEMBERS " +
    "SMISMEMBER SPOP SRANDMEMBER SREM SSCAN STRLEN SUBSTR TTL TYPE XACK XACKDEL XADD " +
    "XAUTOCLAIM XCLAIM XDEL XDELEX XLEN XPENDING XRANGE XREVRANGE XSETID XTRIM ZADD ZCARD " +
    "ZCOUNT ZINCRBY ZLEXCOUNT ZMSCORE ZPOPMAX ZPOPMIN ZRANDMEMBER ZRANGE ZRANGEBYLEX " +
    "ZRANGEBYSCORE ZRANK ZREM ZREMRANGEBYLEX ZREMRANGEBYRANK ZREMRANGEBYSCORE ZREVRANGE " +
    "ZREVRANGEBYLEX ZREVRANGEBYSCORE ZREVRANK ZSCAN ZSCORE",
  "1 1 2 1 BLMOVE BRPOPLPUSH COPY GEOSEARCHSTORE LCS LMOVE RENAME RENAMENX RPOPLPUSH SMOVE " +
    "ZRANGESTORE",
  "1 1 -1 1 DEL EXISTS MGET PFCOUNT PFMERGE SDIFF SDIFFSTORE SINTER SINTERSTORE SUNION " +
    "SUNIONSTORE TOUCH UNLINK WATCH",
  "1 1 -1 2 MSET MSETNX",
  "1 1 -2 1 BLPOP BRPOP BZPOPMAX BZPOPMIN",
  "1 2 2 1 MEMORY OBJECT XGROUP XINFO",
  "1 2 -1 1 BITOP",
  "2 1 1 1 PUBLISH SPUBLISH",
  "2 1 -1 1 PSUBSCRIBE PUNSUBSCRIBE SSUBSCRIBE SUBSCRIBE SUNSUBSCRIBE UNSUBSCRIBE",
  "3 1 0 1 LMPOP SINTERCARD ZDIFF ZINTER ZINTERCARD ZMPOP ZUNION",
  "3 2 0 1 BLMPOP BZMPOP",
  "3 2 1 1 ZDIFFSTORE ZINTERSTORE ZUNIONSTORE",
  "4 0 0 1 XREAD XREADGROUP",
  "5 1 0 1 SORT SORT_RO",
  "6 1 0 1 GEORADIUS GEORADIUSBYMEMBER",
];

/** Places in the hash table; a power of two, several times the number of commands. */
const SLOTS: i32 = 1024;
/** Longest name of a command or subcommand that is looked at. */
export const NAME_BYTES_MAX: i32 = 64;

/** One command. */
export class CommandInfo {
  kind: i32 = PLACES_NONE;
  first: i32 = 0;
  last: i32 = 0;
  step: i32 = 1;
  container: bool = false;
  effect: i32 = EFFECT_NONE;
  /** Its name, in upper case. */
  readonly name: i32;
  readonly length: i32;

  constructor(name: i32, length: i32) {
    this.name = name;
    this.length = length;
  }
}

export class CommandTable {
  private readonly memory: Memory;
  private readonly slots: (CommandInfo | null)[] = [];
  /** What is known of any other command: nothing. */
  readonly unknown: CommandInfo = new CommandInfo(0, 0);

  constructor(memory: Memory) {
    this.memory = memory;
    for (let i = 0; i < SLOTS; i++) this.slots.push(null);
    for (let i = 0; i < PLACES.length; i++) {
      const words = (PLACES[i] as string).split(" ");
      for (let word = 4; word < words.length; word++) {
        const info = this.add(words[word] as string);
        info.kind = parseInt(words[0] as string, 10) as i32;
        info.first = parseInt(words[1] as string, 10) as i32;
        info.last = parseInt(words[2] as string, 10) as i32;
        info.step = parseInt(words[3] as string, 10) as i32;
      }
    }
    for (let i = 0; i < EFFECTS.length; i++) {
      const words = (EFFECTS[i] as string).split(" ");
      for (let word = 1; word < words.length; word++) {
        this.add(words[word] as string).effect = parseInt(words[0] as string, 10) as i32;
      }
    }
    const containers = CONTAINERS.split(" ");
    for (let i = 0; i < containers.length; i++) {
      this.add(containers[i] as string).container = true;
    }
  }

  /** What is known about a command, by its name in upper case. */
  find(name: i32, length: i32): CommandInfo {
    const found = this.slots[this.slot(name, length)] as CommandInfo | null;
    return found === null ? this.unknown : found;
  }

  private add(name: string): CommandInfo {
    const length = this.memory.textBytes(name);
    const at = this.memory.allocate(length);
    this.memory.setText(at, name);
    const slot = this.slot(at, length);
    const known = this.slots[slot] as CommandInfo | null;
    if (known !== null) return known;
    const info = new CommandInfo(at, length);
    this.slots[slot] = info;
    return info;
  }

  /** Where the command stands, or the empty place where it would. */
  private slot(name: i32, length: i32): i32 {
    let hash = 0;
    for (let i = 0; i < length; i++) hash = (hash * 31 + this.memory.u8(name + i)) & 0xffffff;
    let at = (hash ^ (hash >> 10)) & (SLOTS - 1);
    let info = this.slots[at] as CommandInfo | null;
    while (info !== null && !this.isNamed(info, name, length)) {
      at = (at + 1) & (SLOTS - 1);
      info = this.slots[at] as CommandInfo | null;
    }
    return at;
  }

  private isNamed(info: CommandInfo, name: i32, length: i32): bool {
    return info.length === length && this.memory.equal(info.name, name, length);
  }
}
