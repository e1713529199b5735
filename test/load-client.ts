/**
 * Clients that keep a server busy until standard input closes: each opens a connection, asks a few
 * times on it, closes it and begins again. Prints what became of connections and requests as JSON:
 * `connections` that ended as wanted, `lost` ones that did not with the reasons, and `statuses`.
 * Usage: node load-client.ts ADDRESS PORT CLIENTS REQUESTS PATH
 */
import { once } from "node:events";
import { connect, type Socket } from "node:net";

const ANSWER_MS_MAX = 5_000;
/** A pause between requests keeps connections open across changes. */
const PAUSE_MS = 2;

const [host = "", port, clients, requests, path = "/"] = process.argv.slice(2);
const result = {
  connections: 0,
  lost: 0,
  reasons: {} as Record<string, number>,
  statuses: {} as Record<string, number>,
};
let stopping = false;

function count(counts: Record<string, number>, key: string): void {
  counts[key] = (counts[key] ?? 0) + 1;
}

/** The status of one answer, read to its end. Throws what ended the connection. */
async function ask(socket: Socket): Promise<string> {
  socket.write(`GET ${path} HTTP/1.1\r\nHost: load\r\n\r\n`);
  let text = "";
  for (;;) {
    const [chunk] = (await once(socket, "data")) as [Buffer];
    text += chunk.toString("latin1");
    const head = text.indexOf("\r\n\r\n");
    if (head < 0) continue;
    const length = Number(/content-length: (\d+)/i.exec(text)?.[1] ?? 0);
    const chunked = /transfer-encoding: chunked/i.test(text);
    const whole = chunked ? text.endsWith("0\r\n\r\n") : text.length >= head + 4 + length;
    if (whole) return /^HTTP\/1\.1 (\d+)/.exec(text)?.[1] ?? "none";
  }
}

async function connection(): Promise<void> {
  const socket = connect({ host, port: Number(port), noDelay: true });
  socket.setTimeout(ANSWER_MS_MAX, () => socket.destroy(new Error("no answer")));
  const ended = once(socket, "end").then(() => {
    throw new Error("ended by the other side");
  });
  ended.catch(() => {});
  try {
    for (let i = 0; i < Number(requests) && !stopping; i++) {
      count(result.statuses, await Promise.race([ask(socket), ended]));
      await new Promise((resolve) => setTimeout(resolve, PAUSE_MS));
    }
    result.connections++;
  } catch (error) {
    result.lost++;
    count(result.reasons, error instanceof Error ? error.message : String(error));
  } finally {
    socket.destroy();
  }
}

async function client(): Promise<void> {
  while (!stopping) await connection();
}

process.stdin.resume();
process.stdin.on("end", () => {
  stopping = true;
});
process.stdout.write("started\n");
await Promise.all(Array.from({ length: Number(clients) }, client));
process.stdout.write(`${JSON.stringify(result)}\n`, () => process.exit(0));
