/** What must hold for recorded connections, as cases both runtimes run. */
import assert from "node:assert/strict";
import type { Recording } from "../../contract/control.ts";
import { type CaseBody, FRAME } from "../../contract/records.ts";
import { nativeState, RULES } from "./native-state.ts";
import { type Frame, jsonBody, type Rig } from "./rig.ts";
import type { Case } from "./stream-cases.ts";

const MINUTE_MS = 60_000;

function record(rig: Rig, change: Partial<Recording> = {}): void {
  const recording = { ruleSets: [RULES.line], until: Date.now() + MINUTE_MS, bytesMax: 1024 };
  rig.worker.apply({ ...nativeState(), recordings: [{ ...recording, ...change }] });
}

const told = (frames: Frame[]): CaseBody[] =>
  frames
    .filter(({ type }) => type === FRAME.case)
    .map((frame) => jsonBody(frame) as unknown as CaseBody);

const text = (base64: string): string => Buffer.from(base64, "base64").toString("latin1");

const bytesOf = ({ steps }: CaseBody, direction: string): string =>
  text(steps.flatMap((step) => (step.direction === direction ? step.bytes : [])).join(""));

/** The frames after the client wrote this and got that, or was reset. */
async function talk(rig: Rig, sent: string, got: string | undefined): Promise<Frame[]> {
  const { frames } = await rig.readRecords();
  await rig.turns(5);
  const peer = await rig.connect();
  peer.write(sent);
  if (got === undefined) await peer.isReset();
  else await peer.receives(got);
  peer.socket.destroy();
  await rig.until("the close", () => frames.some(({ type }) => type === FRAME.close));
  return frames;
}

export const recordingCases: Case[] = [
  {
    name: "recorded: a denied connection is told of once, whole",
    run: async (rig) => {
      record(rig);
      const frames = await talk(rig, "PASS 1\nDROP 2\nDENY\n", "denied\n");
      const [one, ...more] = told(frames);
      assert.ok(one !== undefined);
      assert.deepEqual([more.length, one.cause, one.missing], [0, "denied", []]);
      assert.equal(bytesOf(one, "request"), "PASS 1\nDROP 2\nDENY\n");
      assert.deepEqual(
        one.records.map(({ verdict, fields }) => [verdict, text(String(fields[0]?.value))]),
        [
          [0, "PASS 1\n"],
          [1, "DROP 2\n"],
          [1, "DENY\n"],
        ],
      );
      assert.equal(one.open.stages[0]?.ruleSet, RULES.line);
      const kinds = frames.map(({ type }) => type);
      assert.ok(kinds.indexOf(FRAME.case) < kinds.indexOf(FRAME.close));
      assert.equal(rig.counter("cases"), 1);
    },
  },
  {
    name: "recorded: a fault is told of with what set it off",
    run: async (rig) => {
      record(rig);
      const frames = await talk(rig, "TRAP\n", undefined);
      const [one] = told(frames);
      assert.deepEqual([one?.cause, one?.fault], ["fault", "trap: out of bounds"]);
      const of = (type: number) => frames.find((frame) => frame.type === type);
      assert.notEqual(of(FRAME.fault)?.connection, 0);
      assert.equal(of(FRAME.fault)?.connection, of(FRAME.case)?.connection);
      assert.equal(one && bytesOf(one, "request"), "TRAP\n");
    },
  },
  {
    name: "recorded: what passed unseen stands there as zeros",
    run: async (rig) => {
      record(rig);
      const { frames } = await rig.readRecords();
      const peer = await rig.connect();
      peer.write("BODY 9\nab");
      await peer.receives("BODY 9\nab");
      peer.write("cdefghiDROP\n");
      await rig.until("the case", () => told(frames).length === 1);
      const [one] = told(frames);
      assert.equal(one && bytesOf(one, "request"), "BODY 9\nab\0\0\0\0\0\0\0DROP\n");
      assert.deepEqual(
        one?.steps.flatMap(({ unseen }) => unseen ?? []),
        [7],
      );
      assert.deepEqual(one?.missing, []);
    },
  },
  {
    name: "recorded: more than the bound is named as missing",
    run: async (rig) => {
      record(rig, { bytesMax: 8 });
      const { frames } = await rig.readRecords();
      const peer = await rig.connect();
      peer.write("PASS 1\n");
      await peer.receives("PASS 1\n");
      peer.write("DROP 2\n");
      await rig.until("the case", () => told(frames).length === 1);
      const [one] = told(frames);
      assert.deepEqual(one?.missing, ["only the first 8 bytes of a direction are kept"]);
      assert.equal(one && bytesOf(one, "request"), "PASS 1\n");
    },
  },
  {
    name: "recorded: others, older connections and ended recordings are not",
    run: async (rig) => {
      const { frames } = await rig.readRecords();
      await rig.turns(5);
      const older = await rig.connect();
      older.write("PASS 1\n");
      await older.receives("PASS 1\n");
      record(rig);
      const stopped = await rig.connect();
      stopped.write("PASS 1\n");
      await stopped.receives("PASS 1\n");
      rig.worker.apply(nativeState());
      record(rig, { ruleSets: [RULES.otherLine] });
      const other = await rig.connect();
      record(rig, { until: Date.now() - 1 });
      const late = await rig.connect();
      for (const peer of [older, stopped, other, late]) peer.write("DROP\n");
      const denied = (): number => frames.filter(({ verdict }) => verdict === 1).length;
      await rig.until("the denials", () => denied() === 4);
      assert.deepEqual(told(frames), []);
    },
  },
  {
    name: "recorded: at most four cases in a second, the others are counted",
    run: async (rig) => {
      record(rig);
      for (let i = 0; i < 12; i++) (await rig.connect()).write("DROP\n");
      const seen = (): number => rig.counter("cases") + rig.counter("cases_dropped");
      await rig.until("all of them", () => seen() === 12);
      assert.ok(rig.counter("cases") <= 8);
    },
  },
];
