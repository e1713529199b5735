/**
 * The head of a request, parsed as its bytes come: a call goes on at the first line that was not
 * complete, so the verdict on any bytes is the same however they were cut. All offsets are from the
 * start of the request, because its bytes move between calls.
 */
import { equalIgnoringCase } from "../../runtime/sdk/ascii.ts";
import type { Memory } from "../../runtime/sdk/memory.ts";
import { type Charset, SUSPECT, TARGET, TOKEN, Word } from "./charset.ts";
import { type FieldLine, LINE_BAD, LINE_END, LINE_PARTIAL } from "./field-line.ts";
import { Framing, type FramingWords, HEAD_BYTES_MAX, hasToken, is } from "./framing.ts";
import { Target, TargetTools } from "./target.ts";

/** More bytes are needed. */
export const HEAD_PARTIAL: i32 = 0;
/** The head is complete. */
export const HEAD_COMPLETE: i32 = 1;
/** Not a request, or one that could be read in two ways. */
export const HEAD_BAD: i32 = 2;

const SPACE: i32 = 32;
const PERCENT: i32 = 37;
const SLASH: i32 = 47;
/** ` HTTP/1.x\r\n` behind the target. */
const VERSION_BYTES: i32 = 11;

/** What all heads of an instance share. */
export class HeadTools {
  readonly memory: Memory;
  readonly charset: Charset;
  readonly words: FramingWords;
  readonly line: FieldLine;
  readonly connect: Word;
  readonly options: Word;
  readonly head: Word;
  readonly version: Word;
  readonly targets: TargetTools;

  constructor(charset: Charset, words: FramingWords, line: FieldLine) {
    this.memory = charset.memory;
    this.charset = charset;
    this.words = words;
    this.line = line;
    this.connect = new Word(charset.memory, "CONNECT");
    this.options = new Word(charset.memory, "OPTIONS");
    this.head = new Word(charset.memory, "HEAD");
    this.version = new Word(charset.memory, " HTTP/1.");
    this.targets = new TargetTools(charset);
  }
}

export class RequestHead {
  /** Whether the request line was understood, so that it can be reported. */
  hasLine: bool = false;
  methodLength: i32 = 0;
  /** Offset and length of the request target. */
  target: i32 = 0;
  targetLength: i32 = 0;
  /** Minor version, 0 or 1. */
  minor: i32 = 0;
  isConnect: bool = false;
  isHead: bool = false;
  /** Whether the path holds anything that normalisation may touch. */
  suspect: bool = false;
  /** Offset and length of the effective host: Host, or the target's authority. */
  host: i32 = 0;
  hostLength: i32 = 0;
  /** Offset and length of the first traceparent (W3C Trace Context); length 0: none. */
  trace: i32 = 0;
  traceLength: i32 = 0;
  expect: bool = false;
  /** An upgrade that may be passed on was asked for. */
  upgrade: bool = false;
  /** Offset and length of an Upgrade line that must not be passed on (h2c); length 0: none. */
  cut: i32 = 0;
  cutLength: i32 = 0;
  /** Offset of the first field line; bytes of the head, once it is complete. */
  fields: i32 = 0;
  length: i32 = 0;
  readonly framing: Framing;
  readonly parts: Target;
  private cursor: i32 = 0;
  private hasHost: bool = false;
  private hasUpgrade: bool = false;
  private readonly tools: HeadTools;

  constructor(tools: HeadTools) {
    this.tools = tools;
    this.framing = new Framing(tools.memory, tools.words);
    this.parts = new Target(tools.targets);
  }

  /** A new request. */
  reset(): void {
    this.hasLine = false;
    this.cursor = 0;
    this.hasHost = false;
    this.hasUpgrade = false;
    this.expect = false;
    this.upgrade = false;
    this.cutLength = 0;
    this.traceLength = 0;
    this.host = 0;
    this.hostLength = 0;
    this.framing.reset();
  }

  /** Parses on; `start` is where the request begins. HEAD_PARTIAL, HEAD_COMPLETE or HEAD_BAD. */
  parse(start: i32, end: i32): i32 {
    if (!this.hasLine) {
      const state = this.parseRequestLine(start, end);
      if (state !== HEAD_COMPLETE) return state;
      this.hasLine = true;
    }
    const line = this.tools.line;
    let at = start + this.cursor;
    while (true) {
      const kind = line.parse(at, end);
      if (kind === LINE_PARTIAL) {
        this.cursor = at - start;
        return end - start > HEAD_BYTES_MAX ? HEAD_BAD : HEAD_PARTIAL;
      }
      if (kind === LINE_BAD || line.next - start > HEAD_BYTES_MAX) return HEAD_BAD;
      at = line.next;
      if (kind === LINE_END) break;
      if (!this.takeField(line, start)) return HEAD_BAD;
    }
    this.length = at - start;
    return this.complete(start) ? HEAD_COMPLETE : HEAD_BAD;
  }

