/** By which flow a case is found, from the frames of a worker on. */
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { pino } from "pino";
import { afterEach, beforeEach, expect, it } from "vitest";
import { type CaseBody, FRAME, RECORD_VERDICT } from "../../runtime/contract/records.ts";
import { DecodeBudget } from "../event/decode-budget.ts";
import { RecordStream } from "../event/record-stream.ts";
import { frame, jsonFrame, OPEN_BODY, openFrame, recordBody } from "../event/testing/frames.ts";
import type { RingEntry } from "../hubble/flow-facts.ts";
import { collectingBuilder } from "../hubble/testing/fixture.ts";
import { CaseFiles } from "./case-files.ts";
import { Cases } from "./cases.ts";

const PLUGIN = { ...OPEN_BODY.plugin, digest: `sha256:${"ab".repeat(32)}` };

let folder: string;
let cases: Cases;
let entries: RingEntry[];
let take: (...frames: Buffer[]) => void;

beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), "imker-cases-"));
  cases = new Cases({
    log: pino({ enabled: false }),
    files: new CaseFiles(folder, Date.now),
    rulesOf: () => [],
    manifestOf: () => undefined,
    flowUuid: (time) => `flow-${time}`,
    recordOf: () => undefined,
  });
  const collecting = collectingBuilder();
  entries = collecting.entries;
  const sink = Object.assign(collecting.builder, {
    recorded: (one: Parameters<Cases["add"]>[0]) => cases.add(one),
  });
  const stream = new RecordStream({ sink, budget: new DecodeBudget({ nowMs: () => 0 }) }, 0);
  take = (...frames) => {
    for (const bytes of frames) stream.frame(bytes, 0, bytes.length);
  };
  take(openFrame(1, { plugin: PLUGIN }));
});
afterEach(() => rmSync(folder, { recursive: true }));

const record = (verdict: number, time: bigint): Buffer =>
  frame({ type: FRAME.record, connection: 1, verdict, time }, recordBody([]));
const close = (reason: string, time: bigint): Buffer =>
  jsonFrame({ type: FRAME.close, connection: 1, time }, { reason });
const fault = (time: bigint): Buffer =>
  jsonFrame(
    { type: FRAME.fault, connection: 1, time },
    { plugin: PLUGIN, message: "fuel", connections: 1 },
  );
const told = (cause: CaseBody["cause"]): Buffer => {
  const open = { ...OPEN_BODY, plugin: PLUGIN };
  const body: CaseBody = { open, cause, steps: [], records: [], missing: [] };
  return jsonFrame({ type: FRAME.case, connection: 1 }, body);
};
/** The only case's, and the uuid of the flow at a place. */
const flows = (at: number): unknown[] => [cases.list()[0]?.flow, `flow-${entries[at]?.time}`];

it.each<[string, number, () => Buffer[]]>([
  ["a fault", 0, () => [told("fault"), fault(5n), close("fault", 6n)]],
  ["a fault behind a message", 1, () => [record(0, 4n), told("fault"), fault(5n)]],
  ["a fault whose connection goes on", 0, () => [told("fault"), fault(5n), close("retired", 7n)]],
  ["a malformed end", 0, () => [told("malformed"), close("malformed", 5n)]],
  [
    "a malformed end that a record tells of",
    0,
    () => [record(RECORD_VERDICT.error, 5n), told("malformed"), close("malformed", 6n)],
  ],
  [
    "a denial, though another follows",
    0,
    () => [
      record(RECORD_VERDICT.denied, 5n),
      told("denied"),
      record(RECORD_VERDICT.denied, 6n),
      close("policy", 7n),
    ],
  ],
])("the case of %s has the flow that shows it", (_, at, frames) => {
  take(...frames());
  const [flow, shown] = flows(at);
  expect(flow).toBe(shown);
  expect(cases.get(String(flow)).plugin).toEqual(PLUGIN);
});

it("the fault of another connection is not its flow", () => {
  take(openFrame(2, { plugin: PLUGIN }));
  take(told("fault"));
  take(
    jsonFrame(
      { type: FRAME.fault, connection: 2, time: 5n },
      { plugin: PLUGIN, message: "", connections: 1 },
    ),
  );
  expect(cases.list()[0]?.flow).toBeUndefined();
});
