/**
 * What must hold for bytes and endings, as cases both runtimes run: worker.test.ts in Node,
 * deno-cases.ts in Deno.
 */
import assert from "node:assert/strict";
import { QUEUE_BYTES_MAX } from "../../engine/protocol.ts";
import { RULES } from "./native-state.ts";
import type { Rig, RigOptions } from "./rig.ts";

export interface Case {
  name: string;
  options?: RigOptions;
  run: (rig: Rig) => Promise<void>;
}

/** [sent, what the upstream gets, what the client gets]; the upstream echoes. */
const SCRIPTS: readonly [sent: string, upstream: string, client: string][] = [
  ["PASS a\n", "PASS a\n", "PASS a\n"],
  ["DROP a\nPASS b\n", "PASS b\n", "PASS b\n"],
  ["INSERT x\n", "x\nINSERT x\n", "x\nINSERT x\n"],
  ["BODY 5\n12345PASS\n", "BODY 5\n12345PASS\n", "BODY 5\n12345PASS\n"],
  ["SKIP 5\n12345PASS\n", "PASS\n", "PASS\n"],
  ["WAIT 4\nabcdPASS z\n", "WAIT 4\nabcdPASS z\n", "WAIT 4\nabcdPASS z\n"],
  ["MIX\nabcDDeePASS\n", "MIX\nabc<x>\neePASS\n", "MIX\nabc<x>\neePASS\n"],
  ["REST\nTRAP\nDROP\n", "REST\nTRAP\nDROP\n", "REST\nTRAP\nDROP\n"],
  ["PASS 1\nPASS 2\nDROP\nPASS 3\n", "PASS 1\nPASS 2\nPASS 3\n", "PASS 1\nPASS 2\nPASS 3\n"],
];

const scriptCases: Case[] = SCRIPTS.map(([sent, upstream, client]) => ({
  name: `split at every byte: ${JSON.stringify(sent)}`,
  run: async (rig) => {
    for (let at = 1; at <= sent.length; at++) {
      const before = rig.upstreamSockets.length;
      const peer = await rig.connect();
      await rig.until("the upstream's connection", () => rig.upstreamSockets.length > before);
      let seen = "";
      rig.upstreamSockets[before]?.on("data", (chunk) => {
        seen += chunk.toString("latin1");
      });
      peer.write(sent.slice(0, at));
      await rig.turns(4);
      peer.write(sent.slice(at));
      await peer.receives(client);
      assert.equal(seen, upstream);
      peer.socket.destroy();
    }
    await rig.until("all connections to end", () => rig.worker.live === 0);
  },
}));

