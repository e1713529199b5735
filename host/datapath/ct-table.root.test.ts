/** Connections in the kernel: how long they live, found by their tuple, swept when over. */
import { afterAll, beforeAll, beforeEach, describe, expect, test } from "vitest";
import { findConnection, sweepConnections } from "./ct-table.ts";
import { buildFrame, FLAG, type FrameSpec, PROTOCOL } from "./testdata/frame.ts";
import type { ProgramBench } from "./testdata/program-bench.ts";
import { families, icmpOf, replyOf, synOf, TwoPods } from "./testdata/two-pods.ts";
import type { CtCounts, CtSweep } from "./types.ts";

const CT_TIMEOUTS = { tcp: 4000, tcpOpening: 400, tcpClosing: 40, other: 800 };
/** More than one stretch of a sweep. */
const MANY = 1500;

let pods: TwoPods;
let bench: ProgramBench;
beforeAll(() => {
  pods = new TwoPods();
  bench = pods.bench;
});
afterAll(() => bench.close());
beforeEach(() => {
  pods.reset();
  bench.config(false, { ctTimeouts: CT_TIMEOUTS });
});

describe.each(families)("$name", (family) => {
  const { name, a, b } = family;
  const { icmp, echo, echoReply } = icmpOf(name);
  const out = (fields: Partial<FrameSpec>) => (): unknown =>
    bench.run("pod_egress", synOf(family, fields));
  const back = (fields: Partial<FrameSpec>) => (): unknown => pods.fromB(replyOf(family, fields));
  const { fin, rst, ack } = FLAG;
  const { udp, sctp, gre } = PROTOCOL;
  const ping = { protocol: icmp, sourcePort: 5 };

  test.each<[string, (() => unknown)[], number]>([
    ["TCP, opening", [out({})], 400],
    ["TCP, opening again", [out({}), out({})], 400],
    ["TCP, answered", [out({}), back({})], 4000],
    ["TCP, taken up in mid-stream", [out({ flags: ack })], 400],
    ["TCP, one side has ended", [out({}), back({}), out({ flags: fin | ack })], 4000],
    [
      "TCP, both sides have ended",
      [out({}), back({}), out({ flags: fin | ack }), back({ flags: fin | ack })],
      40,
    ],
    ["TCP, reset by the client", [out({}), back({}), out({ flags: rst })], 40],
    ["TCP, reset by the server", [out({}), back({ flags: rst | ack })], 40],
    ["TCP, opened anew after its end", [out({}), out({ flags: rst }), out({})], 400],
    ["UDP", [out({ protocol: udp })], 800],
    ["UDP, answered", [out({ protocol: udp }), back({ protocol: udp })], 800],
    ["SCTP", [out({ protocol: sctp, payload: new Uint8Array(8) })], 800],
    ["GRE", [out({ protocol: gre })], 800],
    ["echo", [out({ ...ping, type: echo }), back({ ...ping, type: echoReply })], 800],
  ])("lives as set: %s", (_name, packets, seconds) => {
    for (const packet of packets) packet();
    const [row, ...others] = bench.ct();
    expect(others).toEqual([]);
    expect(row?.expiresInSeconds).toBeGreaterThan(seconds - 2);
    expect(row?.expiresInSeconds).toBeLessThanOrEqual(seconds);
  });

  test("is found from either end, until it has expired", () => {
    out({})();
    const ct = bench.map("ct");
    const there = { source: a, destination: b, sourcePort: 4000, destinationPort: 80, protocol: 6 };
    const here = { source: b, destination: a, sourcePort: 80, destinationPort: 4000, protocol: 6 };
    for (const tuple of [there, here])
      expect(findConnection(bench.native, ct, tuple)).toMatchObject(there);
    expect(findConnection(bench.native, ct, { ...there, protocol: 17 })).toBeUndefined();
    pods.expire();
    expect(findConnection(bench.native, ct, there)).toBeUndefined();
  });
});

const NONE: CtCounts = { ipv4Tcp: 0, ipv4Other: 0, ipv6Tcp: 0, ipv6Other: 0 };

const sum = (a: CtCounts, b: CtCounts): CtCounts => ({
  ipv4Tcp: a.ipv4Tcp + b.ipv4Tcp,
  ipv4Other: a.ipv4Other + b.ipv4Other,
  ipv6Tcp: a.ipv6Tcp + b.ipv6Tcp,
  ipv6Other: a.ipv6Other + b.ipv6Other,
});

/** A whole pass, and of how many stretches. */
function sweepAll(): { alive: CtCounts; deleted: CtCounts; stretches: number } {
  const all = { alive: NONE, deleted: NONE, stretches: 0 };
  let from: CtSweep["next"];
  do {
    const sweep = sweepConnections(bench.native, bench.map("ct"), from);
    all.alive = sum(all.alive, sweep.alive);
    all.deleted = sum(all.deleted, sweep.deleted);
    all.stretches += 1;
    from = sweep.next;
  } while (from !== undefined);
  return all;
}

describe("sweep", () => {
  test("deletes what has expired and nothing else, in bounded stretches", () => {
    const [v4, v6] = families;
    for (let port = 1; port <= MANY; port++)
      bench.run("pod_egress", synOf(v4, { sourcePort: port }));
    bench.run("pod_egress", synOf(v6, { protocol: PROTOCOL.udp }));
    pods.expire();
    for (let port = 1; port <= 3; port++)
      bench.run("pod_egress", buildFrame({ source: v6.a, destination: v6.b, sourcePort: port }));
    bench.run("pod_egress", synOf(v4, { protocol: PROTOCOL.udp }));
    // One that had expired is taken up again.
    bench.run("pod_egress", synOf(v4, { sourcePort: 7 }));
    const { stretches, ...counts } = sweepAll();
    expect(counts).toEqual({
      alive: { ipv4Tcp: 1, ipv4Other: 1, ipv6Tcp: 3, ipv6Other: 0 },
      deleted: { ipv4Tcp: MANY - 1, ipv4Other: 0, ipv6Tcp: 0, ipv6Other: 1 },
    });
    expect(stretches).toBeGreaterThan(1);
    expect(bench.ct()).toHaveLength(5);
    expect(sweepAll().deleted).toEqual(NONE);
  });
});
