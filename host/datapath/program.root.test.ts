/**
 * Single frames through the programs: precedence, conntrack, and every drop that can be reached
 * without a real socket, in both families.
 */
import { afterAll, beforeAll, beforeEach, describe, expect, test } from "vitest";
import { LAYOUT } from "./abi.ts";
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
import { IFINDEX, ProgramBench, type ProgramName, type Run } from "./testdata/program-bench.ts";
import type { DatapathEndpoint, PolicyMapEntry } from "./types.ts";

const OK = 0;
const SHOT = 2;
const REDIRECT = 7;
const DROP = 1;
const TRACE = 4;
const VERDICT = 5;
const TO_PROXY_MARK = 0x200;
const PROXY_MARK = 0xa00;
const A = 1001;
const B = 1002;
const HOST = 1;
const CT_PROXIED = 1;

const endpointA: DatapathEndpoint = {
  id: 1,
  identity: A,
  ifname: "a",
  ifindex: IFINDEX,
  podMac: "02:00:00:00:00:aa",
  hostMac: "02:00:00:00:00:bb",
  ipv4: "10.0.0.1",
  ipv6: "fd00::1",
};
const endpointB: DatapathEndpoint = {
  ...endpointA,
  id: 2,
  identity: B,
  ifname: "b",
  ifindex: 77,
  podMac: "02:00:00:00:00:cc",
  hostMac: "02:00:00:00:00:dd",
  ipv4: "10.0.0.2",
  ipv6: "fd00::2",
};
const families = [
  { name: "IPv4", a: "10.0.0.1", b: "10.0.0.2", host: "10.0.9.1", world: "192.0.2.1", worldId: 9 },
  {
    name: "IPv6",
    a: "fd00::1",
    b: "fd00::2",
    host: "fd00:9::1",
    world: "2001:db8::1",
    worldId: 10,
  },
] as const;

let bench: ProgramBench;
beforeAll(() => {
  bench = new ProgramBench();
});
afterAll(() => bench.close());
beforeEach(() => {
  bench.reset();
  bench.workers(0);
  bench.endpoint(endpointA, true);
  bench.endpoint(endpointB, false);
  for (const { host } of families) bench.ipcache(host, HOST);
  bench.policy(1, ALLOW_ALL);
  bench.policy(2, ALLOW_ALL);
});

const egressAll = entry({ direction: "egress" });
const reasons = ({ events }: Run): number[] =>
  events.filter(({ type }) => type === DROP).map(({ subType }) => subType);
const verdicts = ({ events }: Run): (string | number)[][] =>
  events
    .filter(({ type }) => type === VERDICT)
    .map(({ direction, verdict, reason, cookie }) => [direction, verdict, reason, cookie]);

/** Moves the entry into the past. */
const expire = (): void =>
  bench.editCt((view) => view.setBigUint64(LAYOUT.ct_value.expires_ns, 1n, true));
const setFlags = (flags: number): void =>
  bench.editCt((view) => view.setUint32(LAYOUT.ct_value.flags, flags, true));

