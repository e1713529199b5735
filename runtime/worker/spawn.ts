/**
 * Starting a worker thread and being one: the one place where Node and Deno would differ.
 * Both offer node:worker_threads; `started()` is the thread's side of `spawnWorker()`.
 */
import {
  MessageChannel,
  type MessagePort,
  parentPort,
  Worker as Thread,
  workerData,
} from "node:worker_threads";
import type { WorkerConfig } from "./messages.ts";

export interface SpawnedWorker {
  readonly port: MessagePort;
  /** Ends it without asking. */
  terminate(): Promise<unknown>;
}

export interface SpawnEvents {
  /** The thread ended; `error` when it failed. */
  onExit: (error: Error | undefined) => void;
}

/** Starts `script` (thread.ts) with its configuration and one end of a message channel. */
export function spawnWorker(script: URL, config: WorkerConfig, events: SpawnEvents): SpawnedWorker {
  const { port1, port2 } = new MessageChannel();
  const thread = new Thread(script, { workerData: { config, port: port2 }, transferList: [port2] });
  let failure: Error | undefined;
  thread.on("error", (error) => {
    failure = error instanceof Error ? error : new Error(String(error));
  });
  thread.on("exit", () => events.onExit(failure));
  return { port: port1, terminate: () => thread.terminate() };
}

/** In a thread of `spawnWorker()`: runs `main` with what was passed. Elsewhere it does nothing. */
export function started(main: (config: WorkerConfig, port: MessagePort) => void): void {
  if (parentPort === null) return;
  const { config, port } = workerData as { config: WorkerConfig; port: MessagePort };
  main(config, port);
}
