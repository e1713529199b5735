/**
 * What must hold when a plugin cannot serve (failure policies) or must not decide (modes audit and
 * observe), as cases both runtimes run.
 */
import assert from "node:assert/strict";
import { FRAME, RECORD_VERDICT } from "../../contract/records.ts";
import type { PolicyVerdict } from "../policy.ts";
import { nativeState, RULES } from "./native-state.ts";
import { type Frame, jsonBody, type Rig } from "./rig.ts";
import type { Case } from "./stream-cases.ts";

async function watched(rig: Rig): Promise<Frame[]> {
  const { frames } = await rig.readRecords();
  await rig.turns(5);
  return frames;
}

const redirect = (ruleSet: number): PolicyVerdict => ({ kind: "redirect", ruleSet, cookie: 1 });
const allowed: PolicyVerdict = { kind: "allowed", cookie: 1 };

/** Answers what a test put there last. */
class EgressPolicy {
  egress: PolicyVerdict = allowed;

  verdict({ point }: { point: number }): PolicyVerdict {
    return point === 0 ? this.egress : allowed;
  }

  identityOf(): undefined {}
}

const policy = new EgressPolicy();

const closedCases: Case[] = [
  {
    name: "closed: without a version a connection is reset, counted and reported",
    options: { state: { active: null } },
    run: async (rig) => {
      const frames = await watched(rig);
      await (await rig.connect()).isReset();
      assert.equal(rig.counter("refused_no_plugin"), 1);
      await rig.until("two frames", () => frames.length === 2);
      const [open, close] = frames;
      assert.deepEqual(jsonBody(open).plugin, { name: "line", version: "", digest: "" });
      assert.deepEqual(jsonBody(close), { reason: "no_plugin" });
      assert.equal(rig.worker.live, 0);
    },
  },
  {
    name: "closed: a version that does not start resets",
    options: { state: { versions: ["line#no-start"] } },
    run: async (rig) => {
      await (await rig.connect()).isReset();
      assert.equal(rig.counter("faults"), 1);
    },
  },
];

const openCases: Case[] = [
  {
    name: "open: without a version everything passes, both ways and to its end",
    options: { state: { active: null, failure: "open" } },
    run: async (rig) => {
      const frames = await watched(rig);
      const peer = await rig.connect();
      peer.write("DROP this\n");
      await peer.receives("DROP this\n");
      peer.socket.end();
      await rig.until("FIN", () => peer.ended);
      await rig.until("two frames", () => frames.length === 2);
      assert.deepEqual(jsonBody(frames[1]), { reason: "finished" });
      assert.equal(rig.counter("relayed_unseen"), 1);
    },
  },
  {
    name: "open: a version that does not start, or is backing off, lets everything pass",
    options: { state: { versions: ["line#no-start"], failure: "open" } },
    run: async (rig) => {
      for (let i = 0; i < 4; i++) {
        const peer = await rig.connect();
        peer.write("DROP this\n");
        await peer.receives("DROP this\n");
      }
      assert.equal(rig.counter("relayed_unseen"), 4);
      assert.equal(rig.counter("faults"), 2);
    },
  },
  {
    name: "open: after a trap bytes pass from the first unconsumed one on",
    options: { state: { failure: "open" } },
    run: async (rig) => {
      const frames = await watched(rig);
      const peer = await rig.connect();
      const mate = await rig.connect();
      mate.write("PASS 1\nhalf a li");
      await mate.receives("PASS 1\n");
      peer.write("DROP 1\nPASS 2\nTRAP\nDROP 3\n");
      await peer.receives("PASS 2\nTRAP\nDROP 3\n");
      await mate.receives("PASS 1\nhalf a li");
      mate.write("ne\nDROP\n");
      await mate.receives("PASS 1\nhalf a line\nDROP\n");
      await rig.until("the fault", () => frames.some((frame) => frame.type === FRAME.fault));
      const fault = frames.find((frame) => frame.type === FRAME.fault);
      assert.match(String(jsonBody(fault).message), /out of bounds; 2 connections go on unseen/);
      assert.equal(jsonBody(fault).connections, 0);
      assert.equal(rig.counter("relayed_unseen"), 2);
      mate.socket.end();
      await rig.until("FIN", () => mate.ended);
    },
  },
  {
    name: "open: a trap behind an unfinished pass ends it first",
    options: { state: { failure: "open" } },
    run: async (rig) => {
      const mate = await rig.connect();
      mate.write("BODY 9\n123");
      await mate.receives("BODY 9\n123");
      const peer = await rig.connect();
      peer.write("TRAP\n");
      await peer.receives("TRAP\n");
      mate.write("456789DROP\n");
      await mate.receives("BODY 9\n123456789DROP\n");
    },
  },
  {
    name: "open on one side and closed on the other is closed",
    options: { state: { active: null, failure: "open" }, ingressRules: RULES.otherLine },
    run: async (rig) => {
      await (await rig.connect()).isReset();
      assert.equal(rig.counter("refused_no_plugin"), 1);
    },
  },
];