describe.each(families)("$name", ({ name, a, b, host, world, worldId }) => {
  const v6 = name === "IPv6";
  const icmp = v6 ? PROTOCOL.icmpv6 : PROTOCOL.icmp;
  const echo = v6 ? 128 : 8;
  const echoReply = v6 ? 129 : 0;
  const unreachable = v6 ? 1 : 3;
  const syn = (fields: Partial<FrameSpec> = {}): Uint8Array =>
    buildFrame({ source: a, destination: b, sourcePort: 4000, destinationPort: 80, ...fields });
  const reply = (fields: Partial<FrameSpec> = {}): Uint8Array =>
    syn({
      source: b,
      destination: a,
      sourcePort: 80,
      destinationPort: 4000,
      flags: FLAG.syn | FLAG.ack,
      ...fields,
    });
  /** Runs a frame of B as if it came from B's interface. */
  const fromB = (frame: Uint8Array): Run => {
    bench.endpoint(endpointB, true);
    const run = bench.run("pod_egress", frame);
    bench.endpoint(endpointA, true);
    return run;
  };

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
    const answer = fromB(reply());
    expect(answer.ct[0]).toMatchObject({ seenReply: true, packets: [1, 1] });
    expect(answer.ct[0]?.expiresInSeconds).toBeGreaterThan(7990);
    expect(answer.events).toMatchObject([{ type: TRACE, reason: 2, isReply: true }]);
    expect(answer.events[0]).toMatchObject({ sourceIdentity: B, destinationIdentity: A });
    expect(traces(bench.run("pod_egress", syn({ flags: FLAG.ack })))).toBe(0);
    expect(traces(bench.run("pod_egress", syn({ flags: FLAG.ack | FLAG.fin })))).toBe(1);
    const last = fromB(reply({ flags: FLAG.ack | FLAG.fin }));
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
    expect(fromB(reply()).result).toBe(REDIRECT);
    bench.policy(2, ALLOW_ALL);
    const again = bench.run("pod_egress", syn({ flags: FLAG.ack }));
    expect([again.result, verdicts(again)]).toEqual([REDIRECT, []]);
  });

  test("answers need no rule, but a SYN of the answering side does", () => {
    bench.policy(1, [egressAll]);
    bench.run("pod_egress", syn());
    expect(fromB(reply()).result).toBe(REDIRECT);
    expect(reasons(fromB(reply({ flags: FLAG.syn })))).toEqual([133]);
  });

  test("nothing is an answer after the entry expired", () => {
    bench.policy(1, [egressAll]);
    bench.run("pod_egress", syn());
    expire();
    expect(reasons(fromB(reply({ flags: FLAG.ack })))).toEqual([133]);
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
    expect(fromB(buildFrame({ ...back, type: echoReply })).result).toBe(REDIRECT);
    expect(reasons(fromB(buildFrame({ ...back, type: echo })))).toEqual([133]);
    // Even if the identifier is the number that stands for the type.
    const odd = { ...ping, sourcePort: echo << 8 };
    bench.run("pod_egress", buildFrame({ ...odd, type: echo }));
    const oddBack = { ...odd, source: b, destination: a };
    expect(reasons(fromB(buildFrame({ ...oddBack, type: echo })))).toEqual([133]);
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
    const related = fromB(error({}));
    expect(related.result).toBe(REDIRECT);
    expect(related.events.at(-1)).toMatchObject({ type: TRACE, reason: 3 });
    expect(reasons(fromB(error({ sourcePort: 4001 })))).toEqual([133]);
    expect(reasons(fromB(error({ source: world })))).toEqual([133]);
  });

  const raw = (fields: Partial<FrameSpec>): Partial<FrameSpec> => fields;
  test.each<[string, Partial<FrameSpec>, number]>([
    ["a source that is not the pod's", raw({ source: world }), 132],
    ["a source that is another pod's", raw({ source: b, destination: world }), 132],
    ["an unknown transport protocol", raw({ protocol: PROTOCOL.gre }), 137],
    ["a truncated transport header", raw({ length: v6 ? 60 : 40 }), 135],
    ["another network protocol", raw({ ethertype: 0x88cc }), 139],
  ])("drops %s", (_description, fields, reason) => {
    const run = bench.run("pod_egress", syn(fields));
    expect([run.result, reasons(run)]).toEqual([SHOT, [reason]]);
    expect(run.events[0]?.isReply).toBeUndefined();
  });

  test("drops later fragments, passes first ones", () => {
    const fragment = (offset: number): Uint8Array =>
      v6
        ? syn({
            extensions: [
              {
                number: 44,
                bytes: new Uint8Array([0, 0, offset >> 5, (offset << 3) | 1, 0, 0, 0, 9]),
              },
            ],
          })
        : syn({ fragment: 0x2000 | offset });
    expect(bench.run("pod_egress", fragment(0)).result).toBe(REDIRECT);
    expect(reasons(bench.run("pod_egress", fragment(1)))).toEqual([157]);
  });

  test("drops everything of an endpoint without policy, in both directions", () => {
    bench.native.mapDelete(bench.map("policies"), new Uint8Array([2, 0, 0, 0]));
    expect(reasons(bench.run("pod_egress", syn()))).toEqual([203]);
    expect(reasons(fromB(reply({ flags: FLAG.syn })))).toEqual([203]);
  });

  test("drops everything on an interface without endpoint", () => {
    bench.native.mapDelete(bench.map("interfaces"), new Uint8Array([1, 0, 0, 0]));
    for (const program of ["pod_egress", "pod_ingress"] as const)
      expect(reasons(bench.run(program, syn()))).toEqual([203]);
  });

  test("a pod may always speak to itself", () => {
    bench.policy(1, []);
    expect(bench.run("pod_egress", syn({ destination: a })).result).toBe(REDIRECT);
  });

  test("a packet at the end of its hops goes to the stack, which answers", () => {
    expect(bench.run("pod_egress", syn({ hops: 1 })).result).toBe(OK);
  });

  test("clears the mark of what a pod sends", () => {
    for (const mark of [PROXY_MARK | (A << 16), 0xff])
      expect(bench.run("pod_egress", syn({ destination: world }), { mark }).mark).toBe(0);
  });

  describe("hand-over", () => {
    const redirect = entry({ ...tcp80, redirect: true, ruleSet: 9, cookie: 8 });

    test("UDP is dropped with 180", () => {
      bench.policy(2, [entry({ protocol: PROTOCOL.udp, port: 53, redirect: true })]);
      const run = bench.run("pod_egress", syn({ protocol: PROTOCOL.udp, destinationPort: 53 }));
      expect(reasons(run)).toEqual([180]);
    });

    test("no worker, or an empty slot: 220, and no entry", () => {
      bench.policy(2, [redirect]);
      expect(reasons(bench.run("pod_egress", syn()))).toEqual([220]);
      bench.workers(64);
      const run = bench.run("pod_egress", syn());
      expect([reasons(run), run.ct]).toEqual([[220], []]);
    });

    test("in mid-stream without socket: 178, answered with a reset", () => {
      bench.policy(2, [redirect]);
      const payload = new Uint8Array(100);
      const frame = syn({ flags: FLAG.ack, sequence: 5000, acknowledge: 7000, payload });
      const run = bench.run("pod_egress", frame);
      expect([run.result, reasons(run), run.mark]).toEqual([REDIRECT, [178], PROXY_MARK]);
      expect(parseFrame(run.frame)).toMatchObject({
        destinationMac: "0200000000aa",
        sourceMac: "0200000000bb",
        source: b,
        destination: a,
        sourcePort: 80,
        destinationPort: 4000,
        sequence: 7000,
        flags: FLAG.rst,
        bytes: v6 ? 74 : 54,
        sumsAreRight: true,
      });
    });

    test("a proxied connection without socket: 178 and reset from either side, never raw", () => {
      bench.run("pod_egress", syn());
      setFlags(CT_PROXIED | 4);
      const forward = bench.run("pod_egress", syn({ flags: FLAG.ack }));
      expect([forward.result, reasons(forward)]).toEqual([REDIRECT, [178]]);
      expect(parseFrame(forward.frame)).toMatchObject({ destination: a, flags: FLAG.rst });
      const backward = fromB(reply({ flags: FLAG.fin, sequence: 9, payload: new Uint8Array(3) }));
      expect([backward.result, reasons(backward)]).toEqual([REDIRECT, [178]]);
      expect(parseFrame(backward.frame)).toMatchObject({
        destination: b,
        flags: FLAG.rst | FLAG.ack,
        sequence: 0,
        acknowledge: 13,
        sumsAreRight: true,
      });
      expect(bench.ct()[0]).toMatchObject({ proxied: true, closing: true });
    });

    test("a reset is never answered", () => {
      bench.run("pod_egress", syn());
      setFlags(CT_PROXIED | 4);
      const run = bench.run("pod_egress", syn({ flags: FLAG.rst }));
      expect([run.result, reasons(run)]).toEqual([SHOT, [178]]);
    });

    test("raw when opened, proxy wanted now: 221, reset, and a verdict that says so", () => {
      bench.run("pod_egress", syn());
      bench.policy(2, [redirect]);
      bench.config(false);
      const run = bench.run("pod_egress", syn({ flags: FLAG.ack }));
      expect([run.result, reasons(run)]).toEqual([REDIRECT, [221]]);
      expect(verdicts(run)).toEqual([["ingress", -221, 0, 0]]);
      expect(parseFrame(run.frame).flags).toBe(FLAG.rst);
    });

    test("proxied, and policy now denies: the rule's reason, no reset", () => {
      bench.run("pod_egress", syn());
      setFlags(CT_PROXIED | 4);
      bench.policy(2, []);
      bench.config(false);
      const run = bench.run("pod_egress", syn({ flags: FLAG.ack }));
      expect([run.result, reasons(run)]).toEqual([SHOT, [133]]);
    });

    test("an ICMP error about the proxy's packet goes to the stack", () => {
      bench.run("pod_egress", syn());
      setFlags(CT_PROXIED | 4);
      const quoted = { source: a, destination: b, sourcePort: 4000, destinationPort: 80 };
      const frame = buildFrame({
        source: b,
        destination: a,
        protocol: icmp,
        type: unreachable,
        payload: buildPacket(quoted),
      });
      const run = fromB(frame);
      expect([run.result, run.mark]).toEqual([OK, TO_PROXY_MARK]);
    });
  });

  describe("pod_ingress", () => {
    const program: ProgramName = "pod_ingress";
    const toA = (fields: Partial<FrameSpec> = {}): Uint8Array =>
      syn({ source: host, destination: a, ...fields });

    test.each<[string, PolicyMapEntry[], number[]]>([
      ["is allowed by default", [], []],
      ["is not for the proxy", [entry({ redirect: true })], []],
      ["is denied by a rule for it", [entry({ identity: HOST, deny: true })], [181]],
      ["is denied by a rule for anyone", [entry({ deny: true })], [181]],
    ])("the node's own connection %s", (_description, policy, drops) => {
      bench.policy(1, policy);
      const run = bench.run(program, toA());
      expect([run.result, reasons(run)]).toEqual([drops.length === 0 ? OK : SHOT, drops]);
      expect(run.events[0]).toMatchObject({ sourceIdentity: HOST, destinationIdentity: A });
    });

    test("what came in by another interface is policed by its address", () => {
      bench.policy(1, [entry({ identity: worldId, ...tcp80 })]);
      const from = { ingressIfindex: IFINDEX };
      expect(bench.run(program, toA({ source: world }), from).result).toBe(OK);
      expect(
        reasons(bench.run(program, toA({ source: world, destinationPort: 81 }), from)),
      ).toEqual([133]);
      for (const source of [host, b])
        expect(reasons(bench.run(program, toA({ source }), from))).toEqual([132]);
    });

    test("the proxy's packets pass any policy and make an entry for their answers", () => {
      bench.policy(1, []);
      const run = bench.run(program, toA({ source: b }), { mark: PROXY_MARK | (B << 16) });
      expect(run.result).toBe(OK);
      expect(run.ct).toMatchObject([
        { source: b, destination: a, proxied: true, sourceIdentity: B, destinationIdentity: A },
      ]);
      expect(run.events).toMatchObject([{ type: TRACE, subType: 0, sourceIdentity: B }]);
    });

    test("an identity of this node only, which a mark cannot hold, is known by its address", () => {
      const identity = 0x0101_0203;
      bench.ipcache(world, identity);
      const mark = ((identity & 0xffff) << 16) | PROXY_MARK | ((identity >> 16) & 0xff);
      const run = bench.run(program, toA({ source: world }), { mark: mark >>> 0 });
      expect(run.events).toMatchObject([{ sourceIdentity: identity }]);
      const other = bench.run(program, toA({ source: world }), { mark: PROXY_MARK | (B << 16) });
      expect(other.events).toMatchObject([{ sourceIdentity: B }]);
    });

    test("the proxy may not speak into a raw connection: 178", () => {
      bench.run(program, toA());
      const mark = PROXY_MARK | (B << 16);
      expect(reasons(bench.run(program, toA({ flags: FLAG.ack }), { mark }))).toEqual([178]);
      expect(bench.run(program, toA({ flags: FLAG.rst }), { mark }).result).toBe(OK);
    });

    test("raw packets of a proxied connection are turned round, to the proxy or nowhere", () => {
      bench.run(program, toA());
      setFlags(CT_PROXIED | 4);
      const run = bench.run(program, toA({ flags: FLAG.ack }));
      expect([run.result, run.mark]).toEqual([REDIRECT, TO_PROXY_MARK]);
      expect(parseFrame(run.frame).destinationMac).toBe("0200000000bb");
      const looped = bench.run("pod_egress", run.frame, { mark: run.mark });
      expect([looped.result, reasons(looped)]).toEqual([SHOT, [178]]);
    });
  });

  describe("netdev_ingress", () => {
    const program: ProgramName = "netdev_ingress";
    const toB = (fields: Partial<FrameSpec> = {}): Uint8Array => syn({ source: world, ...fields });

    test("polices what is for a local pod and delivers it", () => {
      bench.policy(2, [entry({ identity: worldId, ...tcp80 })]);
      const run = bench.run(program, toB());
      expect([run.result, verdicts(run)]).toEqual([REDIRECT, [["ingress", 0, 2, 0]]]);
      expect(parseFrame(run.frame)).toMatchObject({ destinationMac: "0200000000cc", hops: 63 });
      expect(reasons(bench.run(program, toB({ destinationPort: 81 })))).toEqual([133]);
    });

    test("lets answers to a pod's own connection in", () => {
      bench.policy(1, [egressAll]);
      bench.run("pod_egress", syn({ destination: world }));
      expect(bench.run(program, reply({ source: world })).result).toBe(REDIRECT);
      expect(reasons(bench.run(program, reply({ source: world, sourcePort: 81 })))).toEqual([133]);
    });

    test("refuses addresses of pods and of the node from outside", () => {
      for (const source of [a, host])
        expect(reasons(bench.run(program, toB({ source })))).toEqual([132]);
    });

    test("leaves alone what is not for a pod, even if it cannot be parsed", () => {
      for (const fields of [
        {},
        { protocol: PROTOCOL.gre },
        { length: 56 },
        { ethertype: 0x88cc },
      ]) {
        const run = bench.run(program, toB({ destination: host, ...fields }));
        expect([run.result, run.events]).toEqual([OK, []]);
      }
    });

    test("drops what is for a pod and cannot be parsed", () => {
      expect(reasons(bench.run(program, toB({ protocol: PROTOCOL.gre })))).toEqual([137]);
    });

    test("drops a redirect without proxy with 220", () => {
      bench.policy(2, [entry({ ...tcp80, redirect: true })]);
      expect(reasons(bench.run(program, toB()))).toEqual([220]);
    });
  });
});