  private parseRequestLine(start: i32, end: i32): i32 {
    const memory = this.tools.memory;
    const flags = this.tools.charset.flags;
    let at = start;
    while (at < end && (memory.u8(flags + memory.u8(at)) & TOKEN) !== 0) at++;
    if (at === end) return this.partial(start, end);
    if (at === start || memory.u8(at) !== SPACE) return HEAD_BAD;
    this.methodLength = at - start;
    at++;
    this.target = at - start;
    let suspect = false;
    let previous = 0;
    while (at < end) {
      const byte = memory.u8(at);
      const flag = memory.u8(flags + byte);
      if ((flag & TARGET) === 0) break;
      // "%", "//" and "/." are what normalisation looks at.
      if ((flag & SUSPECT) !== 0 && (byte === PERCENT || previous === SLASH)) suspect = true;
      previous = byte;
      at++;
    }
    if (at === end) return this.partial(start, end);
    this.targetLength = at - start - this.target;
    this.suspect = suspect;
    if (this.targetLength === 0) return HEAD_BAD;
    const state = this.parseVersion(at, end);
    if (state === HEAD_PARTIAL) return this.partial(start, end);
    if (state === HEAD_BAD) return HEAD_BAD;
    this.cursor = at + VERSION_BYTES - start;
    this.fields = this.cursor;
    this.isConnect = this.methodIs(start, this.tools.connect);
    this.isHead = this.methodIs(start, this.tools.head);
    const options = this.methodIs(start, this.tools.options);
    const valid = this.parts.parse(start + this.target, this.targetLength, this.isConnect, options);
    return valid && this.cursor <= HEAD_BYTES_MAX ? HEAD_COMPLETE : HEAD_BAD;
  }

  /** ` HTTP/1.1` or ` HTTP/1.0`, CR LF, byte by byte so that the first wrong one decides. */
  private parseVersion(from: i32, end: i32): i32 {
    const memory = this.tools.memory;
    const word = this.tools.version;
    for (let i = 0; i < VERSION_BYTES; i++) {
      if (from + i === end) return HEAD_PARTIAL;
      const byte = memory.u8(from + i);
      if (i < word.length) {
        if (byte !== memory.u8(word.at + i)) return HEAD_BAD;
      } else if (i === word.length) {
        this.minor = byte - 48;
        if (this.minor !== 0 && this.minor !== 1) return HEAD_BAD;
      } else if (byte !== (i === word.length + 1 ? 13 : 10)) {
        return HEAD_BAD;
      }
    }
    return HEAD_COMPLETE;
  }

  private takeField(line: FieldLine, start: i32): bool {
    if (!this.framing.take(line)) return false;
    const memory = this.tools.memory;
    const words = this.tools.words;
    if (line.nameLength === words.host.length && is(memory, line, words.host)) {
      if (this.hasHost || !this.parts.authorityValid(line.value, line.valueLength)) return false;
      this.hasHost = true;
      this.host = line.value - start;
      this.hostLength = line.valueLength;
    } else if (line.nameLength === words.expect.length && is(memory, line, words.expect)) {
      this.expect = true;
    } else if (line.nameLength === words.traceparent.length && this.traceLength === 0) {
      if (!is(memory, line, words.traceparent)) return true;
      this.trace = line.value - start;
      this.traceLength = line.valueLength;
    } else if (line.nameLength === words.upgrade.length && is(memory, line, words.upgrade)) {
      // One Upgrade line, so that one cut is enough.
      if (this.hasUpgrade) return false;
      this.hasUpgrade = true;
      if (hasToken(memory, line, words.h2c)) {
        this.cut = line.name - start;
        this.cutLength = line.next - line.name;
      }
    }
    return true;
  }

  private complete(start: i32): bool {
    const framing = this.framing;
    if (!framing.consistent(this.minor)) return false;
    if (!this.hasHost && this.minor === 1) return false;
    this.upgrade = this.hasUpgrade && framing.upgradeToken && this.cutLength === 0;
    if (this.isConnect && (framing.chunked || framing.contentLength > 0)) return false;
    if (this.parts.authorityLength === 0) return true;
    // RFC 9112, 3.2.2: the target decides. Upstream might think otherwise, so both must agree.
    const memory = this.tools.memory;
    const authority = this.target + this.parts.authority;
    const length = this.parts.authorityLength;
    if (this.hasHost && !this.isConnect) {
      if (this.hostLength !== length) return false;
      if (!equalIgnoringCase(memory, start + this.host, start + authority, length)) return false;
    }
    this.host = authority;
    this.hostLength = length;
    return true;
  }

  private partial(start: i32, end: i32): i32 {
    return end - start > HEAD_BYTES_MAX ? HEAD_BAD : HEAD_PARTIAL;
  }

  private methodIs(start: i32, word: Word): bool {
    if (this.methodLength !== word.length) return false;
    return this.tools.memory.equal(start, word.at, word.length);
  }
}
