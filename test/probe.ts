/**
 * A client that never stops asking: one request every INTERVAL ms, each on a new connection, until
 * its standard input closes; then it prints what it got. Usage: node probe.ts URL INTERVAL_MS
 *
 * Output: {"<status or error>": count, …, "longestGapMs": n} where the gap is the longest time
 * between two answers with status 200.
 */
import { get } from "node:http";

const REQUEST_TIMEOUT_MS = 800;

const [url = "", interval = "10"] = process.argv.slice(2);
const counts = new Map<string, number>();
let lastOk = performance.now();
let longestGapMs = 0;

function count(result: string): void {
  counts.set(result, (counts.get(result) ?? 0) + 1);
  if (result !== "200") return;
  const now = performance.now();
  longestGapMs = Math.max(longestGapMs, now - lastOk);
  lastOk = now;
}

function ask(): void {
  let settled = false;
  const settle = (result: string): void => {
    if (!settled) count(result);
    settled = true;
  };
  const request = get(url, { agent: false, timeout: REQUEST_TIMEOUT_MS }, (response) => {
    response.resume();
    response.on("end", () => settle(String(response.statusCode)));
    response.on("error", () => settle("cut"));
  });
  request.on("timeout", () => {
    settle("timeout");
    request.destroy();
  });
  request.on("error", (error: NodeJS.ErrnoException) => settle(error.code ?? "error"));
}

const timer = setInterval(ask, Number(interval));
process.stdout.write("started\n");
process.stdin.resume();
process.stdin.on("end", () => {
  clearInterval(timer);
  setTimeout(() => {
    const result = { ...Object.fromEntries(counts), longestGapMs: Math.round(longestGapMs) };
    process.stdout.write(`${JSON.stringify(result)}\n`, () => process.exit(0));
  }, REQUEST_TIMEOUT_MS + 100);
});
