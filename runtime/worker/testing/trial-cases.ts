/** What must hold for trials: shadows, canaries and how they stop, as cases both runtimes run. */
import assert from "node:assert/strict";
import { TRIAL_TURN_EVENTS_MAX } from "../taps.ts";
import type { TrialShare } from "../trial.ts";
import { nativeState, trialOf } from "./native-state.ts";
import type { Rig, RigOptions } from "./rig.ts";
import type { Case } from "./stream-cases.ts";

function trial(rig: Rig): TrialShare {
  const [share] = rig.worker.status().trials;
  if (share === undefined) throw new Error("Cannot see the trial: there is none");
  return share;
}

const shadow = (tried: string, change: Parameters<typeof trialOf>[2] = {}): RigOptions => ({
  state: { versions: ["line", tried], trial: trialOf(tried, "shadow", change) },
});
const canary = (tried: string, change: Parameters<typeof trialOf>[2] = {}): RigOptions => ({
  state: { versions: ["line", tried], trial: trialOf(tried, "canary", change) },
});

/** One connection that sends this and gets that; the upstream echoes. */
async function talk(rig: Rig, sent: string, got: string): Promise<void> {
  const peer = await rig.connect();
  peer.write(sent);
  await peer.receives(got);
  peer.socket.end();
  await rig.until("the end", () => peer.ended);
}

const SCRIPT =
  "PASS 1\nDROP 2\nANSWER 3\nBODY 5\n12345SKIP 2\nabINSERT i\nWAIT 3\nxyzMIX\nabcDDeePASS\n";
const ECHO = "BODY 5\n12345i\nINSERT i\nWAIT 3\nxyzMIX\nabc<x>\neePASS\n";

const agreeing: Case[] = ["line#same", "line#halves"].map((tried) => ({
  name: `shadow: ${tried} agrees, however the bytes are split`,
  options: shadow(tried),
  run: async (rig) => {
    for (let at = 0; at < SCRIPT.length; at += 3) {
      const peer = await rig.connect();
      peer.write(SCRIPT.slice(0, at));
      await rig.turns(3);
      peer.write(SCRIPT.slice(at));
      const expected = `PASS 1\n${ECHO}`.length + "3\n".length;
      await rig.until("the echo", () => peer.bytes === expected);
      peer.socket.end();
      await rig.until("the end", () => peer.ended);
    }
    const { differences, samples, compared, connections, skipped } = trial(rig);
    assert.deepEqual([differences, samples, skipped], [0, [], {}]);
    assert.equal(connections, Math.ceil(SCRIPT.length / 3));
    assert.ok(compared >= 2 * connections);
    await rig.until("no live", () => rig.worker.live === 0);
  },
}));

/** [tried version, sent, received, what differs] */
const DIFFERENCES: readonly [string, string, string, Record<string, unknown>][] = [
  [
    "line#drops-x",
    "PASS 1\nPASS x\nPASS x\n",
    "PASS 1\nPASS x\nPASS x\n",
    {
      direction: "request",
      offset: 7,
      what: "verdict",
      active: "forwarded stage 0 exchange 7: 0=PASS x\n 1=7",
      tried: "denied stage 0 exchange 7: 0=PASS x\n 1=7",
    },
  ],
  [
    "line#loud",
    "PASS 1\nANSWER abc\nPASS 2\n",
    "abc\nPASS 1\nPASS 2\n",
    {
      direction: "request",
      offset: 18,
      what: "bytes",
      active: 'inject response "abc\\n"',
      tried: 'inject response "ABC\\n"',
    },
  ],
  [
    "pass",
    "PASS 1\nDROP 2\n",
    "PASS 1\n",
    { direction: "request", offset: 7, what: "length", active: "drop 7", tried: "pass 7" },
  ],
];

const differing: Case[] = DIFFERENCES.map(([tried, sent, got, expected]) => ({
  name: `shadow: one sample a connection of what ${tried} does else`,
  options: shadow(tried),
  run: async (rig) => {
    const peer = await rig.connect();
    peer.write(sent);
    await rig.until("the echo", () => peer.bytes === got.length);
    assert.equal(peer.text.length, got.length);
    await rig.until("the difference", () => trial(rig).differences === 1);
    const { connection, ruleSets, time, ...sample } = trial(rig).samples[0] ?? {};
    assert.deepEqual(sample, expected);
    assert.deepEqual([connection, ruleSets], [1, [1]]);
    assert.ok(Math.abs(Number(time) - Date.now()) < 60_000);
    peer.write(sent);
    await rig.until("the echo", () => peer.bytes === 2 * got.length);
    assert.equal(trial(rig).differences, 1);
  },
}));

