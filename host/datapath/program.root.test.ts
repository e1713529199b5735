/** Single frames through the programs: connection tracking and which policy entry decides. */
import { afterAll, beforeAll, beforeEach, describe, expect, test } from "vitest";
import {
  buildFrame,
  buildPacket,
  FLAG,
  type FrameSpec,
  headerSumIsRight,
  PROTOCOL,
  parseFrame,
} from "./testdata/frame.ts";
import { ALLOW_ALL, entry } from "./testdata/node-client.ts";
import type { ProgramBench, Run } from "./testdata/program-bench.ts";
import {
  A,
  B,
  DROP,
  families,
  icmpOf,
  OK,
  REDIRECT,
  reasons,
  replyOf,
  SHOT,
  synOf,
  TRACE,
  TwoPods,
  verdicts,
} from "./testdata/two-pods.ts";
import type { PolicyMapEntry } from "./types.ts";

let pods: TwoPods;
let bench: ProgramBench;
beforeAll(() => {
  pods = new TwoPods();
  bench = pods.bench;
});
afterAll(() => bench.close());
beforeEach(() => pods.reset());

const egressAll = entry({ direction: "egress" });

describe.each(families)("$name", (family) => {
  const { name, a, b, host, world, worldId } = family;
  const v6 = name === "IPv6";
  const { icmp, echo, echoReply, unreachable } = icmpOf(name);
  const syn = (fields: Partial<FrameSpec> = {}): Uint8Array => synOf(family, fields);
  const reply = (fields: Partial<FrameSpec> = {}): Uint8Array => replyOf(family, fields);

  test("a new connection is delivered, tracked and told", () => {
    const run = bench.run("pod_egress", syn());
    expect(run.result).toBe(REDIRECT);
    expect(verdicts(run)).toEqual([
      ["egress", 0, 4, 0],
      ["ingress", 0, 4, 0],
    ]);
    expect(run.events.filter(({ type }) => type === TRACE)).toMatchObject([
      { subType: 0, direction: "ingress", endpoint: 2, reason: 0, tcpFlags: FLAG.syn },
    ]);
    expect(run.ct).toMatchObject([
      { source: a, destination: b, sourcePort: 4000, destinationPort: 80, seenReply: false },
    ]);
    expect(run.ct[0]?.expiresInSeconds).toBeGreaterThan(58);
    expect(run.ct[0]?.expiresInSeconds).toBeLessThan(61);
    const out = parseFrame(run.frame);
    expect(out).toMatchObject({
      destinationMac: "0200000000cc",
      sourceMac: "0200000000dd",
      hops: 63,
    });
    if (!v6) expect(headerSumIsRight(run.frame)).toBe(true);
  });

  test("an answer establishes; both FINs close; a trace marks each change only", () => {
    bench.run("pod_egress", syn());
    const traces = (run: Run): number => run.events.filter(({ type }) => type === TRACE).length;
    const answer = pods.fromB(reply());
    expect(answer.ct[0]).toMatchObject({ seenReply: true, packets: [1, 1] });
    expect(answer.ct[0]?.expiresInSeconds).toBeGreaterThan(7990);
    expect(answer.events).toMatchObject([{ type: TRACE, reason: 2, isReply: true }]);
    expect(answer.events[0]).toMatchObject({ sourceIdentity: B, destinationIdentity: A });
    expect(traces(bench.run("pod_egress", syn({ flags: FLAG.ack })))).toBe(0);
    expect(traces(bench.run("pod_egress", syn({ flags: FLAG.ack | FLAG.fin })))).toBe(1);
    const last = pods.fromB(reply({ flags: FLAG.ack | FLAG.fin }));
    expect(traces(last)).toBe(1);
    expect(last.ct[0]?.closing).toBe(true);
    expect(last.ct[0]?.expiresInSeconds).toBeLessThan(11);
  });

  test("trace_established tells of every packet", () => {
    bench.config(true);
    bench.run("pod_egress", syn());
    expect(bench.run("pod_egress", syn({ flags: FLAG.ack })).events).toMatchObject([
      { type: TRACE, reason: 1 },
    ]);
  });

  test("egress is decided first, and its denial is told as egress", () => {
    bench.policy(1, []);
    const run = bench.run("pod_egress", syn());
    expect(verdicts(run)).toEqual([["egress", -133, 0, 0]]);
    expect(run.events.at(-1)).toMatchObject({ type: DROP, direction: "egress", endpoint: 1 });
  });

  test("peers outside have the identity of the longest prefix, else the world's", () => {
    bench.ipcache(v6 ? "2001:db8::/32" : "192.0.0.0/8", 5000);
    bench.ipcache(v6 ? "2001:db8::/64" : "192.0.2.0/24", 6000);
    const known = bench.run("pod_egress", syn({ destination: world }));
    expect(known.result).toBe(OK);
    expect(known.events[0]).toMatchObject({ destinationIdentity: 6000 });
    const other = v6 ? "2600::1" : "198.51.100.1";
    const unknown = bench.run("pod_egress", syn({ destination: other }));
    expect(unknown.events[0]).toMatchObject({ destinationIdentity: worldId });
    expect(unknown.events.at(-1)).toMatchObject({ type: TRACE, subType: 3, direction: "egress" });
    const node = bench.run("pod_egress", syn({ destination: host }));
    expect(node.events.at(-1)).toMatchObject({ type: TRACE, subType: 2, destinationIdentity: 1 });
  });

  test("a live connection skips policy in one epoch and is checked in the next", () => {
    bench.run("pod_egress", syn());
    bench.policy(2, []);
    expect(bench.run("pod_egress", syn({ flags: FLAG.ack })).result).toBe(REDIRECT);
    bench.config(false);
    const cut = bench.run("pod_egress", syn({ flags: FLAG.ack }));
    expect([cut.result, reasons(cut), verdicts(cut)]).toEqual([
      SHOT,
      [133],
      [["ingress", -133, 0, 0]],
    ]);
    expect(pods.fromB(reply()).result).toBe(REDIRECT);
    bench.policy(2, ALLOW_ALL);
    const again = bench.run("pod_egress", syn({ flags: FLAG.ack }));
    expect([again.result, verdicts(again)]).toEqual([REDIRECT, []]);
  });

  test("answers need no rule, but a SYN of the answering side does", () => {
    bench.policy(1, [egressAll]);
    bench.run("pod_egress", syn());
    expect(pods.fromB(reply()).result).toBe(REDIRECT);
    expect(reasons(pods.fromB(reply({ flags: FLAG.syn })))).toEqual([133]);
  });

  test("nothing is an answer after the entry expired", () => {
    bench.policy(1, [egressAll]);
    bench.run("pod_egress", syn());
    pods.expire();
    expect(reasons(pods.fromB(reply({ flags: FLAG.ack })))).toEqual([133]);
  });

  test("a SYN on a closed connection asks policy again", () => {
    bench.run("pod_egress", syn());
    bench.run("pod_egress", syn({ flags: FLAG.rst }));
    expect(verdicts(bench.run("pod_egress", syn()))).toHaveLength(2);
    expect(bench.ct()[0]).toMatchObject({ closing: false, packets: [1, 0] });
  });

  test("echo requests need a rule in each direction, echo replies do not", () => {
    bench.policy(1, [egressAll]);
    const ping = { source: a, destination: b, protocol: icmp, sourcePort: 33 };
    bench.run("pod_egress", buildFrame({ ...ping, type: echo }));
    const back = { ...ping, source: b, destination: a };
    expect(pods.fromB(buildFrame({ ...back, type: echoReply })).result).toBe(REDIRECT);
    expect(reasons(pods.fromB(buildFrame({ ...back, type: echo })))).toEqual([133]);
    // Even if the identifier is the number that stands for the type.
    const odd = { ...ping, sourcePort: echo << 8 };
    bench.run("pod_egress", buildFrame({ ...odd, type: echo }));
    const oddBack = { ...odd, source: b, destination: a };
    expect(reasons(pods.fromB(buildFrame({ ...oddBack, type: echo })))).toEqual([133]);
  });

  test("an ICMP type is a rule's port", () => {
    bench.policy(2, [entry({ protocol: icmp, port: echo << 8 })]);
    const ping = { source: a, destination: b, protocol: icmp };
    expect(bench.run("pod_egress", buildFrame({ ...ping, type: echo })).result).toBe(REDIRECT);
    expect(reasons(bench.run("pod_egress", buildFrame({ ...ping, type: 200 })))).toEqual([133]);
    const run = bench.run("pod_egress", buildFrame({ ...ping, type: 200, code: 3 }));
    expect(run.events.at(-1)?.tuple.sourcePort).toBe((200 << 8) | 3);
  });

  test("an ICMP error passes with the connection it quotes, and with no other", () => {
    bench.policy(1, [egressAll]);
    bench.run("pod_egress", syn());
    const error = (quoted: Partial<FrameSpec>): Uint8Array =>
      buildFrame({
        source: b,
        destination: a,
        protocol: icmp,
        type: unreachable,
        payload: buildPacket({
          source: a,
          destination: b,
          sourcePort: 4000,
          destinationPort: 80,
          ...quoted,
        }),
      });
    const related = pods.fromB(error({}));
    expect(related.result).toBe(REDIRECT);
    expect(related.events.at(-1)).toMatchObject({ type: TRACE, reason: 3, sourceIdentity: B });
    expect(reasons(pods.fromB(error({ sourcePort: 4001 })))).toEqual([133]);
    expect(reasons(pods.fromB(error({ source: world })))).toEqual([133]);
  });

  interface Case {
    description: string;
    policy: PolicyMapEntry[];
    verdict: number;
    match: number;
    cookie: number;
  }
  const tcp80 = { protocol: PROTOCOL.tcp, port: 80 } as const;
  test.each<Case>([
    {
      description: "no entry: default deny",
      policy: [],
      verdict: -133,
      match: 0,
      cookie: 0,
    },
    {
      description: "an entry of another port does not match",
      policy: [entry({ identity: A, protocol: PROTOCOL.tcp, port: 81 })],
      verdict: -133,
      match: 0,
      cookie: 0,
    },
    {
      description: "an entry of another protocol does not match",
      policy: [entry({ identity: A, protocol: PROTOCOL.udp, port: 80 })],
      verdict: -133,
      match: 0,
      cookie: 0,
    },
    {
      description: "an entry of the other direction does not match",
      policy: [entry({ identity: A, direction: "egress" })],
      verdict: -133,
      match: 0,
      cookie: 0,
    },
    {
      description: "identity and port",
      policy: [entry({ identity: A, ...tcp80, cookie: 7 })],
      verdict: 0,
      match: 2,
      cookie: 7,
    },
    {
      description: "identity only",
      policy: [entry({ identity: A, cookie: 7 })],
      verdict: 0,
      match: 1,
      cookie: 7,
    },
    {
      description: "port only",
      policy: [entry({ ...tcp80, cookie: 7 })],
      verdict: 0,
      match: 3,
      cookie: 7,
    },
    {
      description: "identity and protocol",
      policy: [entry({ identity: A, protocol: PROTOCOL.tcp, cookie: 7 })],
      verdict: 0,
      match: 5,
      cookie: 7,
    },
    {
      description: "protocol only",
      policy: [entry({ protocol: PROTOCOL.tcp, cookie: 7 })],
      verdict: 0,
      match: 6,
      cookie: 7,
    },
    {
      description: "a port range by its masked prefix",
      policy: [entry({ identity: A, protocol: PROTOCOL.tcp, port: 64, portPrefix: 10, cookie: 7 })],
      verdict: 0,
      match: 2,
      cookie: 7,
    },
    {
      description: "deny for anyone beats a narrower allow for the identity",
      policy: [entry({ identity: A, ...tcp80, cookie: 7 }), entry({ deny: true, cookie: 8 })],
      verdict: -181,
      match: 4,
      cookie: 8,
    },
    {
      description: "deny for the identity beats allow for anyone",
      policy: [entry({ identity: A, deny: true, cookie: 8 }), entry({ ...tcp80, cookie: 7 })],
      verdict: -181,
      match: 1,
      cookie: 8,
    },
    {
      description: "higher precedence wins over the longer prefix",
      policy: [
        entry({ identity: A, cookie: 7, precedence: 0x201 }),
        entry({ ...tcp80, deny: true, precedence: 0x1ff, cookie: 8 }),
      ],
      verdict: 0,
      match: 1,
      cookie: 7,
    },
    {
      description: "equal precedence: the longer prefix wins",
      policy: [entry({ identity: A, cookie: 7 }), entry({ ...tcp80, cookie: 8 })],
      verdict: 0,
      match: 3,
      cookie: 8,
    },
    {
      description: "equal precedence and prefix: the identity's entry wins",
      policy: [entry({ identity: A, ...tcp80, cookie: 7 }), entry({ ...tcp80, cookie: 8 })],
      verdict: 0,
      match: 2,
      cookie: 7,
    },
    {
      description: "pass decides nothing",
      policy: [entry({ identity: A, precedence: 0x100, cookie: 7 })],
      verdict: -133,
      match: 0,
      cookie: 0,
    },
    {
      description: "redirect beats a plain allow",
      policy: [
        entry({ identity: A, ...tcp80, cookie: 7 }),
        entry({ ...tcp80, redirect: true, cookie: 8 }),
      ],
      verdict: 1,
      match: 3,
      cookie: 8,
    },
  ])("policy: $description", ({ policy, verdict, match, cookie }) => {
    bench.policy(2, policy);
    const run = bench.run("pod_egress", syn());
    expect(verdicts(run)).toEqual([
      ["egress", 0, 4, 0],
      ["ingress", verdict, match, cookie],
    ]);
    expect(run.result).toBe(verdict === 0 ? REDIRECT : SHOT);
    // Without a proxy a redirect ends there, which is told too.
    expect(reasons(run)).toEqual(verdict === 0 ? [] : [verdict === 1 ? 220 : -verdict]);
    expect(run.ct).toHaveLength(verdict === 0 ? 1 : 0);
  });
});
