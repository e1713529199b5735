/**
 * Requests to etcd's JSON gateway (etcd 3.4 and later): several endpoints, TLS, and its user and
 * password. Knows nothing of keys; etcd-store.ts does. Decision 0012 says why not a gRPC client.
 */
import { Agent, type Dispatcher } from "undici";
import { LeaseLostError, StoreUnavailableError } from "../shared-store.ts";

export interface EtcdOptions {
  /** Such as `https://10.0.0.1:2379`; tried in turn. */
  endpoints: readonly string[];
  /** PEM texts. */
  tls?: { ca?: string; cert?: string; key?: string };
  auth?: { user: string; password: string };
}

const CONNECT_TIMEOUT_MS = 2_000;
const ANSWER_TIMEOUT_MS = 5_000;
const KEEPALIVE_DELAY_MS = 5_000;
const CONNECTIONS_PER_ENDPOINT_MAX = 16;
const ANSWER_BYTES_MAX = 64 << 20;

/** After a request that got no answer in its time others are not tried for so long. */
const HANGING_MS = 1_000;

const CODE_NOT_FOUND = 5;
/** At its quota, or more requests than it can take. */
const CODE_EXHAUSTED = 8;
const CODE_UNAVAILABLE = 14;
const CODE_UNAUTHENTICATED = 16;
/** The request has not left this machine, so that another endpoint may get it. */
const NOT_SENT = new Set([
  "ECONNREFUSED",
  "EHOSTUNREACH",
  "ENETUNREACH",
  "UND_ERR_CONNECT_TIMEOUT",
]);

const TIMEOUTS = new Set([
  "UND_ERR_CONNECT_TIMEOUT",
  "UND_ERR_HEADERS_TIMEOUT",
  "UND_ERR_BODY_TIMEOUT",
]);

export class EtcdClient {
  readonly name: string;
  readonly #endpoints: readonly string[];
  readonly #auth: EtcdOptions["auth"];
  readonly #agent: Agent;
  #current = 0;
  #token: string | undefined;
  /** An agent that starts asks once or more for each endpoint; it must not wait as often. */
  #hanging: { untilMs: number; error: StoreUnavailableError } | undefined;

