/**
 * A pod's own programs, over JSON lines: TCP and UDP servers that greet with the address they see
 * and echo, and clients. Answers are what a user of the connection would notice.
 */
import { createSocket } from "node:dgram";
import { connect, createServer, type Socket } from "node:net";
import { createInterface } from "node:readline";
import type { PeerRequest } from "./peer.ts";

const sockets = new Map<number, { socket: Socket; received: string; failure: string }>();

function waitFor(done: () => boolean, timeoutMs: number): Promise<boolean> {
  const end = performance.now() + timeoutMs;
  return new Promise((resolve) => {
    const look = (): void => {
      if (done()) resolve(true);
      else if (performance.now() > end) resolve(false);
      else setTimeout(look, 2);
    };
    look();
  });
}

function listenTcp(host: string, port: number, brief: boolean): Promise<string> {
  return new Promise((resolve, reject) => {
    const server = createServer((socket) => {
      socket.on("error", () => {});
      socket.write(`hello ${socket.remoteAddress} ${socket.remotePort}\n`);
      if (brief) socket.end();
      else socket.pipe(socket);
    });
    server.on("error", reject).listen(port, host, () => resolve("listening"));
  });
}

function listenUdp(host: string, port: number): Promise<string> {
  return new Promise((resolve, reject) => {
    const socket = createSocket(host.includes(":") ? "udp6" : "udp4");
    socket.on("message", (text, { address, port: from }) =>
      socket.send(`hello ${address} ${text}`, from, address),
    );
    socket.on("error", reject).bind(port, host, () => resolve("listening"));
  });
}

async function open(request: Extract<PeerRequest, { kind: "open" }>): Promise<string> {
  const { id, host, port, localPort, timeoutMs } = request;
  const socket = connect({ host, port, ...(localPort === undefined ? {} : { localPort }) });
  const state = { socket, received: "", failure: "" };
  sockets.set(id, state);
  socket.on("data", (data) => {
    state.received += data;
  });
  socket.on("error", (error) => {
    state.failure = "code" in error ? String(error.code) : error.message;
  });
  socket.on("close", () => {
    state.failure ||= "closed";
  });
  await waitFor(() => state.received.includes("\n") || state.failure !== "", timeoutMs);
  const greeting = state.received.trim();
  state.received = "";
  if (greeting !== "") return greeting;
  if (state.failure === "") socket.destroy();
  return state.failure || "timeout";
}

/** Sends and waits for the echo: the echo, the failure, or "timeout". */
async function exchange(id: number, text: string, timeoutMs: number): Promise<string> {
  const state = sockets.get(id);
  if (state === undefined) return "no such socket";
  if (state.failure !== "") return state.failure;
  state.received = "";
  state.socket.write(text);
  await waitFor(() => state.received.length >= text.length || state.failure !== "", timeoutMs);
  return state.received.length >= text.length ? state.received : state.failure || "timeout";
}

async function close(id: number, how: "fin" | "reset"): Promise<string> {
  const state = sockets.get(id);
  if (how === "reset") state?.socket.resetAndDestroy();
  else state?.socket.end();
  await waitFor(() => state?.failure !== "", 1000);
  return state?.failure ?? "no such socket";
}

/** A try that had no greeting within 300 ms counts as not served. */
async function hammer(host: string, port: number, durationMs: number): Promise<string> {
  const tries: Promise<boolean>[] = [];
  for (const end = performance.now() + durationMs; performance.now() < end; ) {
    tries.push(
      new Promise((resolve) => {
        const socket = connect({ host, port });
        const finish = (served: boolean): void => {
          socket.destroy();
          resolve(served);
        };
        socket.on("data", () => finish(true)).on("error", () => finish(false));
        setTimeout(() => finish(false), 300);
      }),
    );
    await new Promise((resolve) => setTimeout(resolve, 10));
  }
  const served = await Promise.all(tries);
  return `${served.filter((one) => one).length}/${tries.length}`;
}

function udp(request: Extract<PeerRequest, { kind: "udp" }>): Promise<string> {
  const { host, port, localPort, text, timeoutMs } = request;
  const socket = createSocket(host.includes(":") ? "udp6" : "udp4");
  return new Promise((resolve) => {
    const finish = (answer: string): void => {
      socket.close();
      resolve(answer);
    };
    const timer = setTimeout(() => finish("timeout"), timeoutMs);
    socket.on("message", (answer) => {
      clearTimeout(timer);
      finish(String(answer));
    });
    socket.bind(localPort ?? 0, () => socket.send(text, port, host));
  });
}

function answer(request: PeerRequest): Promise<string> {
  switch (request.kind) {
    case "listen":
      return request.protocol === "udp"
        ? listenUdp(request.host, request.port)
        : listenTcp(request.host, request.port, request.protocol === "brief");
    case "open":
      return open(request);
    case "exchange":
      return exchange(request.id, request.text, request.timeoutMs);
    case "close":
      return close(request.id, request.how);
    case "hammer":
      return hammer(request.host, request.port, request.durationMs);
    case "udp":
      return udp(request);
    default:
      throw request satisfies never;
  }
}

for await (const line of createInterface({ input: process.stdin })) {
  const request: PeerRequest = JSON.parse(line);
  const result = await answer(request).catch((error) => ({ error: String(error) }));
  process.stdout.write(`${JSON.stringify(typeof result === "string" ? { result } : result)}\n`);
}
