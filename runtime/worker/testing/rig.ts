/**
 * A worker with real sockets for tests: native plugins, a TCP upstream and clients in the same
 * thread, turns alternating with the event loop. Runs alike in Node and Deno.
 */
import { once } from "node:events";
import { mkdtempSync, rmSync } from "node:fs";
import { createConnection, createServer, type Server, type Socket } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { FRAME_HEADER_BYTES } from "../../contract/records.ts";
import { type Engine, loadEngine } from "../../engine/index.ts";
import { EVENT_HEADER, QUAD } from "../../engine/protocol.ts";
import { instantiate } from "../../isolate/index.ts";
import { createMatcher } from "../../regex/index.ts";
import type { PolicyLookup } from "../policy.ts";
import { RuleStore } from "../rule-store.ts";
import { Worker } from "../worker.ts";
import { instantiateNative, LineInstance, type NativeInstance } from "./native-plugin.ts";
import { type NativeStateOptions, nativeState, RULES } from "./native-state.ts";

const WAIT_MS_MAX = 10_000;

export interface RigOptions {
  /** Rule sets and identities of the main listener. */
  egressRules?: number;
  ingressRules?: number;
  sourceIdentity?: number;
  policy?: PolicyLookup;
  state?: NativeStateOptions;
  connectionsMax?: number;
  /** Of all plugin instances; default 1 GiB. */
  memoryBytesMax?: number;
  /** Relay to a port where nobody listens. */
  refused?: boolean;
  upstream?: (socket: Socket) => void;
}

export interface Frame {
  type: number;
  kind: number;
  verdict: number;
  stage: number;
  connection: number;
  exchange: number;
  body: Uint8Array;
}

/** Of a frame that is not a record. */
export function jsonBody(frame: Frame | undefined): Record<string, unknown> {
  return JSON.parse(new TextDecoder().decode(frame?.body)) as Record<string, unknown>;
}

export class Rig {
  readonly worker: Worker;
  readonly engine: Engine;
  readonly rules: RuleStore;
  readonly instances: NativeInstance[] = [];
  readonly log: string[] = [];
  readonly upstreamSockets: Socket[] = [];
  readonly recordsPath: string;
  readonly #folder = mkdtempSync(join(tmpdir(), "imk-rig-"));
  readonly #sockets: Socket[] = [];
  readonly #server: Server;
  #upstreamPort = 0;
  #running = true;
  #port = 0;