  constructor({ endpoints, tls = {}, auth }: EtcdOptions) {
    this.#endpoints = endpoints;
    this.#auth = auth;
    this.name = `etcd at ${endpoints.join(", ")}`;
    this.#agent = new Agent({
      connections: CONNECTIONS_PER_ENDPOINT_MAX,
      connect: { ...tls, timeout: CONNECT_TIMEOUT_MS, keepAliveInitialDelay: KEEPALIVE_DELAY_MS },
      maxResponseSize: -1,
    });
  }

  /**
   * The answer of one method, such as `/v3/kv/range`.
   * @param readOnly May be asked again of another endpoint when no answer came.
   * @throws StoreUnavailableError, LeaseLostError, or Error for what etcd refuses.
   */
  async call(method: string, body: object, readOnly: boolean): Promise<unknown> {
    const response = await this.#send(method, body, readOnly, { bodyTimeout: ANSWER_TIMEOUT_MS });
    return readAnswer(response, this.name);
  }

  /** The messages of a method that streams, one by one, until `signal`. Throws as `call` does. */
  async *stream(method: string, body: object, signal: AbortSignal): AsyncGenerator<unknown> {
    const response = await this.#send(method, body, true, { bodyTimeout: 0, signal });
    if (response.statusCode !== 200) throw problemOf(await response.body.json(), this.name);
    let rest = "";
    response.body.setEncoding("utf8");
    for await (const chunk of response.body) {
      const lines = (rest + String(chunk)).split("\n");
      rest = lines.pop() ?? "";
      if (rest.length > ANSWER_BYTES_MAX)
        throw new Error(`Cannot read ${this.name}: a line too long`);
      for (const line of lines) if (line !== "") yield JSON.parse(line);
    }
  }

  close(): void {
    void this.#agent.destroy();
  }

  async #send(
    method: string,
    body: object,
    readOnly: boolean,
    more: { bodyTimeout: number; signal?: AbortSignal },
  ): Promise<Dispatcher.ResponseData> {
    if (this.#hanging !== undefined && performance.now() < this.#hanging.untilMs)
      throw this.#hanging.error;
    const troubles: string[] = [];
    let authenticated = false;
    let isHanging = false;
    for (let tried = 0; tried < this.#endpoints.length; ) {
      const endpoint = this.#endpoints[this.#current] ?? "";
      try {
        if (this.#auth && this.#token === undefined) await this.#authenticate(endpoint);
        const response = await this.#request(endpoint, method, body, more);
        if (response.statusCode === 401 && this.#auth && !authenticated) {
          await response.body.dump();
          this.#token = undefined;
          authenticated = true;
          continue;
        }
        if (response.statusCode !== 503) return response;
        troubles.push(`${endpoint}: ${messageOf(await response.body.json())}`);
      } catch (error) {
        const unavailable = error instanceof StoreUnavailableError;
        // What has no code is etcd's refusal, and another endpoint's would be the same.
        if (more.signal?.aborted || (!unavailable && codeOf(error) === "")) throw error;
        troubles.push(`${endpoint}: ${reasonOf(error)}`);
        isHanging ||= TIMEOUTS.has(codeOf(error));
        if (!unavailable && !readOnly && !NOT_SENT.has(codeOf(error))) break;
      }
      this.#current = (this.#current + 1) % this.#endpoints.length;
      tried++;
    }
    const error = new StoreUnavailableError(`etcd does not answer (${troubles.join("; ")})`);
    if (isHanging) this.#hanging = { untilMs: performance.now() + HANGING_MS, error };
    throw error;
  }

  #request(
    endpoint: string,
    method: string,
    body: object,
    more: { bodyTimeout: number; signal?: AbortSignal },
  ): Promise<Dispatcher.ResponseData> {
    return this.#agent.request({
      ...{ origin: endpoint, path: method, method: "POST", headersTimeout: ANSWER_TIMEOUT_MS },
      headers: {
        "content-type": "application/json",
        ...(this.#token === undefined ? {} : { authorization: this.#token }),
      },
      body: JSON.stringify(body),
      ...more,
    });
  }

  async #authenticate(endpoint: string): Promise<void> {
    const { user: name = "", password = "" } = this.#auth ?? {};
    const response = await this.#request(
      endpoint,
      "/v3/auth/authenticate",
      { name, password },
      { bodyTimeout: ANSWER_TIMEOUT_MS },
    );
    const answer = (await readAnswer(response, this.name)) as { token?: string };
    this.#token = answer.token;
  }
}

async function readAnswer(response: Dispatcher.ResponseData, name: string): Promise<unknown> {
  let text: string;
  try {
    text = await response.body.text();
  } catch (cause) {
    throw new StoreUnavailableError(`etcd broke off (${reasonOf(cause)})`, { cause });
  }
  let answer: unknown;
  try {
    answer = JSON.parse(text);
  } catch (cause) {
    throw new Error(`Cannot use ${name}: no JSON in its answer ${response.statusCode}`, { cause });
  }
  if (response.statusCode === 200) return answer;
  throw problemOf(answer, name);
}

/** etcd's gateway: `{ error, message, code }`, with gRPC's codes. */
function problemOf(answer: unknown, name: string): Error {
  const { code } = answer as { code?: number };
  const message = messageOf(answer);
  if (code === CODE_UNAVAILABLE)
    return new StoreUnavailableError(`etcd does not answer (${message})`);
  if (code === CODE_EXHAUSTED)
    return new StoreUnavailableError(`etcd takes no changes (${message})`);
  if (code === CODE_NOT_FOUND && message.includes("lease")) {
    return new LeaseLostError(`Cannot write to ${name}: ${message}`);
  }
  const hint = code === CODE_UNAUTHENTICATED ? "; check its user and password" : "";
  return new Error(`Cannot use ${name}: ${message}${hint}`);
}

function messageOf(answer: unknown): string {
  const { message, error } = (answer ?? {}) as { message?: unknown; error?: unknown };
  return String(message ?? error ?? "no reason given");
}

function codeOf(error: unknown): string {
  return String((error as { code?: unknown }).code ?? "");
}

function reasonOf(error: unknown): string {
  const code = codeOf(error);
  return code === "" && error instanceof Error ? error.message : code;
}