export const trialCases: Case[] = [
  ...agreeing,
  ...differing,
  {
    name: "shadow: a version that wants to see what is passed unseen is not compared",
    options: shadow("line#waits"),
    run: async (rig) => {
      const peer = await rig.connect();
      peer.write("BODY 20\n1234");
      await peer.receives("BODY 20\n1234");
      peer.write("5678901234567890");
      await rig.until("the body", () => peer.bytes === 28);
      peer.write("PASS\n");
      await rig.until("the skip", () => trial(rig).skipped.unseen === 1);
      assert.equal(trial(rig).differences, 0);
    },
  },
  {
    name: "shadow: a version that waits longer is no difference",
    options: shadow("line#waits"),
    run: async (rig) => {
      await talk(rig, "PASS 1\nPASS 2\n", "PASS 1\nPASS 2\n");
      await rig.until("an outcome", () => trial(rig).compared >= 3);
      assert.deepEqual([trial(rig).differences, trial(rig).skipped], [0, {}]);
    },
  },
  {
    name: "shadow: its traps are its own, and stop it where it was told to",
    options: shadow("line#traps", { stopOn: { ...trialOf("", "shadow").stopOn, faults: 2 } }),
    run: async (rig) => {
      for (let i = 0; i < 4; i++) await talk(rig, "TEST\nPASS\n", "TEST\nPASS\n");
      const { faults, stopped, lastFault, connections } = trial(rig);
      assert.deepEqual([faults, stopped, lastFault], [2, "faults", "trap: a test"]);
      assert.equal(connections, 2);
      assert.equal(rig.counter("faults"), 0);
      rig.worker.apply(nativeState());
      assert.deepEqual(rig.worker.status().trials, []);
      await rig.until("one instance", () => rig.worker.status().instances === 1);
    },
  },
  {
    name: "shadow: stops at so many differences",
    options: shadow("pass", { stopOn: { ...trialOf("", "shadow").stopOn, differences: 3 } }),
    run: async (rig) => {
      for (let i = 0; i < 5; i++) await talk(rig, "DROP\nPASS\n", "PASS\n");
      assert.equal(trial(rig).stopped, "differences");
      assert.equal(trial(rig).differences, 3);
    },
  },
  {
    name: "canary: takes its share, the rest stays",
    options: canary("line#loud", { share: 250 }),
    run: async (rig) => {
      let loud = 0;
      for (let i = 0; i < 400; i++) {
        const peer = await rig.connect();
        peer.write("ANSWER abc\n");
        await rig.until("an answer", () => peer.bytes === 4);
        if (peer.text === "ABC\n") loud++;
        peer.socket.destroy();
      }
      // Five standard deviations of a binomial distribution.
      assert.ok(Math.abs(loud - 100) < 44, `${loud} of 400`);
      assert.equal(trial(rig).connections, loud);
      await rig.until("the differences", () => trial(rig).differences === loud);
      assert.equal(trial(rig).samples.length, 16);
      assert.equal(trial(rig).samples[0]?.tried, 'inject response "ABC\\n"');
    },
  },
  {
    name: "canary: its trap closes its connections as their policy says, and is counted",
    options: canary("line#traps", { stopOn: { ...trialOf("", "canary").stopOn, faults: 1 } }),
    run: async (rig) => {
      const peer = await rig.connect();
      peer.write("TEST\n");
      await peer.isReset();
      assert.equal(trial(rig).stopped, "faults");
      await talk(rig, "TEST\n", "TEST\n");
    },
  },
  {
    name: "canary: a version that does not start leaves its connections to the active one",
    options: canary("line#no-start", { stopOn: { ...trialOf("", "canary").stopOn, faults: 1 } }),
    run: async (rig) => {
      await talk(rig, "PASS\n", "PASS\n");
      assert.deepEqual([trial(rig).stopped, trial(rig).faults], ["faults", 1]);
    },
  },
  {
    name: "canary: the active version watches in a sandbox of its own",
    options: canary("line#same"),
    run: async (rig) => {
      await talk(rig, "PASS\nDROP\nPASS\n", "PASS\nPASS\n");
      await rig.until("the comparison", () => trial(rig).compared > 0);
      assert.deepEqual([trial(rig).differences, trial(rig).skipped], [0, {}]);
      assert.ok(trial(rig).triedCalls > 0);
      const instances = rig.worker.instances(0);
      assert.deepEqual(
        instances.map(({ digest, tenant }) => [digest, tenant]),
        [
          ["line#same", "serve 1000 2000"],
          ["line", "tap 1000 2000"],
        ],
      );
    },
  },
  {
    name: "shadow: a busy worker leaves out trials, not traffic",
    options: shadow("pass"),
    run: async (rig) => {
      const peers = [];
      for (let i = 0; i < 2 * TRIAL_TURN_EVENTS_MAX; i++) peers.push(await rig.connect());
      for (const peer of peers) peer.write("DROP\nPASS\n");
      for (const peer of peers) await peer.receives("PASS\n");
      const { skipped, differences, connections } = trial(rig);
      assert.equal(connections, peers.length);
      assert.ok((skipped.busy ?? 0) > 0, JSON.stringify(skipped));
      assert.equal(differences + (skipped.busy ?? 0), peers.length);
    },
  },
  {
    name: "a trial of some rule sets leaves the others alone",
    options: shadow("pass", { ruleSets: [3] }),
    run: async (rig) => {
      await talk(rig, "DROP\nPASS\n", "PASS\n");
      assert.equal(trial(rig).connections, 0);
    },
  },
  {
    name: "a trial of a mode that only looks is skipped",
    options: { state: { ...shadow("pass").state, mode: "audit" } },
    run: async (rig) => {
      await talk(rig, "DROP\n", "DROP\n");
      assert.deepEqual(trial(rig).skipped, { mode: 1 });
    },
  },
];
