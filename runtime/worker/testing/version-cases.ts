/** What must hold when versions come and go under live connections, as cases both runtimes run. */
import assert from "node:assert/strict";
import { FRAME } from "../../contract/records.ts";
import { RETIRE_GRACE_MS } from "../retirement.ts";
import { nativeState } from "./native-state.ts";
import { type Client, jsonBody, type Rig } from "./rig.ts";
import type { Case } from "./stream-cases.ts";

async function greeted(rig: Rig): Promise<Client> {
  const peer = await rig.connect();
  peer.write("PASS 1\n");
  await peer.receives("PASS 1\n");
  return peer;
}

/** Its responses have records too. */
const ANSWERING = { versions: ["line#answers", "line#loud"] };
const BOTH = { versions: ["line", "line#loud"] };

export const versionCases: Case[] = [
  {
    name: "an activation: new connections get the new version, old ones keep theirs",
    options: { state: BOTH },
    run: async (rig) => {
      const old = await greeted(rig);
      rig.worker.apply(nativeState({ ...BOTH, active: "line#loud" }));
      const fresh = await rig.connect();
      fresh.write("ANSWER abc\n");
      await fresh.receives("ABC\n");
      old.write("ANSWER abc\n");
      await old.receives("PASS 1\nabc\n");
      const shares = rig.worker.status().versions;
      assert.deepEqual(
        shares.map(({ digest, connections, instances }) => [digest, connections, instances]),
        [
          ["line", 1, 1],
          ["line#loud", 1, 1],
        ],
      );
    },
  },
  {
    name: "a retired version: closed at a message boundary, its instance goes at once",
    options: { state: ANSWERING },
    run: async (rig) => {
      const { frames } = await rig.readRecords();
      await rig.turns(5);
      const idle = await greeted(rig);
      const half = await rig.connect();
      half.write("PASS 1\nhalf");
      await half.receives("PASS 1\n");
      const draining = [{ digest: "line#answers", untilMs: Date.now() + 150 }];
      rig.worker.apply(nativeState({ ...ANSWERING, active: "line#loud", draining }));
      idle.write("PASS 2\n");
      await idle.receives("PASS 1\nPASS 2\n");
      await rig.until("the end", () => idle.ended);
      assert.equal(idle.error, undefined);
      half.write(" a line\n");
      await half.receives("PASS 1\nhalf a line\n");
      await rig.until("the end", () => half.ended);
      assert.equal(rig.counter("retired"), 2);
      await rig.until("no instance", () => rig.worker.status().instances === 0);
      const closed = () => frames.filter((frame) => frame.type === FRAME.close);
      await rig.until("two closes", () => closed().length === 2);
      const closes = closed().map(jsonBody);
      assert.deepEqual(closes, [{ reason: "retired" }, { reason: "retired" }]);
    },
  },
  {
    name: "a retired version: what never ends is closed after the grace period",
    options: { state: BOTH },
    run: async (rig) => {
      const half = await rig.connect();
      half.write("half");
      await rig.until("a call", () => rig.counter("plugin_calls") === 1);
      const draining = [{ digest: "line", untilMs: Date.now() - RETIRE_GRACE_MS + 300 }];
      rig.worker.apply(nativeState({ ...BOTH, active: "line#loud", draining }));
      await rig.turns(20);
      assert.equal(half.ended, false);
      await rig.until("the end", () => half.ended);
      assert.equal(rig.counter("retired"), 1);
    },
  },
  {
    name: "a version no longer wanted: rules may still change while it has connections",
    options: { state: BOTH },
    run: async (rig) => {
      const old = await greeted(rig);
      rig.worker.apply(nativeState({ versions: ["line#loud"] }));
      old.write("PASS 2\n");
      await old.receives("PASS 1\nPASS 2\n");
      assert.equal(rig.worker.status().instances, 1);
      old.socket.destroy();
      await rig.until("no instance", () => rig.worker.status().instances === 0);
    },
  },
  {
    name: "1,000 swaps under traffic: no connection is lost, instances do not add up",
    options: { state: BOTH },
    run: async (rig) => {
      const steady = await greeted(rig);
      let expected = "PASS 1\n";
      for (let i = 0; i < 1000; i++) {
        const active = i % 2 === 0 ? "line#loud" : "line";
        rig.worker.apply(nativeState({ versions: ["line", active], active }));
        if (i % 10 === 0) {
          const peer = await rig.connect();
          peer.write("ANSWER abc\n");
          await peer.receives(active === "line" ? "abc\n" : "ABC\n");
          peer.socket.destroy();
        }
        if (i % 50 === 0) {
          steady.write(`PASS ${i}\n`);
          expected += `PASS ${i}\n`;
          await steady.receives(expected);
        }
      }
      await rig.until("one connection", () => rig.worker.live === 1);
      assert.equal(rig.worker.status().instances, 1);
      assert.equal(rig.counter("faults"), 0);
    },
  },
];
