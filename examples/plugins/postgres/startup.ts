/** Reads the first packets of a connection, which have a length and a code but no type. */
import { printable } from "imker/sdk/ascii.ts";
import type { Memory } from "imker/sdk/memory.ts";
import { Reader } from "imker/sdk/reader.ts";
import { TextBlock } from "imker/sdk/text-block.ts";
import { LOGIN_BYTES_MAX } from "./connection.ts";

export const STARTUP_HEADER_BYTES: i32 = 8;
/** PostgreSQL's own limit. */
export const STARTUP_BYTES_MAX: i32 = 10000;
const CODE_CANCEL: i32 = 80877102;
const CODE_SSL: i32 = 80877103;
const CODE_GSS: i32 = 80877104;

export const PACKET_UNKNOWN: i32 = 0;
export const PACKET_STARTUP: i32 = 1;
export const PACKET_ENCRYPT: i32 = 2;
export const PACKET_CANCEL: i32 = 3;

export class Startup {
  /** Bytes of the packet. */
  length: i32 = 0;
  /** Names in the packet at hand; length 0: not there, or none that rules can be asked about. */
  user: i32 = 0;
  userLength: i32 = 0;
  database: i32 = 0;
  databaseLength: i32 = 0;
  /** The connection is for replication. */
  replication: bool = false;
  private readonly memory: Memory;
  private readonly userKey: TextBlock;
  private readonly databaseKey: TextBlock;
  private readonly replicationKey: TextBlock;

  constructor(memory: Memory) {
    this.memory = memory;
    this.userKey = new TextBlock(memory, "user");
    this.databaseKey = new TextBlock(memory, "database");
    this.replicationKey = new TextBlock(memory, "replication");
  }

  /** The kind of packet, from its header; `length` is known then. */
  header(at: i32): i32 {
    const reader = new Reader(this.memory, at, at + STARTUP_HEADER_BYTES);
    this.length = reader.i32();
    const code = reader.i32();
    if (this.length < STARTUP_HEADER_BYTES || this.length > STARTUP_BYTES_MAX) {
      return PACKET_UNKNOWN;
    }
    if (code === CODE_SSL || code === CODE_GSS) {
      return this.length === STARTUP_HEADER_BYTES ? PACKET_ENCRYPT : PACKET_UNKNOWN;
    }
    if (code === CODE_CANCEL) return this.length >= 16 ? PACKET_CANCEL : PACKET_UNKNOWN;
    return code >> 16 === 3 ? PACKET_STARTUP : PACKET_UNKNOWN;
  }

  /** Reads the parameters of a whole startup packet; false: malformed, or the same one twice. */
  parameters(at: i32): bool {
    const reader = new Reader(this.memory, at + STARTUP_HEADER_BYTES, at + this.length);
    this.user = 0;
    this.userLength = 0;
    this.database = 0;
    this.databaseLength = 0;
    this.replication = false;
    while (true) {
      const key = reader.until(0);
      const keyLength = reader.length;
      if (!reader.ok) return false;
      if (keyLength === 0) break;
      const value = reader.until(0);
      if (!reader.ok || !this.parameter(key, keyLength, value, reader.length)) return false;
    }
    if (reader.left() > 0 || this.user === 0) return false;
    if (this.databaseLength === 0) {
      this.database = this.user;
      this.databaseLength = this.userLength;
    }
    if (!this.usable(this.user, this.userLength)) this.userLength = 0;
    if (!this.usable(this.database, this.databaseLength)) this.databaseLength = 0;
    return true;
  }

  private parameter(key: i32, keyLength: i32, value: i32, length: i32): bool {
    if (this.is(this.userKey, key, keyLength)) {
      if (this.user !== 0 || length === 0) return false;
      this.user = value;
      this.userLength = length;
    } else if (this.is(this.databaseKey, key, keyLength)) {
      if (this.database !== 0) return false;
      this.database = value;
      this.databaseLength = length;
    } else if (this.is(this.replicationKey, key, keyLength)) this.replication = true;
    return true;
  }

  private is(text: TextBlock, at: i32, length: i32): bool {
    return length === text.length && this.memory.equal(text.address, at, length);
  }

  private usable(at: i32, length: i32): bool {
    return length <= LOGIN_BYTES_MAX && printable(this.memory, at, length);
  }
}
