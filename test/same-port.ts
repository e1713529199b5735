/**
 * A client that asks again and again from one port, each time on a new connection, which it resets
 * as soon as it has the answer so that the port is free at once. Prints the status codes as JSON.
 * Usage: node same-port.ts ADDRESS PORT LOCAL_PORT PATH…
 */
import { once } from "node:events";
import { connect } from "node:net";

const TIMEOUT_MS = 2_000;

const [host = "", port, localPort, ...paths] = process.argv.slice(2);

async function ask(path: string): Promise<string> {
  const socket = connect({ host, port: Number(port), localPort: Number(localPort) });
  socket.setTimeout(TIMEOUT_MS, () => socket.destroy(new Error("no answer")));
  try {
    socket.write(`GET ${path} HTTP/1.1\r\nHost: web\r\n\r\n`);
    const [head] = (await once(socket, "data")) as [Buffer];
    return /^HTTP\/1\.1 (\d+)/.exec(head.toString("latin1"))?.[1] ?? "no status";
  } catch (error) {
    return error instanceof Error ? error.message : String(error);
  } finally {
    socket.resetAndDestroy();
    if (!socket.closed) await once(socket, "close");
  }
}

const statuses: string[] = [];
for (const path of paths) statuses.push(await ask(path));
process.stdout.write(JSON.stringify(statuses));
