/**
 * Mutated traffic, seeded and bounded: never a trap or a nonsense operation, the same outcome
 * natively and sandboxed however the bytes are cut, and never a byte at upstream that a strict
 * server would read as a request no rule allows.
 */
import { expect, test } from "vitest";
import { builtImage, instantiateImage } from "../../runtime/testkit/built-plugin.ts";
import { Mutator, seededRandom } from "../../runtime/testkit/mutation.ts";
import { instantiateNative } from "../../runtime/testkit/native.ts";
import { readManifest, VectorRunner } from "../../runtime/testkit/run-vector.ts";
import type { VectorStep } from "../../runtime/testkit/vectors.ts";
import { createPlugin } from "./plugin.ts";
import { readRequests } from "./testdata/reference-parser.ts";

const FOLDER = import.meta.dirname;
/** More with FUZZ_RUNS=… when hunting. */
const RUNS = Number(process.env.FUZZ_RUNS ?? 2000);
const SEED = Number(process.env.FUZZ_SEED ?? 1);

/** Only these pass, by method and path. */
const RULES = [[{ method: "GET|POST", path: "/ok(/.*)?" }]];
const ALLOWED_TARGET = /^(https?:\/\/[^/]*)?\/ok(\/|\?|$)/;

const REQUESTS = [
  "GET /ok/a?b=c HTTP/1.1\r\nHost: web:80\r\nAccept: */*\r\n\r\n",
  "GET /secret HTTP/1.1\r\nHost: web\r\n\r\n",
  "POST /ok/x HTTP/1.1\r\nHost: a\r\nContent-Length: 10\r\n\r\n0123456789",
  "POST /secret HTTP/1.1\r\nHost: a\r\nContent-Length: 32\r\n\r\nGET /ok/x HTTP/1.1\r\nHost: a\r\n\r\n\r\n",
  "POST /ok/y HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n5;x=y\r\nhello\r\n1c\r\nGET /secret HTTP/1.1\r\nHost: \r\n0\r\nT: v\r\n\r\n",
  "POST /no HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n",
  "GET http://web/ok/b HTTP/1.1\r\nHost: web\r\n\r\n",
  "GET /ok/../secret HTTP/1.1\r\nHost: a\r\n\r\n",
  "GET /%6fk/%2e%2e/x HTTP/1.1\r\nHost: a\r\n\r\n",
  "HEAD /ok HTTP/1.1\r\nHost: a\r\n\r\n",
  "GET /ok/1 HTTP/1.0\r\nConnection: keep-alive\r\n\r\n",
  "OPTIONS * HTTP/1.1\r\nHost: a\r\n\r\n",
];
const RESPONSES = [
  "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello",
  "HTTP/1.1 204 No Content\r\n\r\n",
  "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n",
  "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n",
  "HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 2\r\n\r\nok",
];
const WORDS = [
  "\r\n",
  "\r",
  "\n",
  "\r\n\r\n",
  " ",
  "\t",
  ":",
  "\0",
  "%2f",
  "%2e",
  "..",
  "/",
  "//",
  "?",
  "#",
  "Content-Length: 5\r\n",
  "Content-Length: 0\r\n",
  "Transfer-Encoding: chunked\r\n",
  "Transfer-Encoding: identity\r\n",
  "Connection: close\r\n",
  "Host: b\r\n",
  "0\r\n\r\n",
  "ffffffffffff",
  "GET /secret HTTP/1.1\r\nHost: a\r\n\r\n",
  "HTTP/1.1",
  "/secret",
];

const manifest = readManifest(FOLDER);
const image = await builtImage(FOLDER);
const native = new VectorRunner(manifest, (imports) => instantiateNative(createPlugin, imports));
const wasm = new VectorRunner(manifest, (imports) => instantiateImage(image, imports));

test(`${RUNS} mutated connections from seed ${SEED}`, { timeout: 120_000 }, () => {
  const mutator = new Mutator(seededRandom(SEED), WORDS);
  let forwarded = 0;
  for (let run = 0; run < RUNS; run++) {
    const vector = { stages: RULES, steps: connection(mutator) };
    const piece = mutator.pick([1, 2, 3, 5, 17, 64, 1000]);
    const steps = JSON.stringify(vector.steps.map(describeStep));
    const label = `run ${run}, pieces of ${piece}: ${steps}`;
    const whole = native.run(vector, 1_000_000);
    expect(native.run(vector, piece), label).toEqual(whole);
    expect(wasm.run(vector, piece), label).toEqual(whole);
    for (const request of readUpstream(whole.upstream, label)) {
      forwarded++;
      expect(request.method, label).toMatch(/^(GET|POST)$/);
      expect(request.target, label).toMatch(ALLOWED_TARGET);
      expect(decoded(request.target), label).not.toMatch(/\/\.\.?(\/|$)/);
    }
  }
  expect(forwarded).toBeGreaterThan(RUNS / 4);
});

/** The path as a careless server might see it. */
function decoded(target: string): string {
  const [path = ""] = target.split("?");
  return path.replaceAll(/%([0-9a-fA-F]{2})/g, (_all, hex: string) =>
    String.fromCharCode(Number.parseInt(hex, 16)),
  );
}

function connection(mutator: Mutator): VectorStep[] {
  const steps: VectorStep[] = [];
  const rounds = 1 + mutator.integer(3);
  for (let round = 0; round < rounds; round++) {
    steps.push({ kind: "request", bytes: stream(mutator, REQUESTS) });
    steps.push({ kind: "response", bytes: stream(mutator, RESPONSES) });
  }
  const how = mutator.pick(["closed", "failed"] as const);
  const direction = mutator.pick(["request", "response"] as const);
  steps.push({ kind: "end", direction, how });
  return steps;
}

function stream(mutator: Mutator, corpus: readonly string[]): Uint8Array {
  let text = "";
  for (let count = 1 + mutator.integer(3); count > 0; count--) text += mutator.pick(corpus);
  for (let count = mutator.integer(3); count > 0; count--) text = mutator.mutate(text);
  return Buffer.from(text, "latin1");
}

function readUpstream(bytes: string, label: string) {
  try {
    return readRequests(bytes);
  } catch (cause) {
    throw new Error(`Upstream got what no server takes; ${label}`, { cause });
  }
}

function describeStep(step: VectorStep): string {
  if (step.kind === "end") return `${step.direction} ${step.how}`;
  return "bytes" in step ? Buffer.from(step.bytes).toString("latin1") : step.kind;
}
