/**
 * Plugins for tests of the worker, written natively against the same interface as sandboxed ones:
 * they exercise every operation, lawful or not, without a compiler between the test and the loop.
 * Nothing outside tests uses them.
 */
import type { Manifest } from "../../contract/manifest.ts";
import type {
  HostImports,
  InstanceFacts,
  InstanceStage,
  Operations,
  PluginImage,
  PluginInstance,
  PluginRule,
  RecordView,
} from "../../isolate/types.ts";
import { OPERATION } from "../../isolate/types.ts";

const EMPTY_MODULE = Uint8Array.of(0, 0x61, 0x73, 0x6d, 1, 0, 0, 0);

/** An image whose digest names the plugin `instantiateNative` makes. */
export function nativeImage(digest: string): PluginImage {
  const manifest: Manifest = {
    name: digest,
    version: "1.0.0",
    contract: "imker:l7@1.0.0",
    description: "",
    status: "alpha",
    securityPosture: "",
    flow: "generic",
    capabilities: ["emit", "log", "match"],
    rules: { fields: {} },
    records: { request: { fields: ["text"] }, response: { fields: ["text"] } },
    limits: { memoryPagesMax: 1, fuelBase: 1000, fuelPerByte: 1 },
  };
  return { digest, manifest, module: new WebAssembly.Module(EMPTY_MODULE), exports: {} };
}

/** One call as the plugin saw it. */
export interface SeenCall {
  connection: number;
  direction: number;
  data: string;
  end: number;
}

/** The common part: operations, handles, rule sets. `decide` is the plugin. */
export class NativeInstance implements PluginInstance {
  readonly operations: Operations = {
    count: 0,
    kind: new Uint8Array(256),
    n: new Float64Array(256),
    direction: new Uint8Array(256),
    start: new Uint32Array(256),
    length: new Uint32Array(256),
    memory: new Uint8Array(1 << 20),
  };
  readonly fuelUsed = 0;
  readonly memoryBytes = 1 << 20;
  readonly opened = new Map<number, InstanceFacts>();
  readonly stagesSet: { connection: number; stages: readonly InstanceStage[] }[] = [];
  readonly loaded: string[] = [];
  readonly unloaded: number[] = [];
  readonly closed: number[] = [];
  readonly host: HostImports;
  readonly #record: RecordView;
  #handles = 0;
  #memoryUsed = 0;

  constructor(host: HostImports) {
    this.host = host;
    this.#record = {
      connection: 0,
      kind: 0,
      verdict: 0,
      stage: 0,
      exchange: 0,
      fieldCount: 0,
      memory: this.operations.memory,
      key: new Uint16Array(8),
      isNumber: new Uint8Array(8),
      start: new Uint32Array(8),
      length: new Uint32Array(8),
      number: new Float64Array(8),
    };
  }

  compile(_rules: readonly PluginRule[]): Uint8Array {
    return new Uint8Array();
  }

  load(compiled: Uint8Array): number {
    this.loaded.push(new TextDecoder().decode(compiled));
    return this.loaded.length;
  }

  unload(ruleSet: number): void {
    this.unloaded.push(ruleSet);
  }

  open(facts: InstanceFacts): number {
    const handle = ++this.#handles;
    this.opened.set(handle, facts);
    return handle;
  }

  setStages(connection: number, stages: readonly InstanceStage[]): void {
    this.stagesSet.push({ connection, stages });
  }

  onData(
    connection: number,
    direction: number,
    data: Uint8Array,
    offset: number,
    length: number,
    end: number,
    _nowHigh: number,
    _nowLow: number,
  ): void {
    this.operations.count = 0;
    this.#memoryUsed = 0;
    this.decide(connection, direction, data.subarray(offset, offset + length), end);
  }

  close(connection: number): void {
    this.closed.push(connection);
  }

  /** To be overridden; passes everything. */
  decide(_connection: number, _direction: number, data: Uint8Array, _end: number): void {
    if (data.length > 0) this.add(OPERATION.pass, data.length);
  }

  add(kind: number, n: number): void {
    const i = this.operations.count++;
    this.operations.kind[i] = kind;
    this.operations.n[i] = n;
  }

  inject(direction: number, bytes: Uint8Array): void {
    const { operations } = this;
    const i = operations.count;
    this.add(OPERATION.inject, 0);
    operations.direction[i] = direction;
    operations.start[i] = this.#store(bytes);
    operations.length[i] = bytes.length;
  }

  /** A record with the text as field 0 and its length as field 1. */
  emit(connection: number, direction: number, text: Uint8Array, verdict = 0): void {
    const record = this.#record;
    record.connection = connection;
    record.kind = direction;
    record.verdict = verdict;
    record.exchange = this.exchangeOf(connection, direction);
    record.fieldCount = 2;
    record.start[0] = this.#store(text);
    record.length[0] = text.length;
    record.key[1] = 1;
    record.isNumber[1] = 1;
    record.number[1] = text.length;
    this.host.emit(record);
  }

  /** To be overridden. */
  exchangeOf(_connection: number, _direction: number): number {
    return 7;
  }

  #store(bytes: Uint8Array): number {
    const at = this.#memoryUsed;
    this.operations.memory.set(bytes, at);
    this.#memoryUsed += bytes.length;
    return at;
  }
}

