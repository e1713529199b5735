/**
 * What must hold for faults, refusals, policy changes and records, as cases both runtimes run.
 */
import assert from "node:assert/strict";
import { FRAME } from "../../contract/records.ts";
import type { PolicyVerdict } from "../policy.ts";
import { RULES } from "./native-state.ts";
import { jsonBody as json, type Rig } from "./rig.ts";
import type { Case } from "./stream-cases.ts";

/** Operations no plugin may return; 0 more, 1 pass, 2 drop, 3 pass-rest, 4 inject, 5 close. */
const NONSENSE: readonly [string, unknown][] = [
  ["pass of 0", [[1, 0]]],
  ["drop of 0", [[2, 0]]],
  ["pass of a negative number", [[1, -5]]],
  ["pass of no number", [[1, null]]],
  ["more of 0", [[0, 0]]],
  ["nothing at all", []],
  ["an answer and nothing consumed", [[4, 0, 1, 5]]],
  ["pass of more than 2^53", [[1, 2e16]]],
  [
    "pass after more",
    [
      [0, 1],
      [1, 1],
    ],
  ],
  [
    "pass after pass-rest",
    [
      [3, 0],
      [1, 1],
    ],
  ],
  [
    "inject after close",
    [
      [5, 0],
      [4, 0, 1, 5],
    ],
  ],
  ["close for no reason", [[5, 9]]],
  ["no such operation", [[6, 0]]],
  ["inject into no direction", [[4, 0, 2, 5]]],
  ["inject from outside memory", [[4, 0, 1, 0x7fffffff]]],
  ["inject of more than 64 KiB", [[4, 0, 1, 65_537]]],
  ["65 operations", Array.from({ length: 65 }, () => [1, 1])],
];

const nonsenseCases: Case[] = NONSENSE.map(([name, operations]) => ({
  name: `nonsense is a fault: ${name}`,
  run: async (rig) => {
    let seen = 0;
    const peer = await rig.connect();
    await rig.until("the upstream", () => rig.upstreamSockets.length === 1);
    rig.upstreamSockets[0]?.on("data", (chunk) => {
      seen += chunk.length;
    });
    peer.write(`RAW ${JSON.stringify(operations)}\n`);
    await peer.isReset();
    assert.equal(rig.counter("faults"), 1);
    assert.equal(seen, 0);
    assert.equal(rig.worker.live, 0);
  },
}));

/** A policy that a test changes. */
class TestPolicy {
  verdicts: PolicyVerdict[] = [];
  readonly asked: unknown[] = [];
  identity: number | undefined;

  identityOf(): number | undefined {
    return this.identity;
  }

  verdict(query: unknown): PolicyVerdict {
    this.asked.push(query);
    const verdict = this.verdicts.shift();
    if (verdict === undefined) throw new Error("Cannot look up: no policy");
    return verdict;
  }
}

async function greeted(
  rig: Rig,
  port?: number,
): Promise<{ isReset: () => Promise<void>; echo: () => Promise<void> }> {
  const peer = await rig.connect(port);
  peer.write("PASS hello\n");
  await peer.receives("PASS hello\n");
  return {
    isReset: () => peer.isReset(),
    echo: async () => {
      const before = peer.text;
      peer.write("PASS again\n");
      await peer.receives(`${before}PASS again\n`);
    },
  };
}

const changed = new TestPolicy();

