/** The admin API's client: HTTP over the agent's unix socket. */
import { Client } from "undici";
import { CliError, EXIT } from "./errors.ts";

export interface ApiReply {
  status: number;
  body: unknown;
}

export class ApiClient {
  readonly #socket: string;
  readonly #client: Client;

  constructor(socket: string) {
    this.#socket = socket;
    // A policy may take seconds to be in force and a followed flow stream never ends.
    this.#client = new Client("http://imker", {
      socketPath: socket,
      headersTimeout: 0,
      bodyTimeout: 0,
    });
  }

  /** The answer whatever its status; CliError (unreachable) when there is none. */
  async send(method: "GET" | "POST" | "DELETE", path: string, body?: unknown): Promise<ApiReply> {
    const response = await this.#request(method, path, body);
    const text = await response.body.text();
    return { status: response.statusCode, body: text === "" ? undefined : JSON.parse(text) };
  }

  /** The body of a successful answer; a problem becomes a CliError with its `detail`. */
  async call<T>(method: "GET" | "POST" | "DELETE", path: string, body?: unknown): Promise<T> {
    const reply = await this.send(method, path, body);
    if (reply.status >= 400) throw problemError(reply);
    return reply.body as T;
  }

  /** Lines of a streamed answer, as they come. */
  async *lines(path: string): AsyncGenerator<string> {
    const response = await this.#request("GET", path);
    if (response.statusCode >= 400) {
      throw problemError({ status: response.statusCode, body: await response.body.json() });
    }
    let rest = "";
    response.body.setEncoding("utf8");
    for await (const chunk of response.body) {
      const lines = (rest + String(chunk)).split("\n");
      rest = lines.pop() ?? "";
      yield* lines;
    }
    if (rest !== "") yield rest;
  }

  async close(): Promise<void> {
    await this.#client.destroy();
  }

  async #request(method: "GET" | "POST" | "DELETE", path: string, body?: unknown) {
    try {
      return await this.#client.request({
        method,
        path,
        ...(body === undefined
          ? {}
          : { body: JSON.stringify(body), headers: { "content-type": "application/json" } }),
      });
    } catch (cause) {
      const reason = cause instanceof Error ? cause.message : String(cause);
      const hint = /\bEACCES\b/.test(reason)
        ? "only its owner may (run it as root)"
        : "is it running ('imker agent')? Use --socket for another path";
      throw new CliError(
        EXIT.unreachable,
        `Cannot reach the agent at ${this.#socket}: ${reason}; ${hint}`,
        { cause },
      );
    }
  }
}

function problemError(reply: ApiReply): CliError {
  const detail = (reply.body as { detail?: unknown } | undefined)?.detail;
  const code = reply.status >= 500 ? EXIT.environment : EXIT.user;
  return new CliError(code, typeof detail === "string" ? detail : `HTTP status ${reply.status}`);
}
