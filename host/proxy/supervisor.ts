/**
 * Keeps one proxy in service: finds a running one through its socket, starts one when there is
 * none, starts it again when it dies, replaces it on upgrade, and gives every
 * new one the state last wanted. The proxy never dies with the agent.
 */
import { join } from "node:path";
import type { Logger } from "pino";
import type {
  InstanceStatus,
  ProxyHello,
  ProxyState,
  ProxyStatus,
} from "../../runtime/contract/control.ts";
import { ProxyControl, ProxyControlError } from "./control-client.ts";
import { type ProxyProcessOptions, startProxyProcess } from "./process.ts";

const START_TIMEOUT_MS = 15_000;
const CONNECT_RETRY_MS = 25;
const CONFIRM_TIMEOUT_MS = 5_000;
/** Restarts are immediate, then back off up to this while the proxy keeps dying young. */
const BACKOFF_MAX_MS = 5_000;
const STALE_DRAIN_MS = 30_000;
const HEALTHY_AFTER_MS = 10_000;

export interface SupervisorDeps {
  log: Logger;
  options: ProxyProcessOptions;
  /** Called with each proxy that came into service, before it counts as up. */
  onUp: (hello: ProxyHello) => void;
}

export class ProxySupervisor {
  readonly #log: Logger;
  readonly #options: ProxyProcessOptions;
  readonly #onUp: (hello: ProxyHello) => void;
  #control: ProxyControl | undefined;
  #state: ProxyState = { revision: 0, plugins: [], services: [], ruleSets: [] };
  #confirmed = 0;
  #stopped = false;
  #failures = 0;
  #lastError = "not started";
  #starting: Promise<void> | undefined;

  constructor(deps: SupervisorDeps) {
    this.#log = deps.log.child({ part: "proxy" });
    this.#options = deps.options;
    this.#onUp = deps.onUp;
  }

  get #socket(): string {
    return join(this.#options.runDir, "proxy.sock");
  }

  /** Revision every worker confirmed last; 0 before the first. */
  get confirmedRevision(): number {
    return this.#confirmed;
  }

  /** Undefined while there is no proxy; then `trouble` says why. */
  get hello(): ProxyHello | undefined {
    return this.#control?.hello;
  }

  get trouble(): string | undefined {
    return this.#control === undefined ? this.#lastError : undefined;
  }

  /**
   * Adopts a running proxy or starts one; resolves when one is up or START_TIMEOUT_MS is over.
   * `isStale`: a running one listens where nothing is handed over any more, and is replaced.
   */
  async start(isStale = false): Promise<void> {
    try {
      await this.#attach();
    } catch {
      return this.#revive();
    }
    this.#log.info({ pid: this.#control?.hello.pid }, "adopted the running proxy");
    if (isStale) await this.upgrade(STALE_DRAIN_MS);
  }

