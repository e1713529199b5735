/**
 * The worker threads of this process as one: a request goes to all of them and is answered when all
 * have. A worker that ends on its own is a bug: the process ends with it, and whoever watches the
 * process starts a new one from the last confirmed state.
 */
import type { MessagePort } from "node:worker_threads";
import type { Logger } from "pino";
import type {
  WorkerConfig,
  WorkerMessage,
  WorkerReply,
  WorkerRequest,
} from "../worker/messages.ts";
import { type SpawnedWorker, spawnWorker } from "../worker/spawn.ts";

const THREAD = new URL("../worker/thread.ts", import.meta.url);
const START_MS_MAX = 10_000;
const REPLY_MS_MAX = 5_000;

export class WorkersError extends Error {
  override readonly name = "WorkersError";
}

export interface WorkersDeps {
  log: Logger;
  /** The engine's `wake`. */
  wake: (wakeFd: number) => void;
  /** A worker ended without being asked. */
  onDeath: (error: Error) => void;
}

type Done = Extract<WorkerReply, { kind: "done" }>;
interface Waiting {
  resolve: (reply: Done) => void;
  reject: (error: Error) => void;
}

class WorkerHandle {
  readonly #port: MessagePort;
  readonly #spawned: SpawnedWorker;
  readonly #deps: WorkersDeps;
  readonly #log: Logger;
  readonly #waiting = new Map<number, Waiting>();
  #seq = 0;
  #wakeFd = -1;
  #stopping = false;
  readonly started: Promise<void>;
  readonly idle: Promise<void>;
  readonly exited: Promise<void>;
  #onStarted: () => void = () => {};
  #onIdle: () => void = () => {};

  constructor(config: WorkerConfig, deps: WorkersDeps) {
    this.#deps = deps;
    this.#log = deps.log.child({ worker: config.worker });
    this.idle = new Promise((resolve) => {
      this.#onIdle = resolve;
    });
    let onExited = (): void => {};
    this.exited = new Promise((resolve) => {
      onExited = resolve;
    });
    let onFailed = (_error: Error): void => {};
    this.started = new Promise((resolve, reject) => {
      this.#onStarted = resolve;
      onFailed = reject;
      setTimeout(() => reject(new WorkersError("Cannot start a worker: no answer")), START_MS_MAX);
    });
    this.#spawned = spawnWorker(THREAD, config, {
      onExit: (error) => {
        onExited();
        if (this.#stopping) return;
        const reason = error?.message ?? "it returned";
        const death = new WorkersError(`Cannot go on: worker ${config.worker} ended: ${reason}`, {
          cause: error,
        });
        onFailed(death);
        deps.onDeath(death);
      },
    });
    this.#port = this.#spawned.port;
    this.#port.on("message", (message: WorkerMessage) => this.#receive(message));
  }

  request(request: WorkerRequest): Promise<Done> {
    const seq = ++this.#seq;
    if (request.kind === "stop") this.#stopping = true;
    return new Promise<Done>((resolve, reject) => {
      const timer = setTimeout(() => {
        this.#waiting.delete(seq);
        reject(new WorkersError(`Cannot ${request.kind}: a worker did not answer`));
      }, REPLY_MS_MAX);
      this.#waiting.set(seq, {
        resolve: (reply) => {
          clearTimeout(timer);
          resolve(reply);
        },
        reject: (error) => {
          clearTimeout(timer);
          reject(error);
        },
      });
      this.#port.postMessage({ ...request, seq });
      this.#deps.wake(this.#wakeFd);
    });
  }

  terminate(): void {
    this.#stopping = true;
    this.#port.close();
    void this.#spawned.terminate();
  }

  #receive(message: WorkerMessage): void {
    switch (message.kind) {
      case "started":
        this.#wakeFd = message.wakeFd;
        this.#onStarted();
        return;
      case "idle":
        this.#onIdle();
        return;
      case "log":
        this.#log[message.level]({ plugin: message.plugin }, message.message);
        return;
      case "done":
        this.#waiting.get(message.seq)?.resolve(message);
        this.#waiting.delete(message.seq);
        return;
      case "failed":
        this.#waiting.get(message.seq)?.reject(new WorkersError(message.message));
        this.#waiting.delete(message.seq);
        return;
    }
  }
}

export class Workers {
  readonly #handles: WorkerHandle[];

  constructor(configs: readonly WorkerConfig[], deps: WorkersDeps) {
    this.#handles = configs.map((config) => new WorkerHandle(config, deps));
  }

  get count(): number {
    return this.#handles.length;
  }

  /** Resolves when all are in their loops. */
  async started(): Promise<void> {
    await Promise.all(this.#handles.map((handle) => handle.started));
  }

  /** Resolves when all have answered; throws WorkersError when one refused or did not. */
  request(request: WorkerRequest): Promise<Done[]> {
    return Promise.all(this.#handles.map((handle) => handle.request(request)));
  }

  /** After `drain`: resolves when no connection is left. */
  async idle(): Promise<void> {
    await Promise.all(this.#handles.map((handle) => handle.idle));
  }

  /** Ends all threads; they reset what is left of their connections. */
  async stop(): Promise<void> {
    await this.request({ kind: "stop" });
    await Promise.all(this.#handles.map((handle) => handle.exited));
    for (const handle of this.#handles) handle.terminate();
  }
}