export const policyCases: Case[] = [
  ...nonsenseCases,
  {
    name: "a trap loses its own connections only",
    run: async (rig) => {
      const other = await rig.connect(rig.listen({ sourceIdentity: 1001 }));
      other.write("PASS 1\n");
      await other.receives("PASS 1\n");
      const mate = await rig.connect();
      const peer = await rig.connect();
      mate.write("PASS 1\n");
      await mate.receives("PASS 1\n");
      peer.write("TRAP\n");
      await peer.isReset();
      await mate.isReset();
      other.write("PASS 2\n");
      await other.receives("PASS 1\nPASS 2\n");
      const next = await rig.connect();
      next.write("PASS 3\n");
      await next.receives("PASS 3\n");
      assert.equal(rig.instances.length, 3);
    },
  },
  {
    name: "two traps in a row: the key is refused for a while, others are not",
    run: async (rig) => {
      const other = rig.listen({ sourceIdentity: 1001 });
      for (let i = 0; i < 2; i++) {
        const peer = await rig.connect();
        peer.write("TRAP\n");
        await peer.isReset();
      }
      await (await rig.connect()).isReset();
      assert.equal(rig.counter("refused_backing_off"), 1);
      const spared = await rig.connect(other);
      spared.write("PASS\n");
      await spared.receives("PASS\n");
      await new Promise((resolve) => setTimeout(resolve, 1100));
      const back = await rig.connect();
      back.write("PASS\n");
      await back.receives("PASS\n");
    },
  },
  {
    name: "no rules on either side: closed",
    options: { egressRules: 0 },
    run: async (rig) => {
      await (await rig.connect()).isReset();
      assert.equal(rig.counter("refused_no_rules"), 1);
    },
  },
  {
    name: "a rule set that is not there: closed, counted, reported",
    options: { egressRules: RULES.unknown },
    run: async (rig) => {
      await (await rig.connect()).isReset();
      assert.equal(rig.counter("refused_unknown_rules"), 1);
      assert.match(rig.log.join(), /rule set 99 is not there/);
    },
  },
  {
    name: "two plugins on one connection: closed",
    options: { egressRules: RULES.line, ingressRules: RULES.pass },
    run: async (rig) => {
      await (await rig.connect()).isReset();
      assert.equal(rig.counter("refused_two_plugins"), 1);
    },
  },
  {
    name: "both sides are stages, egress first, each rule set loaded once",
    options: { egressRules: RULES.line, ingressRules: RULES.otherLine },
    run: async (rig) => {
      await greeted(rig);
      await greeted(rig);
      assert.deepEqual(rig.line.loaded, ["rules 1", "rules 3"]);
      assert.deepEqual(rig.line.opened.get(2)?.stages, [
        { point: 0, ruleSet: 1 },
        { point: 1, ruleSet: 2 },
      ]);
    },
  },
  {
    name: "instances are bounded; idle ones make room",
    run: async (rig) => {
      const peers = [];
      for (let i = 0; i < 9; i++) {
        peers.push(await rig.connect(rig.listen({ sourceIdentity: 3000 + i })));
      }
      await peers[8]?.isReset();
      assert.equal(rig.counter("refused_instances_full"), 1);
      peers[0]?.socket.destroy();
      await rig.until("an idle instance", () => rig.worker.live === 7);
      const next = await rig.connect(rig.listen({ sourceIdentity: 4000 }));
      next.write("PASS\n");
      await next.receives("PASS\n");
      assert.equal(rig.worker.status().instances, 8);
    },
  },
  {
    name: "a policy change reaches live connections",
    options: { policy: changed },
    run: async (rig) => {
      const peer = await greeted(rig);
      const other: PolicyVerdict = { kind: "redirect", ruleSet: RULES.otherLine, cookie: 5 };
      changed.verdicts = [other, { kind: "allowed", cookie: 6 }];
      rig.worker.reevaluate([11]);
      assert.deepEqual(changed.asked.splice(0), [
        { endpoint: 11, point: 0, peer: 2000, port: rig.upstreamSockets[0]?.localPort },
        { endpoint: 22, point: 1, peer: 1000, port: rig.upstreamSockets[0]?.localPort },
      ]);
      assert.deepEqual(rig.line.stagesSet.pop()?.stages, [{ point: 0, ruleSet: 2 }]);
      await peer.echo();

      changed.verdicts = [
        { kind: "allowed", cookie: 6 },
        { kind: "allowed", cookie: 6 },
      ];
      rig.worker.reevaluate([22]);
      assert.deepEqual(rig.line.stagesSet.pop()?.stages, []);
      await peer.echo();

      rig.worker.reevaluate([33]);
      assert.equal(rig.line.stagesSet.length, 0);

      changed.verdicts = [{ kind: "allowed", cookie: 6 }, { kind: "denied" }];
      rig.worker.reevaluate([11]);
      await peer.isReset();
      assert.equal(rig.counter("policy_closed"), 1);
    },
  },
  {
    name: "a policy change asks for who an address of the world is now",
    options: { policy: changed },
    run: async (rig) => {
      const peer = await greeted(rig, rig.listen({ sourceIdentity: (1 << 24) + 5 }));
      const port = rig.upstreamSockets[0]?.localPort;
      changed.asked.splice(0);
      const line: PolicyVerdict = { kind: "redirect", ruleSet: RULES.line, cookie: 5 };
      for (const [identity, source] of [
        [(1 << 24) + 6, (1 << 24) + 6],
        [9, 9],
        [undefined, (1 << 24) + 5],
      ] as const) {
        changed.identity = identity;
        changed.verdicts = [line, { kind: "allowed", cookie: 6 }];
        rig.worker.reevaluate([11]);
        assert.deepEqual(changed.asked.splice(0), [
          { endpoint: 11, point: 0, peer: 2000, port },
          { endpoint: 22, point: 1, peer: source, port },
        ]);
        await peer.echo();
      }
      changed.verdicts = [line, { kind: "denied" }];
      rig.worker.reevaluate([11]);
      await peer.isReset();
    },
  },
  {
    name: "a policy change to another plugin, or one that cannot be looked up, closes",
    options: { policy: changed },
    run: async (rig) => {
      const peer = await greeted(rig);
      const pass: PolicyVerdict = { kind: "redirect", ruleSet: RULES.pass, cookie: 5 };
      changed.verdicts = [pass, { kind: "allowed", cookie: 6 }];
      rig.worker.reevaluate([11]);
      await peer.isReset();
      const second = await greeted(rig);
      changed.verdicts = [];
      rig.worker.reevaluate([11]);
      await second.isReset();
    },
  },
  {
    name: "the record stream: open, records in order, close, fault",
    run: async (rig) => {
      const { frames } = await rig.readRecords();
      await rig.until("the agent", () => rig.counter("records_lost") === 0);
      await rig.turns(5);
      const peer = await rig.connect();
      peer.write("PASS one\nDROP two\n");
      await peer.receives("PASS one\n");
      peer.socket.end();
      await rig.until("4 frames", () => frames.length >= 4);
      const [open, first, second, close] = frames;
      assert.deepEqual(
        frames.slice(0, 4).map((frame) => [frame.type, frame.connection]),
        [
          [FRAME.open, 1],
          [FRAME.record, 1],
          [FRAME.record, 1],
          [FRAME.close, 1],
        ],
      );
      const facts = json(open);
      assert.equal(facts.source, "127.0.0.1");
      assert.equal(facts.sourceIdentity, 1000);
      assert.deepEqual(facts.stages, [{ point: "egress", endpoint: 11, ruleSet: 1, cookie: 111 }]);
      assert.equal(first?.exchange, 7);
      const expected = Buffer.from(
        "\x02\0\0\0\0\0\x09\0\0\0PASS one\n\x01\0\x01\0\x08\0\0\0\x09\0\0\0\0\0\0\0",
        "latin1",
      );
      assert.deepEqual(Buffer.from(first?.body ?? []), expected);
      assert.ok(Buffer.from(second?.body ?? []).includes("DROP two\n"));
      assert.deepEqual(json(close), { reason: "finished" });

      const bad = await rig.connect();
      bad.write("TRAP\n");
      await bad.isReset();
      await rig.until("the fault", () => frames.some((frame) => frame.type === FRAME.fault));
      const fault = json(frames.find((frame) => frame.type === FRAME.fault));
      assert.equal(fault.message, "trap: out of bounds");
      assert.equal(fault.connections, 1);
      assert.deepEqual(json(frames.at(-1)), { reason: "fault" });
    },
  },
  {
    name: "a new agent hears what was lost and which connections live",
    run: async (rig) => {
      await greeted(rig);
      const { frames, socket } = await rig.readRecords();
      await rig.until("two frames", () => frames.length === 2);
      assert.deepEqual(
        frames.map((frame) => frame.type),
        [FRAME.lost, FRAME.open],
      );
      assert.deepEqual(json(frames[0]), { frames: 2 });
      socket.destroy();
      const again = await rig.readRecords();
      await rig.until("the open frame again", () => again.frames.length >= 1);
      assert.equal(again.frames.at(-1)?.type, FRAME.open);
    },
  },
  {
    name: "an agent that does not read: records are lost and counted, traffic goes on",
    run: async (rig) => {
      const { frames, socket } = await rig.readRecords();
      await rig.turns(5);
      socket.pause();
      const peer = await rig.connect();
      const line = `PASS ${"r".repeat(1000)}\n`;
      let sent = 0;
      while (rig.counter("records_lost") === 0) {
        peer.write(line.repeat(500));
        sent += line.length * 500;
        await rig.until("the echo", () => peer.bytes === sent);
      }
      socket.resume();
      await rig.until("the batch", () => frames.length > 100);
      peer.write(line);
      await rig.until("a lost frame", () => {
        return frames.some((frame) => frame.type === FRAME.lost);
      });
      const lost = frames.filter((frame) => frame.type === FRAME.lost);
      const told = lost.reduce((sum, frame) => sum + Number(json(frame).frames), 0);
      assert.equal(told, rig.counter("records_lost"));
    },
  },
];