  /** Makes `state` the one in force. Throws ProxyControlError when it was not confirmed in time. */
  async setState(state: ProxyState): Promise<void> {
    this.#state = state;
    if (this.#starting !== undefined) await this.#starting;
    if (this.#confirmed === state.revision && this.#control !== undefined) return;
    if (this.#control === undefined) {
      throw new ProxyControlError(`Cannot reach the proxy: ${this.#lastError}`);
    }
    await this.#control.setState(state, CONFIRM_TIMEOUT_MS);
    this.#confirmed = state.revision;
  }

  /** Without a proxy there is no live connection to look at, so nothing to do. */
  async reevaluate(endpoints: number[]): Promise<void> {
    if (endpoints.length > 0) await this.#control?.reevaluate(endpoints, CONFIRM_TIMEOUT_MS);
  }

  /** As `reevaluate`, for addresses that have another identity now. */
  async relabelled(addresses: string[]): Promise<void> {
    if (addresses.length > 0) await this.#control?.relabelled(addresses, CONFIRM_TIMEOUT_MS);
  }

  async status(): Promise<ProxyStatus | undefined> {
    return this.#control?.status(CONFIRM_TIMEOUT_MS).catch(() => undefined);
  }

  /** Without a proxy there are none. */
  async instances(): Promise<InstanceStatus[]> {
    return (await this.#control?.instances(CONFIRM_TIMEOUT_MS)) ?? [];
  }

  /**
   * Starts a second proxy, which takes the listener slots over; the old one serves its open
   * connections for at most `drainMs`. On failure the old one stays in service.
   */
  async upgrade(drainMs: number): Promise<ProxyHello> {
    const old = this.#control;
    const oldPid = old?.hello.pid;
    const pid = startProxyProcess(this.#options);
    const fresh = await this.#connectTo((hello) => hello.pid === pid, START_TIMEOUT_MS);
    await this.#putInService(fresh);
    if (old !== undefined) {
      await old.drain(drainMs, CONFIRM_TIMEOUT_MS).catch((error: unknown) => {
        this.#log.warn({ error, pid: oldPid }, "the old proxy did not confirm its drain");
      });
      old.close();
    }
    this.#log.info({ from: oldPid, to: pid }, "upgraded the proxy");
    return fresh.hello;
  }

  /** Lets go of the proxy without stopping it. */
  close(): void {
    this.#stopped = true;
    this.#control?.close();
  }

  async #attach(): Promise<void> {
    await this.#putInService(await this.#open());
  }

  /**
   * Until the agent has computed a state, a proxy goes on with the one it has: an empty state would
   * take the rule sets from connections that are allowed.
   */
  async #putInService(control: ProxyControl): Promise<void> {
    if (this.#state.revision > 0) {
      try {
        await control.setState(this.#state, CONFIRM_TIMEOUT_MS);
      } catch (error) {
        control.close();
        throw error;
      }
    }
    this.#adopt(control);
  }

  async #open(): Promise<ProxyControl> {
    const control = await ProxyControl.connect(this.#socket, () => {
      if (this.#control === control) this.#lost();
    });
    return control;
  }

  #adopt(control: ProxyControl): void {
    this.#control = control;
    this.#confirmed = this.#state.revision;
    this.#lastError = "";
    this.#onUp(control.hello);
    const healthy = setTimeout(() => {
      if (this.#control === control) this.#failures = 0;
    }, HEALTHY_AFTER_MS);
    healthy.unref();
  }

  #lost(): void {
    this.#control = undefined;
    this.#confirmed = 0;
    this.#lastError = "the proxy process ended";
    if (this.#stopped) return;
    this.#log.error("the proxy is gone; starting a new one");
    void this.#revive();
  }

  /** One revival at a time; it ends with a proxy in service or a later try already scheduled. */
  #revive(): Promise<void> {
    this.#starting ??= this.#startOnce().finally(() => {
      this.#starting = undefined;
    });
    return this.#starting;
  }

  async #startOnce(): Promise<void> {
    if (this.#stopped) return;
    try {
      const pid = startProxyProcess(this.#options);
      const control = await this.#connectTo((hello) => hello.pid === pid, START_TIMEOUT_MS);
      await this.#putInService(control);
      this.#log.info({ pid, runtime: this.#options.runtime }, "started the proxy");
    } catch (error) {
      this.#failures += 1;
      this.#lastError = error instanceof Error ? error.message : String(error);
      const delay = Math.min(BACKOFF_MAX_MS, 100 * 2 ** this.#failures);
      this.#log.error({ error: this.#lastError, retryMs: delay }, "the proxy did not start");
      setTimeout(() => void this.#revive(), delay).unref();
    }
  }

  async #connectTo(
    wanted: (hello: ProxyHello) => boolean,
    timeoutMs: number,
  ): Promise<ProxyControl> {
    const deadline = performance.now() + timeoutMs;
    let last: unknown;
    while (performance.now() < deadline && !this.#stopped) {
      try {
        const control = await this.#open();
        if (wanted(control.hello)) return control;
        control.close();
      } catch (error) {
        last = error;
      }
      await new Promise((resolve) => setTimeout(resolve, CONNECT_RETRY_MS));
    }
    const reason = last instanceof Error ? last.message : "it did not answer";
    throw new ProxyControlError(
      `Cannot start the proxy: ${reason}; see ${join(this.#options.runDir, "proxy.log")}`,
    );
  }
}
