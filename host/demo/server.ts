/**
 * The demo's HTTP server: answers every request on every address of its namespace with what it saw,
 * so that a check can tell that original addresses arrived. Usage: node server.ts PORT NAME STAGE
 * (the stage's name is only there for whoever looks for the process).
 */
import { createServer } from "node:http";

const [port, name] = process.argv.slice(2);

const server = createServer((request, response) => {
  request.resume();
  request.on("end", () => {
    const from = request.socket.remoteAddress?.replace(/^::ffff:/, "");
    const body = JSON.stringify({ server: name, method: request.method, url: request.url, from });
    response.writeHead(200, { "content-type": "application/json" }).end(`${body}\n`);
  });
});
// An idle connection is the client's to end; tests keep some open.
server.keepAliveTimeout = 60_000;
server.listen({ port: Number(port), host: "::" }, () => process.stdout.write("ready\n"));
process.on("SIGTERM", () => {
  server.closeAllConnections();
  server.close();
});
