/** Test side of peer-process.ts. */
import { LineClient } from "./line-client.ts";

/** `brief`: TCP that ends the connection after its greeting. */
export type ServerKind = "tcp" | "udp" | "brief";

export type PeerRequest =
  | { kind: "listen"; protocol: ServerKind; host: string; port: number }
  | {
      kind: "open";
      id: number;
      host: string;
      port: number;
      localPort: number | undefined;
      timeoutMs: number;
    }
  | { kind: "exchange"; id: number; text: string; timeoutMs: number }
  | { kind: "close"; id: number; how: "fin" | "reset" }
  | { kind: "hammer"; host: string; port: number; durationMs: number }
  | {
      kind: "udp";
      host: string;
      port: number;
      localPort: number | undefined;
      text: string;
      timeoutMs: number;
    };

const PATIENCE_MS = 3_000;
/** Long enough for a SYN and an answer, shorter than its first retransmission. */
const IMPATIENCE_MS = 400;

export class Peer {
  readonly #client: LineClient;
  #next = 0;

  constructor(netns: string) {
    this.#client = new LineClient(netns, "peer-process.ts");
  }

  listen(protocol: ServerKind, host: string, port: number): Promise<string> {
    return this.#ask({ kind: "listen", protocol, host, port });
  }

  /** Connects and waits for the greeting; `id` names the connection afterwards. */
  async open(
    host: string,
    port: number,
    options: { localPort?: number; denied?: boolean } = {},
  ): Promise<{ id: number; greeting: string }> {
    this.#next += 1;
    const id = this.#next;
    const greeting = await this.#ask({
      kind: "open",
      id,
      host,
      port,
      localPort: options.localPort,
      timeoutMs: options.denied ? IMPATIENCE_MS : PATIENCE_MS,
    });
    return { id, greeting };
  }

  exchange(id: number, text: string, timeoutMs = PATIENCE_MS): Promise<string> {
    return this.#ask({ kind: "exchange", id, text, timeoutMs });
  }

  close(id: number, how: "fin" | "reset" = "fin"): Promise<string> {
    return this.#ask({ kind: "close", id, how });
  }

  /** Opens a connection every 10 ms: "SERVED/TRIED". */
  async hammer(
    host: string,
    port: number,
    durationMs: number,
  ): Promise<{ served: number; tried: number }> {
    const answer = await this.#ask({ kind: "hammer", host, port, durationMs });
    const [served = 0, tried = 0] = answer.split("/").map(Number);
    return { served, tried };
  }

  /** One datagram and its answer. The same local port makes it one connection. */
  udp(
    host: string,
    port: number,
    text: string,
    { denied = false, localPort }: { denied?: boolean; localPort?: number } = {},
  ): Promise<string> {
    const timeoutMs = denied ? IMPATIENCE_MS : PATIENCE_MS;
    return this.#ask({ kind: "udp", host, port, localPort, text, timeoutMs });
  }

  kill(): Promise<void> {
    return this.#client.kill();
  }

  #ask(request: PeerRequest): Promise<string> {
    return this.#client.call(request) as Promise<string>;
  }
}
