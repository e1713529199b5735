/** Which requests a connection still waits for, as retiring versions ask. */
import { expect, test } from "vitest";
import { RECORD_KIND, RECORD_VERDICT } from "../contract/records.ts";
import type { RecordView } from "../isolate/types.ts";
import type { Connection } from "./connection.ts";
import { HostCalls } from "./host-calls.ts";
import { nativeImage } from "./testing/native-plugin.ts";

const [REQUEST, RESPONSE] = [RECORD_KIND.request, RECORD_KIND.response];
const { forwarded, denied, error } = RECORD_VERDICT;

type Said = readonly [kind: number, verdict: number, exchange: number];

/** What a connection waits for after these records. */
function unanswered(said: readonly Said[]): { unanswered: number; refused: number } {
  const calls = new HostCalls({
    records: { record: () => {} },
    taps: () => ({ current: undefined }),
    nowMs: () => 0,
  } as unknown as ConstructorParameters<typeof HostCalls>[0]);
  const connection = { handle: 1, unanswered: 0, refused: undefined } as unknown as Connection;
  calls.current = connection;
  const imports = calls.importsOf(nativeImage("x"));
  for (const [kind, verdict, exchange] of said) {
    imports.emit({ connection: 1, kind, verdict, exchange } as RecordView);
  }
  return { unanswered: connection.unanswered, refused: connection.refused?.size ?? 0 };
}

test.each<[string, Said[], number]>([
  ["a request", [[REQUEST, forwarded, 0]], 1],
  [
    "an answered one",
    [
      [REQUEST, forwarded, 0],
      [RESPONSE, forwarded, 0],
    ],
    0,
  ],
  ["a denied one", [[REQUEST, denied, 0]], 0],
  ["an error", [[REQUEST, error, 0]], 0],
  [
    "one sent behind a refusal that is reported",
    [
      [REQUEST, denied, 0],
      [REQUEST, forwarded, 1],
      [RESPONSE, forwarded, 0],
    ],
    1,
  ],
  [
    "one sent behind an error that upstream answered",
    [
      [REQUEST, error, 0],
      [RESPONSE, forwarded, 0],
      [REQUEST, forwarded, 1],
    ],
    1,
  ],
  [
    "one between two that were refused",
    [
      [REQUEST, denied, 0],
      [REQUEST, forwarded, 1],
      [REQUEST, denied, 2],
      [RESPONSE, forwarded, 0],
      [RESPONSE, forwarded, 1],
      [RESPONSE, forwarded, 2],
    ],
    0,
  ],
])("%s", (_, said, expected) => {
  expect(unanswered(said)).toMatchObject({ unanswered: expected });
});

test("refusals that nobody reports a response to are not kept without end", () => {
  const said = Array.from({ length: 1000 }, (_, i): Said => [REQUEST, denied, i]);
  expect(unanswered(said)).toEqual({ unanswered: 0, refused: 256 });
});
