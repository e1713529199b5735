/**
 * One control connection to one proxy process (runtime/contract/control.ts): requests out, replies
 * matched by `seq`. It knows nothing of restarting or of what the state means; supervisor.ts does.
 */
import { createConnection, type Socket } from "node:net";
import { StringDecoder } from "node:string_decoder";
import {
  CONTROL_PROTOCOL,
  type ControlReply,
  type ControlRequest,
  type InstanceStatus,
  type ProxyHello,
  type ProxyState,
  type ProxyStatus,
} from "../../runtime/contract/control.ts";

/** A reply line longer than this is not a proxy's. */
const REPLY_BYTES_MAX = 16 << 20;
const CONNECT_TIMEOUT_MS = 2000;

export class ProxyControlError extends Error {
  override readonly name = "ProxyControlError";
}

type OpenRequest<T> = T extends { seq: number } ? Omit<T, "seq"> : never;
type Waiting = { resolve: (reply: ControlReply) => void; reject: (error: Error) => void };

export class ProxyControl {
  readonly #socket: Socket;
  readonly #waiting = new Map<number, Waiting>();
  readonly #decoder = new StringDecoder("utf8");
  #seq = 0;
  #line = "";
  #hello: ProxyHello | undefined;

  /** Connects and shakes hands. Throws ProxyControlError when nobody (or a stranger) listens. */
  static async connect(path: string, onClose: () => void): Promise<ProxyControl> {
    const socket = createConnection(path);
    await new Promise<void>((resolve, reject) => {
      const timer = setTimeout(() => {
        socket.destroy();
        reject(new ProxyControlError(`Cannot connect to the proxy at ${path}: no answer`));
      }, CONNECT_TIMEOUT_MS);
      socket.once("connect", () => {
        clearTimeout(timer);
        resolve();
      });
      socket.once("error", (cause) => {
        clearTimeout(timer);
        reject(
          new ProxyControlError(`Cannot connect to the proxy at ${path}: ${cause.message}`, {
            cause,
          }),
        );
      });
    });
    const control = new ProxyControl(socket, onClose);
    const reply = await control.#request(
      { kind: "hello", protocol: CONTROL_PROTOCOL },
      CONNECT_TIMEOUT_MS,
    );
    if (reply.hello?.protocol !== CONTROL_PROTOCOL) {
      control.close();
      throw new ProxyControlError(
        `Cannot use the proxy at ${path}: it speaks protocol ${reply.hello?.protocol}, ` +
          `this agent ${CONTROL_PROTOCOL}; run 'imker proxy upgrade'`,
      );
    }
    control.#hello = reply.hello;
    return control;
  }

  private constructor(socket: Socket, onClose: () => void) {
    this.#socket = socket;
    // The agent may stop whenever it likes; an idle control connection must not hold it up.
    socket.unref();
    socket.on("data", (chunk: Buffer) => this.#receive(chunk));
    socket.on("error", () => {});
    socket.once("close", () => {
      const gone = new ProxyControlError("Cannot reach the proxy: its control connection closed");
      for (const waiting of this.#waiting.values()) waiting.reject(gone);
      this.#waiting.clear();
      onClose();
    });
  }

  get hello(): ProxyHello {
    if (this.#hello === undefined) throw new ProxyControlError("Cannot use the proxy: no hello");
    return this.#hello;
  }

  /** Resolves when every worker has the state; throws after `timeoutMs` or when it is refused. */
  async setState(state: ProxyState, timeoutMs: number): Promise<void> {
    await this.#request({ kind: "state", state }, timeoutMs);
  }

  /** Live connections of these endpoints look their verdict up again. */
  async reevaluate(endpoints: number[], timeoutMs: number): Promise<void> {
    await this.#request({ kind: "reevaluate", endpoints }, timeoutMs);
  }

  /** Connections of addresses that have another identity now end. */
  async relabelled(addresses: string[], timeoutMs: number): Promise<void> {
    await this.#request({ kind: "reevaluate", endpoints: [], relabelled: addresses }, timeoutMs);
  }

  async status(timeoutMs: number): Promise<ProxyStatus> {
    const reply = await this.#request({ kind: "status" }, timeoutMs);
    if (reply.status === undefined) throw new ProxyControlError("Cannot read the proxy's status");
    return reply.status;
  }

  /** Sandboxes of all workers. */
  async instances(timeoutMs: number): Promise<InstanceStatus[]> {
    const reply = await this.#request({ kind: "instances" }, timeoutMs);
    return reply.instances ?? [];
  }

  async drain(drainMs: number, timeoutMs: number): Promise<void> {
    await this.#request({ kind: "drain", timeoutMs: drainMs }, timeoutMs);
  }

  close(): void {
    this.#socket.destroy();
  }

  async #request(
    request: OpenRequest<ControlRequest>,
    timeoutMs: number,
  ): Promise<Extract<ControlReply, { ok: true }>> {
    const seq = ++this.#seq;
    const reply = await new Promise<ControlReply>((resolve, reject) => {
      const timer = setTimeout(() => {
        this.#waiting.delete(seq);
        reject(
          new ProxyControlError(
            `Cannot ${request.kind} the proxy: no confirmation in ${timeoutMs} ms`,
          ),
        );
      }, timeoutMs);
      const settle = <T>(then: (value: T) => void) => {
        return (value: T): void => {
          clearTimeout(timer);
          then(value);
        };
      };
      this.#waiting.set(seq, { resolve: settle(resolve), reject: settle(reject) });
      this.#socket.write(`${JSON.stringify({ seq, ...request })}\n`);
    });
    if (!reply.ok) throw new ProxyControlError(`Cannot ${request.kind} the proxy: ${reply.error}`);
    return reply;
  }

  #receive(chunk: Buffer): void {
    this.#line += this.#decoder.write(chunk);
    for (let end = this.#line.indexOf("\n"); end >= 0; end = this.#line.indexOf("\n")) {
      const line = this.#line.slice(0, end);
      this.#line = this.#line.slice(end + 1);
      this.#settle(line);
    }
    if (this.#line.length > REPLY_BYTES_MAX) this.#socket.destroy();
  }

  #settle(line: string): void {
    let reply: ControlReply;
    try {
      reply = JSON.parse(line) as ControlReply;
    } catch {
      this.#socket.destroy();
      return;
    }
    const waiting = this.#waiting.get(reply.seq);
    this.#waiting.delete(reply.seq);
    waiting?.resolve(reply);
  }
}
