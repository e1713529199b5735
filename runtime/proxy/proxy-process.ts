/**
 * The life of the proxy process: it enforces its last confirmed state from the start, takes new
 * ones from the agent, and ends by draining. Listeners open only once there is a state: until then
 * the datapath finds no listener and drops.
 */
import { join } from "node:path";
import type { Logger } from "pino";
import {
  CONTROL_PROTOCOL,
  type ControlRequest,
  type InstanceStatus,
  type ProxyHello,
  type ProxyState,
  type ProxyStatus,
} from "../contract/control.ts";
import { ControlServer } from "./control-server.ts";
import type { MemoryBack } from "./memory-back.ts";
import type { ProxyOptions } from "./options.ts";
import type { StateHistory } from "./state-change.ts";
import { loadState, parseState, readStateFile, saveState } from "./state-file.ts";
import { sumStatus } from "./status.ts";
import type { Workers } from "./workers.ts";

export interface ProxyProcessDeps {
  log: Logger;
  options: ProxyOptions;
  workers: Workers;
  history: StateHistory;
  memoryBack: MemoryBack;
  /** Tells the datapath how many workers listen. */
  announceWorkers: (workers: number) => void;
  hello: Omit<ProxyHello, "protocol" | "workers" | "revision">;
  exit: (code: number) => void;
}

type Answer = { hello?: ProxyHello; status?: ProxyStatus; instances?: InstanceStatus[] };

export class ProxyProcess {
  readonly #deps: ProxyProcessDeps;
  #control: ControlServer | undefined;
  #listening = false;
  #draining = false;
  /** State changes happen one after the other. */
  #changing: Promise<unknown> = Promise.resolve();

  constructor(deps: ProxyProcessDeps) {
    this.#deps = deps;
  }

  /** Resolves when it can be steered; with a saved state, when it enforces. */
  async start(): Promise<void> {
    const { options, workers, log } = this.#deps;
    await workers.started();
    const state = this.#savedState();
    if (state !== undefined) {
      try {
        await this.#apply(state);
      } catch (error) {
        // Without the agent nothing better can be had; without a state nothing is let through.
        if (options.stateFile !== undefined) throw error;
        log.error({ error: String(error) }, "the saved state cannot be used; waiting for an agent");
      }
    }
    this.#control = await ControlServer.listen(join(options.runDir, "proxy.sock"), (request) =>
      this.#handle(request),
    );
    const { revision } = this.#deps.history.current;
    log.info({ workers: workers.count, revision, listening: this.#listening }, "started");
  }

  /** Stops accepting, waits for open connections at most `timeoutMs`, ends the process. */
  async drain(timeoutMs: number): Promise<void> {
    const { workers, log, exit } = this.#deps;
    if (this.#draining) return;
    this.#draining = true;
    this.#control?.close();
    log.info({ timeoutMs }, "draining");
    await workers.request({ kind: "drain" });
    let timer: NodeJS.Timeout | undefined;
    const late = new Promise<void>((resolve) => {
      timer = setTimeout(resolve, timeoutMs);
    });
    await Promise.race([workers.idle(), late]);
    clearTimeout(timer);
    await workers.stop();
    log.info("stopped");
    exit(0);
  }

  #savedState(): ProxyState | undefined {
    const { options, log } = this.#deps;
    if (options.stateFile !== undefined) return readStateFile(options.stateFile);
    try {
      return loadState(options.stateDir);
    } catch (error) {
      log.error({ error: String(error) }, "the saved state cannot be used; waiting for an agent");
      return undefined;
    }
  }

  #apply(state: ProxyState): Promise<void> {
    const done = this.#changing.then(() => this.#change(state));
    this.#changing = done.catch(() => {});
    return done;
  }

  async #change(state: ProxyState): Promise<void> {
    const { history, workers, options, log } = this.#deps;
    const change = history.changeTo(state);
    await workers.request({ kind: "state", change });
    history.confirm(state);
    this.#deps.memoryBack.changed();
    if (options.stateFile === undefined) saveState(options.stateDir, state);
    const { revision, images, ruleSets } = change;
    log.info({ revision, newPlugins: images.length, newRuleSets: ruleSets.length }, "state");
    for (const [digest, { stage, message }] of history.unavailable) {
      log.error({ digest, stage, message }, "a plugin version cannot serve");
    }
    if (this.#listening || this.#draining) return;
    await workers.request({ kind: "listen" });
    this.#listening = true;
    this.#deps.announceWorkers(workers.count);
  }

  async #handle(request: ControlRequest): Promise<Answer> {
    switch (request.kind) {
      case "hello":
        return { hello: this.#hello() };
      case "state":
        await this.#apply(parseState(request.state));
        return {};
      case "reevaluate":
        await this.#deps.workers.request({
          kind: "reevaluate",
          endpoints: request.endpoints,
          relabelled: request.relabelled ?? [],
        });
        return {};
      case "status":
        return { status: await this.#status() };
      case "instances":
        return { instances: await this.#instances() };
      case "drain":
        this.drain(request.timeoutMs).catch((error: unknown) => {
          this.#deps.log.error({ error: String(error) }, "cannot drain");
          this.#deps.exit(1);
        });
        return {};
      default:
        return request satisfies never;
    }
  }

  #hello(): ProxyHello {
    return {
      ...this.#deps.hello,
      protocol: CONTROL_PROTOCOL,
      workers: this.#deps.workers.count,
      revision: this.#deps.history.current.revision,
    };
  }

  async #status(): Promise<ProxyStatus> {
    const { history, workers } = this.#deps;
    const replies = await workers.request({ kind: "status" });
    return {
      ...this.#hello(),
      rss: process.memoryUsage().rss,
      ...sumStatus(
        replies.flatMap(({ status }) => status ?? []),
        history.current.plugins.map(({ digest }) => digest),
        history.unavailable,
      ),
    };
  }

  async #instances(): Promise<InstanceStatus[]> {
    const replies = await this.#deps.workers.request({ kind: "instances" });
    return replies.flatMap(({ instances }) => instances ?? []);
  }
}