/** Replaces the operations by raw numbers, for nonsense no typed plugin would return. */
export type RawOperation = readonly [kind: number, n: number, direction?: number, length?: number];

/**
 * A line protocol. Each request line is a command for what happens to it; responses pass.
 *
 *     PASS …        forwarded          DROP …       discarded
 *     ANSWER x      discarded; "x\n" goes back       INSERT x     "x\n" inserted before this line
 *     BODY n        this line and the n bytes behind it pass unseen
 *     SKIP n        this line and the n bytes behind it are dropped unseen
 *     WAIT n        passes once n bytes behind the line are there
 *     MIX           this line and 3 bytes pass, "<x>\n" is inserted, 2 bytes dropped, 2 bytes pass
 *     REST          passes, and everything after it unseen
 *     CLOSE, DENY   closes the connection; DENY answers "denied\n" first
 *     TRAP          throws
 *     RAW json      returns these operations
 *
 *     LOG x         passes, and "x" is logged
 *
 * Every complete line is emitted as a record, denied if it is DROP or DENY
 * and there are stages. A response that begins
 * with `LONG n` passes with the n bytes behind that line unseen. Variants, as other versions:
 * `drops-x` drops PASS lines with an x, `traps` does so on TEST, `halves` passes in two operations,
 * `loud` answers in capitals, `mute` emits no records, `waits` takes a line once a second is there,
 * `answers` emits a record for each response line
 * and numbers exchanges.
 */
export class LineInstance extends NativeInstance {
  readonly seen: SeenCall[] = [];
  readonly #variant: string;
  readonly #exchanges = new Map<number, number>();
  readonly #decoder = new TextDecoder();
  readonly #encoder = new TextEncoder();

  constructor(host: HostImports, variant = "") {
    super(host);
    this.#variant = variant;
  }