describe("IPv6 only", () => {
  const base = { source: "fd00::1", destination: "fd00::2", sourcePort: 1, destinationPort: 80 };
  const nd = { source: "fe80::a", destination: "ff02::1:ff00:2", protocol: PROTOCOL.icmpv6 };
  const option = new Uint8Array(8);

  test.each<[string, Partial<FrameSpec>, number | undefined]>([
    ["passes a neighbour solicitation", { ...nd, type: 135, hops: 255 }, undefined],
    [
      "passes a router solicitation",
      { ...nd, destination: "ff02::2", type: 133, hops: 255 },
      undefined,
    ],
    [
      "passes a multicast report",
      { ...nd, destination: "ff02::16", type: 143, hops: 1 },
      undefined,
    ],
    ["drops forwarded neighbour discovery", { ...nd, type: 135, hops: 254 }, 176],
    [
      "drops discovery beyond the link",
      { ...nd, destination: "fd00::2", type: 135, hops: 255 },
      176,
    ],
    ["drops a router advertisement", { ...nd, type: 134, hops: 255 }, 176],
    ["drops a redirect", { ...nd, type: 137, hops: 255 }, 176],
    ["drops a report beyond the link", { ...nd, destination: "ff0e::1", type: 143, hops: 1 }, 176],
    ["drops other traffic of a link-local source", { source: "fe80::a" }, 132],
    ["drops the unspecified source", { source: "::" }, 132],
    ["drops mapped sources", { source: "::ffff:10.0.0.1" }, 134],
    ["drops mapped destinations", { destination: "::ffff:10.0.0.2" }, 134],
    [
      "drops a source route with segments left",
      { extensions: [{ number: 43, bytes: Uint8Array.of(0, 0, 0, 1, 0, 0, 0, 0) }] },
      156,
    ],
    [
      "drops too many extension headers",
      { extensions: Array.from({ length: 5 }, () => ({ number: 60, bytes: option })) },
      156,
    ],
    [
      "drops a truncated extension header",
      { extensions: [{ number: 0, bytes: option }], length: 60 },
      156,
    ],
    [
      "drops an extension header longer than the packet",
      { extensions: [{ number: 60, bytes: Uint8Array.of(0, 255, 0, 0, 0, 0, 0, 0) }] },
      156,
    ],
  ])("%s", (_description, fields, reason) => {
    const run = bench.run("pod_egress", buildFrame({ ...base, ...fields }));
    expect([run.result, reasons(run)]).toEqual(reason ? [SHOT, [reason]] : [OK, []]);
  });

  test("finds the ports behind extension headers", () => {
    bench.policy(2, [entry({ protocol: PROTOCOL.tcp, port: 80 })]);
    const extensions = [
      { number: 0, bytes: new Uint8Array(16).fill(1, 1, 2) },
      { number: 60, bytes: option },
    ];
    const run = bench.run("pod_egress", buildFrame({ ...base, extensions }));
    expect(run.result).toBe(REDIRECT);
    expect(run.ct).toMatchObject([{ sourcePort: 1, destinationPort: 80, protocol: 6 }]);
  });

  test("an endpoint without IPv6 may not use it", () => {
    const { ipv6: _, ...rest } = endpointA;
    bench.endpoint(rest, true);
    for (const source of ["fd00::1", "::"])
      expect(reasons(bench.run("pod_egress", buildFrame({ ...base, source })))).toEqual([132]);
  });
});