const modeCases: Case[] = [
  ...(["audit", "observe"] as const).map(
    (mode): Case => ({
      name: `${mode}: everything passes and is reported`,
      options: { state: { mode } },
      run: async (rig) => {
        const frames = await watched(rig);
        const peer = await rig.connect();
        const sent = "PASS 1\nDROP 2\nSKIP 3\n123PASS 4\n";
        for (const piece of [sent.slice(0, 9), sent.slice(9, 20), sent.slice(20)]) {
          peer.write(piece);
          await rig.turns(4);
        }
        await peer.receives(sent);
        peer.socket.end();
        await rig.until("the close", () => frames.at(-1)?.type === FRAME.close);
        const records = frames.filter((frame) => frame.type === FRAME.record);
        const verdict = mode === "audit" ? RECORD_VERDICT.audit : RECORD_VERDICT.forwarded;
        const [first, dropped] = records;
        assert.equal(records.length, 4);
        assert.equal(first?.verdict, RECORD_VERDICT.forwarded);
        if (mode === "audit") assert.equal(dropped?.verdict, verdict);
        const stages = [...rig.line.opened.values()].map((opened) => opened.stages.length);
        assert.deepEqual(stages, mode === "audit" ? [0, 1] : [0]);
        assert.equal(rig.line.closed.length, stages.length);
        await rig.until("the slot", () => rig.worker.status().connections === 0);
      },
    }),
  ),
  {
    name: "audit: every denial on a connection is reported, also after one that was answered",
    options: { state: { mode: "audit", versions: ["line#answers"] } },
    run: async (rig) => {
      const frames = await watched(rig);
      const peer = await rig.connect();
      let expected = "";
      for (const line of ["DROP 1\n", "PASS 2\n", "DROP 3\nPASS 4\nDROP 5\n", "DROP 6\n"]) {
        peer.write(line);
        expected += line;
        await peer.receives(expected);
        await rig.turns(4);
      }
      const records = () => frames.filter((frame) => frame.type === FRAME.record);
      await rig.until("all records", () => records().length === 12);
      const requests = records().filter(({ kind }) => kind === 0);
      assert.deepEqual(
        requests.map(({ verdict, exchange }) => [verdict, exchange]),
        [
          [RECORD_VERDICT.audit, 0],
          [RECORD_VERDICT.forwarded, 1],
          [RECORD_VERDICT.audit, 2],
          [RECORD_VERDICT.forwarded, 3],
          [RECORD_VERDICT.audit, 4],
          [RECORD_VERDICT.audit, 5],
        ],
      );
      assert.equal(rig.counter("taps_ended"), 0);
    },
  },
  {
    name: "audit: a trap ends only what is seen",
    options: { state: { mode: "audit" } },
    run: async (rig) => {
      const frames = await watched(rig);
      const peer = await rig.connect();
      peer.write("PASS 1\nTRAP\nDROP 2\n");
      await peer.receives("PASS 1\nTRAP\nDROP 2\n");
      peer.write("DROP 3\n");
      await peer.receives("PASS 1\nTRAP\nDROP 2\nDROP 3\n");
      assert.equal(rig.counter("tap_faults"), 1);
      assert.equal(rig.counter("taps_ended"), 1);
      assert.equal(rig.counter("faults"), 0);
      await rig.until("the fault", () => frames.some((frame) => frame.type === FRAME.fault));
    },
  },
  {
    name: "audit: a version that does not start, and a close by the plugin, stop nothing",
    options: { state: { mode: "audit", versions: ["line", "line#no-start"] } },
    run: async (rig) => {
      const closing = await rig.connect();
      closing.write("DENY\nPASS 1\n");
      await closing.receives("DENY\nPASS 1\n");
      rig.worker.apply(
        nativeState({
          versions: ["line", "line#no-start"],
          active: "line#no-start",
          mode: "audit",
        }),
      );
      const peer = await rig.connect();
      peer.write("DROP\n");
      await peer.receives("DROP\n");
      assert.equal(rig.counter("taps_refused"), 1);
    },
  },
  {
    name: "enforce on one side is enforce, whatever the other says",
    options: { state: { mode: "observe" }, ingressRules: RULES.otherLine },
    run: async (rig) => {
      const peer = await rig.connect();
      peer.write("DROP 1\nPASS 2\n");
      await peer.receives("PASS 2\n");
    },
  },
  {
    name: "a policy change between modes: looser goes on, enforce begins anew",
    options: { state: { mode: "audit" }, policy },
    run: async (rig) => {
      policy.egress = redirect(RULES.otherLine);
      const strict = await rig.connect(rig.listen({ egressRules: RULES.otherLine }));
      strict.write("PASS 1\n");
      await strict.receives("PASS 1\n");
      policy.egress = redirect(RULES.line);
      rig.worker.reevaluate([11]);
      assert.deepEqual(rig.line.stagesSet.at(-1)?.stages, []);
      const audited = await rig.connect();
      audited.write("PASS 1\n");
      await audited.receives("PASS 1\n");
      policy.egress = allowed;
      rig.worker.reevaluate([11]);
      audited.write("DROP 2\n");
      await audited.receives("PASS 1\nDROP 2\n");
      policy.egress = redirect(RULES.otherLine);
      rig.worker.reevaluate([11]);
      await audited.isReset();
      strict.write("PASS 2\n");
      await strict.receives("PASS 1\nPASS 2\n");
      assert.equal(rig.counter("policy_closed"), 1);
    },
  },
  {
    name: "lines of plugins reach the agent, at most 20 in a second",
    run: async (rig) => {
      const frames = await watched(rig);
      const peer = await rig.connect();
      const lines = "LOG hello\n".repeat(100);
      peer.write(lines);
      await peer.receives(lines);
      const logged = () => frames.filter((frame) => frame.type === FRAME.log);
      await rig.until(
        "the lines",
        () => logged().length + rig.counter("log_lines_dropped") === 100,
      );
      const logs = logged();
      assert.deepEqual(jsonBody(logs[0]), {
        plugin: { name: "line", version: "1.0.0", digest: "line" },
        level: "info",
        message: "hello",
      });
      assert.equal(logs[0]?.connection, 1);
      const dropped = rig.counter("log_lines_dropped");
      assert.equal(logs.length + dropped, 100);
      assert.ok(dropped >= 60, `${dropped} dropped`);
    },
  },
];

export const failureCases: Case[] = [...closedCases, ...openCases, ...modeCases];