  override exchangeOf(connection: number, direction: number): number {
    if (this.#variant !== "answers") return 7;
    const key = 2 * connection + direction;
    const exchange = this.#exchanges.get(key) ?? 0;
    this.#exchanges.set(key, exchange + 1);
    return exchange;
  }

  override decide(connection: number, direction: number, data: Uint8Array, end: number): void {
    const text = this.#decoder.decode(data);
    this.seen.push({ connection, direction, data: text, end });
    if (direction === 1) {
      if (this.#variant === "answers") {
        for (const line of text.match(/.*\n/g) ?? []) {
          this.emit(connection, direction, this.#encoder.encode(line));
        }
      }
      const long = /^LONG (\d+)\n/.exec(text);
      if (end === 2) this.inject(1, this.#encoder.encode("unreachable\n"));
      else if (long !== null) this.add(OPERATION.pass, long[0].length + Number(long[1]));
      else if (data.length > 0) this.add(OPERATION.pass, data.length);
      return;
    }
    const newline = text.indexOf("\n");
    if (newline < 0) {
      if (data.length > 0 && end === 0) this.add(OPERATION.more, 1);
      return;
    }
    const line = data.subarray(0, newline + 1);
    if (this.#variant === "waits" && !text.slice(newline + 1).includes("\n") && end === 0) {
      this.add(OPERATION.more, 1);
      return;
    }
    const dropsX = this.#variant === "drops-x" && /^PASS.*x/.test(text.slice(0, newline));
    const judged = this.opened.get(connection)?.stages.length !== 0;
    const denied = judged && (dropsX || /^D(ROP|ENY)/.test(text));
    if (this.#variant !== "mute") this.emit(connection, direction, line, denied ? 1 : 0);
    if (dropsX) this.add(OPERATION.drop, line.length);
    else this.#command(line, text.slice(0, newline), data.length - line.length);
  }

  #command(line: Uint8Array, text: string, behind: number): void {
    const [command, argument = ""] = text.split(/ (.*)/s);
    const loud = this.#variant === "loud" ? argument.toUpperCase() : argument;
    const answer = this.#encoder.encode(`${loud}\n`);
    switch (command) {
      case "DROP":
        this.add(OPERATION.drop, line.length);
        break;
      case "ANSWER":
        this.add(OPERATION.drop, line.length);
        this.inject(1, answer);
        break;
      case "INSERT":
        this.inject(0, answer);
        this.add(OPERATION.pass, line.length);
        break;
      case "BODY":
        this.add(OPERATION.pass, line.length + Number(argument));
        break;
      case "SKIP":
        this.add(OPERATION.drop, line.length + Number(argument));
        break;
      case "WAIT":
        if (behind < Number(argument)) this.add(OPERATION.more, Number(argument) - behind);
        else this.add(OPERATION.pass, line.length + Number(argument));
        break;
      case "MIX":
        this.add(OPERATION.pass, line.length + 3);
        this.inject(0, this.#encoder.encode("<x>\n"));
        this.add(OPERATION.drop, 2);
        this.add(OPERATION.pass, 2);
        break;
      case "REST":
        this.add(OPERATION.passRest, 0);
        break;
      case "CLOSE":
        this.add(OPERATION.pass, line.length);
        this.add(OPERATION.close, 0);
        break;
      case "DENY":
        this.inject(1, this.#encoder.encode("denied\n"));
        this.add(OPERATION.close, 1);
        break;
      case "TRAP":
        throw new Error("trap: out of bounds");
      case "LOG":
        this.host.log(1, argument);
        this.add(OPERATION.pass, line.length);
        break;
      case "TEST":
        if (this.#variant === "traps") throw new Error("trap: a test");
        this.add(OPERATION.pass, line.length);
        break;
      case "RAW":
        this.#raw(JSON.parse(argument) as RawOperation[]);
        break;
      default:
        if (this.#variant === "halves") this.add(OPERATION.pass, 1);
        this.add(OPERATION.pass, line.length - (this.#variant === "halves" ? 1 : 0));
        break;
    }
  }

  #raw(operations: RawOperation[]): void {
    for (const [kind, n, direction = 0, length = 0] of operations) {
      const i = this.operations.count;
      this.add(kind, n);
      this.operations.direction[i] = direction;
      this.operations.start[i] = 0;
      this.operations.length[i] = length;
    }
  }
}

/** `line`, `line#variant`: LineInstance; anything else passes everything. */
export function instantiateNative(image: PluginImage, host: HostImports): NativeInstance {
  const [name, variant = ""] = image.digest.split("#");
  if (variant === "no-start") throw new Error("trap: no start");
  return name === "line" ? new LineInstance(host, variant) : new NativeInstance(host);
}