describe("IPv4 only", () => {
  test("passes ARP", () => {
    const frame = buildFrame({ source: "10.0.0.1", destination: "10.0.0.2", ethertype: 0x0806 });
    expect(bench.run("pod_egress", frame).result).toBe(OK);
    expect(bench.run("pod_ingress", frame).result).toBe(OK);
  });

  test.each([
    ["a header length below the minimum", 0x44],
    ["options beyond the end", 0x4f],
    ["another version", 0x65],
  ])("drops %s", (_description, first) => {
    const frame = buildFrame({ source: "10.0.0.1", destination: "10.0.0.2" });
    frame[14] = first;
    expect(reasons(bench.run("pod_egress", frame))).toEqual([134]);
  });

  test("random frames end in a verdict, and never beyond policy", () => {
    bench.policy(1, []);
    bench.policy(2, []);
    const good = buildFrame({
      source: "10.0.0.1",
      destination: "10.0.0.2",
      payload: new Uint8Array(40),
    });
    let seed = 1;
    const next = (): number => {
      seed = (seed * 1103515245 + 12345) & 0x7fffffff;
      return seed >> 8;
    };
    for (let round = 0; round < 2000; round++) {
      // The kernel runs no frame that ends before its IPv6 header could.
      const frame = good.slice(0, 54 + (next() % (good.length - 53)));
      for (let flips = next() % 6; flips > 0; flips--)
        frame[12 + (next() % (frame.length - 12))] = next();
      const { result } = bench.run("pod_egress", frame);
      const arp = frame[12] === 8 && frame[13] === 6;
      const self = frame[33] === 1 && frame[32] === 0;
      if (!arp && !self) expect(result).toBe(SHOT);
    }
  });
});
