/** The admin API's client: HTTP over the agent's unix socket. */
import { Client } from "undici";
import { CliError, EXIT } from "./errors.ts";

export interface ApiReply {
  status: number;
  body: unknown;
}

export type ApiMethod = "GET" | "POST" | "PUT" | "PATCH" | "DELETE";

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
      // A connection each: one kept may have been closed by the agent while something was built.
      pipelining: 0,
    });
  }

  /** The answer whatever its status; CliError (unreachable) when there is none. */
  async send(method: ApiMethod, path: string, body?: unknown): Promise<ApiReply> {
    const response = await this.#request(method, path, body);
    const text = await response.body.text();
    return { status: response.statusCode, body: text === "" ? undefined : JSON.parse(text) };
  }

  /** The body of a successful answer; a problem becomes a CliError with its `detail`. */
  async call<T>(method: ApiMethod, path: string, body?: unknown): Promise<T> {
    const reply = await this.send(method, path, body);
    if (reply.status >= 400) throw problemError(reply);
    return reply.body as T;
  }

  /** Sends a file; throws as `call` does. */
  async upload<T>(path: string, file: Uint8Array, type: string): Promise<T> {
    return this.#sendFile("POST", path, file, type);
  }

  /** As `upload`, for what replaces something. */
  async put<T>(path: string, file: Uint8Array, type: string): Promise<T> {
    return this.#sendFile("PUT", path, file, type);
  }

  async #sendFile<T>(method: ApiMethod, path: string, file: Uint8Array, type: string): Promise<T> {
    const response = await this.#send(method, path, { type, content: file });
    const body = await response.body.json();
    if (response.statusCode >= 400) throw problemError({ status: response.statusCode, body });
    return body as T;
  }

  /** The bytes of a successful answer; throws as `call` does. */
  async download(path: string): Promise<Uint8Array> {
    const response = await this.#send("GET", path);
    if (response.statusCode >= 400) {
      throw problemError({ status: response.statusCode, body: await response.body.json() });
    }
    return response.body.bytes();
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

  #request(method: ApiMethod, path: string, body?: unknown) {
    if (body === undefined) return this.#send(method, path);
    return this.#send(method, path, { type: "application/json", content: JSON.stringify(body) });
  }

  async #send(
    method: ApiMethod,
    path: string,
    body?: { type: string; content: string | Uint8Array },
  ) {
    try {
      return await this.#client.request({
        method,
        path,
        ...(body === undefined
          ? {}
          : { body: body.content, headers: { "content-type": body.type } }),
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