export const streamCases: Case[] = [
  ...scriptCases,
  {
    name: "byte by byte",
    run: async (rig) => {
      const peer = await rig.connect();
      for (const byte of "DROP x\nWAIT 2\nabBODY 1\ncPASS\n") {
        peer.write(byte);
        await rig.turns(2);
      }
      await peer.receives("WAIT 2\nabBODY 1\ncPASS\n");
    },
  },
  {
    name: "an answer goes back, the line does not go on",
    run: async (rig) => {
      const peer = await rig.connect();
      peer.write("ANSWER no\nPASS yes\n");
      await peer.receives("no\nPASS yes\n");
    },
  },
  {
    name: "data begins at the first unconsumed byte",
    run: async (rig) => {
      const peer = await rig.connect();
      peer.write("PASS");
      await rig.until("a call", () => rig.counter("plugin_calls") === 1);
      peer.write(" 1\nDR");
      await peer.receives("PASS 1\n");
      const requests = rig.line.seen.filter((call) => call.direction === 0);
      assert.deepEqual(
        requests.map((call) => call.data),
        ["PASS", "PASS 1\nDR", "DR"],
      );
    },
  },
  {
    name: "a closing operation is orderly and carries the last answer",
    run: async (rig) => {
      const peer = await rig.connect();
      peer.write(`DENY\n${"x".repeat(100_000)}`);
      await peer.receives("denied\n");
      await rig.until("FIN", () => peer.ended);
      assert.equal(peer.error, undefined);
      assert.deepEqual(rig.line.closed, [1]);
      peer.socket.end();
      await rig.until("the slot", () => rig.worker.status().connections === 0);
    },
  },
  {
    name: "half-close travels, the other direction goes on",
    options: {
      upstream: (socket) => {
        let got = "";
        socket.on("data", (chunk) => {
          got += chunk.toString();
        });
        socket.on("end", () => socket.end(`after FIN: ${got}`));
      },
    },
    run: async (rig) => {
      const peer = await rig.connect();
      peer.write("PASS a\n");
      peer.socket.end();
      await peer.receives("after FIN: PASS a\n");
      await rig.until("FIN", () => peer.ended);
      assert.deepEqual(rig.line.closed, [1]);
      assert.ok(rig.line.seen.some((call) => call.direction === 0 && call.end === 1));
    },
  },
  {
    name: "unconsumed bytes at FIN are not forwarded",
    options: { upstream: () => {} },
    run: async (rig) => {
      const peer = await rig.connect();
      await rig.until("the upstream", () => rig.upstreamSockets.length === 1);
      let seen = "";
      let ended = false;
      rig.upstreamSockets[0]?.on("data", (chunk) => {
        seen += chunk.toString("latin1");
      });
      rig.upstreamSockets[0]?.on("end", () => {
        ended = true;
      });
      peer.write("PASS a\nPASS without end");
      peer.socket.end();
      await rig.until("the upstream's end", () => ended);
      await rig.until("FIN", () => peer.ended);
      assert.equal(seen, "PASS a\n");
      assert.equal(rig.worker.live, 0);
    },
  },
  {
    name: "a reset of the client reaches the upstream",
    run: async (rig) => {
      const peer = await rig.connect();
      peer.write("PASS a\n");
      await peer.receives("PASS a\n");
      let error = "";
      rig.upstreamSockets[0]?.on("error", (failure: NodeJS.ErrnoException) => {
        error = failure.code ?? "";
      });
      peer.socket.resetAndDestroy();
      await rig.until("the upstream's error", () => error !== "");
      assert.equal(error, "ECONNRESET");
      assert.equal(rig.worker.live, 0);
    },
  },
  {
    name: "a reset of the upstream reaches the client",
    options: { egressRules: RULES.pass },
    run: async (rig) => {
      const peer = await rig.connect();
      peer.write("PASS a\n");
      await peer.receives("PASS a\n");
      rig.upstreamSockets[0]?.resetAndDestroy();
      await peer.isReset();
      assert.equal(rig.worker.live, 0);
    },
  },
  {
    name: "a refused upstream: the plugin may answer",
    options: { refused: true },
    run: async (rig) => {
      const peer = await rig.connect();
      peer.write("PASS a\n");
      await peer.receives("unreachable\n");
      await rig.until("FIN", () => peer.ended);
      assert.equal(rig.counter("unreachable"), 1);
    },
  },
  {
    name: "a refused upstream: otherwise reset",
    options: { refused: true, egressRules: RULES.pass },
    run: async (rig) => {
      const peer = await rig.connect();
      await peer.isReset();
    },
  },
  {
    name: "a slow reader of 50 MB: every byte, bounded buffers",
    options: {
      upstream: (socket) => {
        const chunk = Buffer.alloc(500_000, "0123456789");
        let left = 100;
        const more = (): void => {
          while (left-- > 0) if (!socket.write(chunk)) return;
          socket.end();
        };
        socket.on("drain", more);
        more();
      },
    },
    run: async (rig) => {
      const peer = await rig.connect();
      let most = 0;
      for (let pauses = 0; pauses < 20; pauses++) {
        peer.socket.pause();
        await rig.turns(20);
        most = Math.max(most, rig.counter("buffered_bytes"));
        peer.socket.resume();
        const goal = Math.min(50_000_000, peer.bytes + 2_500_000);
        await rig.until("more bytes", () => peer.bytes >= goal);
      }
      await rig.until("FIN", () => peer.ended);
      assert.equal(peer.bytes, 50_000_000);
      assert.equal(peer.text, "0123456789".repeat(5_000_000));
      assert.ok(most > 0, "back-pressure was never reached");
      assert.ok(most <= 2 * QUEUE_BYTES_MAX, `${most} bytes buffered`);
    },
  },
  {
    name: "an upstream that reads nothing: bounded, and goes on where it stopped",
    options: { upstream: (socket) => socket.pause() },
    run: async (rig) => {
      const peer = await rig.connect();
      const body = 30_000_000;
      peer.write(`BODY ${body}\n`);
      peer.socket.write(Buffer.alloc(body, "x"));
      await rig.until("a full queue", () => rig.counter("buffered_bytes") > 0);
      await rig.turns(50);
      assert.ok(rig.counter("buffered_bytes") <= 2 * QUEUE_BYTES_MAX);
      let got = 0;
      rig.upstreamSockets[0]?.on("data", (chunk) => {
        got += chunk.length;
      });
      rig.upstreamSockets[0]?.resume();
      await rig.until("all of it", () => got === body + `BODY ${body}\n`.length);
    },
  },
  {
    name: "a client that reads no answers cannot fill memory",
    run: async (rig) => {
      const peer = await rig.connect();
      peer.socket.pause();
      const lines = Buffer.from(`ANSWER ${"y".repeat(1000)}\n`.repeat(1000));
      for (let i = 0; i < 30; i++) peer.socket.write(lines);
      let most = 0;
      for (let i = 0; i < 300; i++) {
        await rig.turns(1);
        most = Math.max(most, rig.counter("buffered_bytes"));
      }
      assert.ok(most <= 2 * QUEUE_BYTES_MAX, `${most} bytes buffered`);
      peer.socket.resume();
      await rig.until("all answers", () => peer.bytes === 30 * 1000 * 1001);
      assert.equal(rig.counter("overflow"), 0);
    },
  },
  {
    name: "a window may be 192 KiB; more ends the connection, not the plugin",
    run: async (rig) => {
      const most = 192 * 1024;
      const peer = await rig.connect();
      const other = await rig.connect();
      const line = (waited: number): string => `WAIT ${waited}\n`;
      const fits = most - line(most - 12).length;
      peer.write(line(fits));
      peer.socket.write(Buffer.alloc(fits, "w"));
      await rig.until("the whole window back", () => peer.bytes === most);
      peer.write(line(most));
      await rig.until("FIN", () => peer.ended);
      assert.equal(rig.counter("faults"), 0);
      other.write("PASS\n");
      await other.receives("PASS\n");
    },
  },
  {
    name: "an answer waits for a response that has not passed yet, and so does the close",
    options: { upstream: (socket) => socket.write(`LONG 1000000\n${"a".repeat(500_000)}`) },
    run: async (rig) => {
      const peer = await rig.connect();
      await rig.until("half of it", () => peer.bytes > 500_000);
      peer.write("ANSWER one\nANSWER two\nDENY\n");
      await rig.turns(20);
      assert.equal(peer.bytes, 500_013);
      rig.upstreamSockets[0]?.write("a".repeat(500_000));
      await peer.receives(`LONG 1000000\n${"a".repeat(1_000_000)}one\ntwo\ndenied\n`);
      await rig.until("FIN", () => peer.ended);
      assert.equal(peer.error, undefined);
    },
  },
  {
    name: "an answer that waits is still given when the response breaks off",
    options: { upstream: (socket) => socket.write("LONG 10\n12345") },
    run: async (rig) => {
      const peer = await rig.connect();
      await rig.until("half of it", () => peer.bytes === 13);
      peer.write("DENY\n");
      await rig.turns(10);
      rig.upstreamSockets[0]?.end();
      await peer.receives("LONG 10\n12345denied\n");
    },
  },
  {
    name: "2,000 connections at once",
    run: async (rig) => {
      const peers = [];
      for (let i = 0; i < 2000; i++) peers.push(await rig.connect());
      await rig.until("all served", () => rig.worker.live === 2000);
      for (const [i, peer] of peers.entries()) peer.write(`PASS ${i}\n`);
      for (const [i, peer] of peers.entries()) await peer.receives(`PASS ${i}\n`);
      for (const peer of peers) peer.socket.destroy();
      await rig.until("all ended", () => rig.worker.status().connections === 0);
      assert.equal(rig.instances.length, 1);
    },
  },
  {
    name: "more connections than slots are refused and counted",
    options: { connectionsMax: 2 },
    run: async (rig) => {
      const [first, second, third] = [
        await rig.connect(),
        await rig.connect(),
        await rig.connect(),
      ];
      await third.isReset();
      first.write("PASS 1\n");
      await first.receives("PASS 1\n");
      second.socket.destroy();
      await rig.until("a free slot", () => rig.worker.status().connections === 1);
      const fourth = await rig.connect();
      fourth.write("PASS 4\n");
      await fourth.receives("PASS 4\n");
      assert.equal(rig.counter("refused_full"), 1);
    },
  },
];
