/**
 * What is measured: the shipped l7-http with the rules of the L7 rows, as an instance of whatever
 * kind is wanted, and one connection of it that is given requests of 670 bytes.
 */
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { readPackage } from "../../runtime/contract/package.ts";
import { instantiate, prepareImage } from "../../runtime/isolate/index.ts";
import {
  DIRECTION,
  END,
  type HostImports,
  type InstanceFacts,
  OPERATION,
  type PluginImage,
  type PluginInstance,
} from "../../runtime/isolate/types.ts";
import { prepareRules } from "../../runtime/testkit/run-vector.ts";
import { RunError } from "../errors.ts";
import { ALLOWED_PATH, HTTP_RULES } from "../proxies/rules.ts";
import { threadCpuUs } from "./thread-clock.ts";

export const SUBJECT = "l7-http";
const REQUEST_BYTES = 670;
/** Requests on their way at once; the plugin holds 1,024. */
const BATCH_REQUESTS = 512;
const NS_PER_US = 1_000;

export interface Subject {
  component: Uint8Array;
  vectors: string;
  image: PluginImage;
  /** HTTP_RULES in the plugin's own form. */
  compiled: Uint8Array;
}

/** Reads what `make plugins` built. */
export function loadSubject(root: string): Subject {
  const file = readFileSync(join(root, ".build", "plugins", SUBJECT, "plugin.wasm"));
  const { body, digest, manifest, vectors } = readPackage(file);
  const image = prepareImage(body, { digest, manifest });
  const rules = HTTP_RULES.map(({ method, path }) => ({ method, path }));
  const compiled = instantiate(image, new RecordCount()).compile(
    prepareRules(manifest, rules, () => {
      throw new RunError("Cannot measure: a rule has no table");
    }),
  );
  return { component: body, vectors, image, compiled };
}

/** The cheapest host there is: counts records and keeps nothing. */
export class RecordCount implements HostImports {
  records = 0;

  emit(): void {
    this.records++;
  }

  log(): void {}

  match(): boolean {
    return false;
  }
}

/** The facts of a connection under this rule set. */
export function factsWith(ruleSet: number): InstanceFacts {
  return {
    sourceIdentity: 1000,
    destinationIdentity: 2000,
    sourceAddress: new Uint8Array(16),
    destinationAddress: new Uint8Array(16),
    sourcePort: 40_000,
    destinationPort: 80,
    stages: [{ point: 1, ruleSet }],
  };
}

/** A GET that the rules allow, filled up with headers to exactly 670 bytes. */
export function request(): Uint8Array {
  const head = [
    `GET ${ALLOWED_PATH} HTTP/1.1`,
    "Host: shop.example.com",
    "User-Agent: Mozilla/5.0 (X11; Linux x86_64; rv:128.0) Gecko/20100101 Firefox/128.0",
    "Accept: text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8",
    "Accept-Language: en-GB,en;q=0.5",
    "Accept-Encoding: gzip, deflate, br, zstd",
    "Referer: https://shop.example.com/products?page=2&sort=price",
    "Connection: keep-alive",
    "Cache-Control: no-cache",
  ].join("\r\n");
  const [before, after] = [`${head}\r\nCookie: session=`, "\r\n\r\n"];
  const fill = "c".repeat(REQUEST_BYTES - before.length - after.length);
  return new TextEncoder().encode(before + fill + after);
}

const RESPONSE = new TextEncoder().encode("HTTP/1.1 204 No Content\r\n\r\n");

/** One connection of an instance, kept busy. */
export class BusyConnection {
  readonly #instance: PluginInstance;
  readonly #count: RecordCount;
  readonly #handle: number;
  readonly #request = request();

  /** `count` is the host that `instance` was made with. */
  constructor(instance: PluginInstance, count: RecordCount, compiled: Uint8Array) {
    this.#instance = instance;
    this.#count = count;
    this.#handle = instance.open(factsWith(instance.load(compiled)));
  }

  /** CPU nanoseconds of a request's call, over a batch; the responses to it are not in it. */
  batch(): number {
    const before = this.#count.records;
    const started = threadCpuUs();
    for (let i = 0; i < BATCH_REQUESTS; i++) this.#give(DIRECTION.request, this.#request);
    const spentUs = threadCpuUs(started);
    for (let i = 0; i < BATCH_REQUESTS; i++) this.#give(DIRECTION.response, RESPONSE);
    const records = this.#count.records - before;
    if (records !== 2 * BATCH_REQUESTS) {
      const state = `${records} records of ${BATCH_REQUESTS} requests and responses`;
      throw new RunError(`Cannot measure ${SUBJECT}: ${state}`);
    }
    return (spentUs / BATCH_REQUESTS) * NS_PER_US;
  }

  #give(direction: number, bytes: Uint8Array): void {
    const { operations } = this.#instance;
    this.#instance.onData(this.#handle, direction, bytes, 0, bytes.length, END.open, 0, 1);
    // What is not passed as a whole is not what is to be measured.
    if (operations.kind[0] === OPERATION.pass && operations.n[0] === bytes.length) return;
    if (operations.count === 0 || operations.kind[0] !== OPERATION.pass) {
      throw new RunError(`Cannot measure ${SUBJECT}: it did not pass a message`);
    }
  }
}