  private constructor(options: RigOptions) {
    const addon = loadEngine();
    const memory = {
      arena: new Uint8Array(1 << 20),
      events: new Int32Array(EVENT_HEADER + 1024 * QUAD),
      operations: new Int32Array(1024 * QUAD),
      inject: new Uint8Array(256 * 1024),
      records: new Uint8Array(256 * 1024),
    };
    const connectionsMax = options.connectionsMax ?? 4096;
    this.engine = new addon.Engine({ ...memory, connectionsMax, handoffMap: -1 });
    this.rules = new RuleStore(createMatcher);
    this.worker = new Worker({
      engine: this.engine,
      memory,
      rules: this.rules,
      instantiate: (image, host) => {
        if (image.digest.startsWith("sha256:")) return instantiate(image, host);
        const instance = instantiateNative(image, host);
        this.instances.push(instance);
        return instance;
      },
      policy: options.policy,
      instancesMax: 8,
      memoryBytesMax: options.memoryBytesMax ?? 2 ** 30,
      random: Math.random,
      log: (level, message) => this.log.push(`${level} ${message}`),
    });
    this.worker.apply(nativeState(options.state));
    this.recordsPath = join(this.#folder, "records.sock");
    this.engine.listenRecords(this.recordsPath);
    const serve = options.upstream ?? ((socket) => socket.pipe(socket));
    this.#server = createServer({ allowHalfOpen: true, noDelay: true }, (socket) => {
      socket.on("error", () => {});
      this.upstreamSockets.push(socket);
      serve(socket);
    });
  }

  static async start(options: RigOptions = {}): Promise<Rig> {
    const rig = new Rig(options);
    rig.#server.listen(0, "127.0.0.1");
    await once(rig.#server, "listening");
    const address = rig.#server.address();
    rig.#upstreamPort = typeof address === "object" && address !== null ? address.port : 0;
    if (options.refused) {
      rig.#server.close();
      await once(rig.#server, "close");
    }
    rig.#port = rig.listen(options);
    const pump = (): void => {
      if (!rig.#running) return;
      rig.worker.turn(0);
      setImmediate(pump);
    };
    pump();
    return rig;
  }

  /** One more listener to the same upstream; returns its port. */
  listen(options: RigOptions): number {
    const { sourceIdentity = 1000, egressRules = RULES.line, ingressRules = 0 } = options;
    return this.engine.listenStatic(
      "127.0.0.1",
      0,
      "127.0.0.1",
      this.#upstreamPort,
      Uint32Array.of(sourceIdentity, 2000, egressRules, ingressRules, 11, 22, 111, 222),
    );
  }

  /** A connected client that collects what it gets. */
  async connect(port: number = this.#port): Promise<Client> {
    const socket = createConnection({
      port,
      host: "127.0.0.1",
      allowHalfOpen: true,
      noDelay: true,
    });
    this.#sockets.push(socket);
    const client = new Client(socket, this);
    // A refused connection may be reset before this thread hears that it was made.
    await this.until("a connection", () => !socket.connecting || client.error !== undefined);
    return client;
  }

  get line(): LineInstance {
    const found = this.instances.findLast((instance) => instance instanceof LineInstance);
    if (!(found instanceof LineInstance)) throw new Error("Cannot find the plugin: not made yet");
    return found;
  }

  counter(name: string): number {
    return this.worker.status().counters[name] ?? 0;
  }

  /** Until it holds; throws, saying what, when it never does. */
  async until(what: string, condition: () => boolean): Promise<void> {
    const deadline = performance.now() + WAIT_MS_MAX;
    while (!condition()) {
      if (performance.now() > deadline) throw new Error(`Cannot see ${what}: waited in vain`);
      await this.turns(1);
    }
  }

  /** Lets worker and event loop run a few rounds. */
  async turns(count: number): Promise<void> {
    for (let i = 0; i < count; i++) await new Promise((resolve) => setImmediate(resolve));
  }

  /** Connects to the record stream; frames are added to the array returned. */
  async readRecords(): Promise<{ frames: Frame[]; socket: Socket }> {
    const socket = createConnection(this.recordsPath);
    this.#sockets.push(socket);
    const frames: Frame[] = [];
    let rest = Buffer.alloc(0);
    socket.on("data", (chunk: Buffer) => {
      rest = Buffer.concat([rest, chunk]);
      while (rest.length >= 4 && rest.length >= rest.readUInt32LE(0)) {
        const size = rest.readUInt32LE(0);
        frames.push({
          type: rest.readUInt8(4),
          kind: rest.readUInt8(5),
          verdict: rest.readUInt8(6),
          stage: rest.readUInt8(7),
          connection: rest.readUInt32LE(8),
          exchange: rest.readUInt32LE(12),
          body: Uint8Array.from(rest.subarray(FRAME_HEADER_BYTES, size)),
        });
        rest = rest.subarray(size);
      }
    });
    socket.on("error", () => {});
    await once(socket, "connect");
    return { frames, socket };
  }

  async close(): Promise<void> {
    for (const socket of [...this.#sockets, ...this.upstreamSockets]) socket.destroy();
    this.#server.close();
    await this.turns(3);
    this.#running = false;
    this.engine.close();
    rmSync(this.#folder, { recursive: true });
  }
}

export class Client {
  readonly socket: Socket;
  readonly #rig: Rig;
  readonly #chunks: Buffer[] = [];
  bytes = 0;
  /** FIN came. */
  ended = false;
  /** Code of the error that ended it, for example ECONNRESET. */
  error: string | undefined;

  constructor(socket: Socket, rig: Rig) {
    this.socket = socket;
    this.#rig = rig;
    socket.on("data", (chunk: Buffer) => {
      this.bytes += chunk.length;
      this.#chunks.push(chunk);
    });
    socket.on("end", () => {
      this.ended = true;
    });
    socket.on("error", (error: NodeJS.ErrnoException) => {
      this.error = error.code ?? error.message;
    });
  }

  get text(): string {
    return Buffer.concat(this.#chunks).toString("latin1");
  }

  write(text: string): void {
    this.socket.write(text, "latin1");
  }

  async receives(text: string): Promise<void> {
    await this.#rig.until(
      `${JSON.stringify(text.slice(0, 80))} (got ${this.text.slice(0, 80)})`,
      () => this.bytes >= text.length,
    );
    if (this.text !== text) {
      throw new Error(`Cannot accept ${JSON.stringify(this.text)}: not ${JSON.stringify(text)}`);
    }
  }

  async isReset(): Promise<void> {
    await this.#rig.until("a reset", () => this.error !== undefined || this.ended);
    if (this.error !== "ECONNRESET") throw new Error(`Cannot see a reset: ${this.error ?? "FIN"}`);
  }
}
