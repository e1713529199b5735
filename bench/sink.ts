/**
 * The reader of a proxy's record stream (sink.c), and the comparison of its counts with what the
 * client sent: the proof that a measured proxy really reported every request.
 */
import { z } from "zod";
import { RunError } from "./errors.ts";
import { type Placement, type Program, start } from "./process.ts";

const SETTLE_TIMEOUT_MS = 3000;
const SETTLE_POLL_MS = 50;
/** Of the requests; a full socket loses frames, but then the proxy did not do the work either. */
const MISSING_SHARE_MAX = 0.01;

const verdictsSchema = z.object({
  forwarded: z.number(),
  denied: z.number(),
  error: z.number(),
});

const recordCountsSchema = z.object({
  opens: z.number(),
  closes: z.number(),
  faults: z.number(),
  lost: z.number(),
  bytes: z.number(),
  requests: verdictsSchema,
  responses: verdictsSchema,
});

export type RecordCounts = z.infer<typeof recordCountsSchema>;

export interface ExpectedRequests {
  allowed: number;
  denied: number;
}

export class RecordSink {
  readonly #program: Program;

  constructor(placement: Placement, binary: string, socket: string) {
    this.#program = start("sink", placement, [binary, socket]);
  }

  async connected(): Promise<void> {
    await this.#program.waitFor("records socket", () => this.#program.stdout.length > 0);
  }

  /** The counts once they agree with `expected`, or as they are when the time is over. */
  async settled(expected: ExpectedRequests): Promise<RecordCounts> {
    const deadline = performance.now() + SETTLE_TIMEOUT_MS;
    for (;;) {
      const counts = await this.#counts();
      const isOver = performance.now() > deadline;
      if (isOver || findMismatch(counts, expected) === undefined) return counts;
      await new Promise((resolve) => setTimeout(resolve, SETTLE_POLL_MS));
    }
  }

  stop(): Promise<void> {
    return this.#program.stop();
  }

  /** The sink prints its counts once it has read all that is there. */
  async #counts(): Promise<RecordCounts> {
    const before = this.#program.stdout.length;
    this.#program.write("\n");
    const isWhole = () =>
      this.#program.stdout.length > before && this.#program.stdout.endsWith("\n");
    await this.#program.waitFor("record counts", isWhole);
    const line = this.#program.stdout.slice(before);
    return recordCountsSchema.parse(JSON.parse(line));
  }
}

/** What is wrong with the counts, or undefined. */
export function findMismatch(counts: RecordCounts, expected: ExpectedRequests): string | undefined {
  if (counts.faults > 0) return `${counts.faults} plugin faults`;
  const { requests, responses } = counts;
  if (requests.error + responses.error > 0) return "the plugin reported parser errors";
  // The 403 of a denied request may have a response record of its own.
  const { allowed, denied } = expected;
  const parts = [
    { what: "request records", is: requests.forwarded, want: allowed, most: allowed },
    { what: "response records", is: responses.forwarded, want: allowed, most: allowed + denied },
    { what: "denied requests", is: requests.denied, want: denied, most: denied },
  ];
  const wrong = parts.find(
    ({ is, want, most }) => is > most || (want - is) / Math.max(want, 1) > MISSING_SHARE_MAX,
  );
  if (wrong === undefined) return undefined;
  return `${wrong.is} ${wrong.what} for ${wrong.want} (${counts.lost} frames lost)`;
}

export function requireRecords(
  name: string,
  counts: RecordCounts,
  expected: ExpectedRequests,
): void {
  const mismatch = findMismatch(counts, expected);
  if (mismatch !== undefined) throw new RunError(`Cannot believe row ${name}: ${mismatch}`);
}
