/**
 * The server side of the control protocol (runtime/contract/control.ts): lines in, one reply a
 * request, in order. What a request means is the proxy's business (proxy-process.ts).
 */
import { chmodSync, renameSync, statSync, unlinkSync } from "node:fs";
import { createServer, type Server, type Socket } from "node:net";
import { StringDecoder } from "node:string_decoder";
import { z } from "zod";
import type { ControlReply, ControlRequest } from "../contract/control.ts";

/** A request line longer than this is not an agent's. */
const REQUEST_CHARS_MAX = 256 << 20;
const CLIENTS_MAX = 16;
const ADDRESS_CHARS_MAX = 45;

const requestSchema = z.discriminatedUnion("kind", [
  z.object({ seq: z.number(), kind: z.literal("hello"), protocol: z.number() }),
  z.object({ seq: z.number(), kind: z.literal("state"), state: z.unknown() }),
  z.object({
    seq: z.number(),
    kind: z.literal("reevaluate"),
    endpoints: z.array(z.number().int().min(1).max(65_535)),
    relabelled: z.array(z.string().max(ADDRESS_CHARS_MAX)).optional(),
  }),
  z.object({ seq: z.number(), kind: z.literal("status") }),
  z.object({ seq: z.number(), kind: z.literal("instances") }),
  z.object({ seq: z.number(), kind: z.literal("drain"), timeoutMs: z.number().min(0) }),
]);

type OpenReply<T> = T extends { ok: true } ? Omit<T, "seq" | "ok"> : never;
/** Carries a request out; what it throws becomes the reply's error. */
export type ControlHandler = (request: ControlRequest) => Promise<OpenReply<ControlReply>>;

export class ControlServer {
  readonly #path: string;
  readonly #server: Server;
  readonly #inode: number;

  /**
   * Listens at `path`, for its owner only. A predecessor's socket is replaced in one step: there is
   * never a moment without one, and its server keeps the connections it has.
   */
  static async listen(path: string, handle: ControlHandler): Promise<ControlServer> {
    const server = createServer((socket) => serve(socket, handle));
    server.maxConnections = CLIENTS_MAX;
    // Servers remove the name they bound when they close: bind another one and rename it.
    const own = `${path}.${process.pid}`;
    await new Promise<void>((resolve, reject) => {
      server.once("error", reject);
      server.listen(own, resolve);
    });
    chmodSync(own, 0o600);
    renameSync(own, path);
    return new ControlServer(path, server);
  }

  private constructor(path: string, server: Server) {
    this.#path = path;
    this.#server = server;
    this.#inode = statSync(path).ino;
  }

  /** No new clients; the name goes, unless it is a successor's by now. */
  close(): void {
    this.#server.close();
    try {
      if (statSync(this.#path).ino === this.#inode) unlinkSync(this.#path);
    } catch {
      // Somebody removed it; so it is gone as it should be.
    }
  }
}

function serve(socket: Socket, handle: ControlHandler): void {
  const decoder = new StringDecoder("utf8");
  let parts: string[] = [];
  let chars = 0;
  let last: Promise<void> = Promise.resolve();
  socket.on("error", () => {});
  socket.on("data", (chunk: Buffer) => {
    const lines = decoder.write(chunk).split("\n");
    for (const [i, part] of lines.entries()) {
      parts.push(part);
      chars += part.length;
      if (i === lines.length - 1) break;
      const line = parts.join("");
      parts = [];
      chars = 0;
      last = last.then(() => answer(socket, line, handle));
    }
    if (chars > REQUEST_CHARS_MAX) socket.destroy();
  });
}

async function answer(socket: Socket, line: string, handle: ControlHandler): Promise<void> {
  let seq = 0;
  let reply: ControlReply;
  try {
    const request = requestSchema.parse(JSON.parse(line));
    seq = request.seq;
    reply = { seq, ok: true, ...(await handle(request as ControlRequest)) };
  } catch (error) {
    reply = { seq, ok: false, error: error instanceof Error ? error.message : String(error) };
  }
  if (!socket.destroyed) socket.write(`${JSON.stringify(reply)}\n`);
}
