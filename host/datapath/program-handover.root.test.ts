/**
 * Single frames: the hand-over to the proxy as far as it goes without sockets, and the programs
 * pod_ingress and netdev_ingress.
 */
import { afterAll, beforeAll, beforeEach, describe, expect, test } from "vitest";
import {
  buildFrame,
  buildPacket,
  FLAG,
  type FrameSpec,
  PROTOCOL,
  parseFrame,
} from "./testdata/frame.ts";
import { entry } from "./testdata/node-client.ts";
import { IFINDEX, type ProgramBench, type ProgramName } from "./testdata/program-bench.ts";
import {
  A,
  B,
  CT_PROXIED,
  families,
  HOST,
  icmpOf,
  OK,
  PROXY_MARK,
  REDIRECT,
  reasons,
  replyOf,
  SHOT,
  synOf,
  TO_PROXY_MARK,
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
  const { icmp, unreachable } = icmpOf(name);
  const syn = (fields: Partial<FrameSpec> = {}): Uint8Array => synOf(family, fields);
  const reply = (fields: Partial<FrameSpec> = {}): Uint8Array => replyOf(family, fields);

  const tcp80 = { protocol: PROTOCOL.tcp, port: 80 } as const;
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

    test("a plugin that is not there: 222 before any hand-over, and a verdict that says so", () => {
      bench.workers(64);
      bench.policy(2, [entry({ ...tcp80, redirect: true, ruleSet: 0, cookie: 8 })]);
      const run = bench.run("pod_egress", syn());
      expect([run.result, reasons(run), run.ct]).toEqual([SHOT, [222], []]);
      expect(verdicts(run).at(-1)).toEqual(["ingress", -222, 3, 8]);
    });

    test("a live connection whose plugin went away: 222 at its next packet", () => {
      bench.run("pod_egress", syn());
      bench.policy(2, [entry({ ...tcp80, redirect: true, ruleSet: 0 })]);
      bench.config(false);
      expect(reasons(bench.run("pod_egress", syn({ flags: FLAG.ack })))).toEqual([222]);
    });

    describe("that only watches", () => {
      const watch = { ...redirect, watch: true };

      test("lets a connection pass while no worker listens, and answers to it", () => {
        bench.policy(2, [watch]);
        const run = bench.run("pod_egress", syn());
        expect([run.result, reasons(run)]).toEqual([REDIRECT, []]);
        expect(run.ct).toMatchObject([{ proxied: false }]);
        expect(reasons(pods.fromB(reply()))).toEqual([]);
      });

      test("leaves alone what was open before it", () => {
        bench.run("pod_egress", syn());
        bench.policy(2, [watch]);
        bench.config(false);
        const run = bench.run("pod_egress", syn({ flags: FLAG.ack }));
        expect([run.result, reasons(run)]).toEqual([REDIRECT, []]);
      });

      test("gives way to the other side that needs the proxy", () => {
        bench.policy(1, [{ ...watch, direction: "egress" }]);
        bench.policy(2, [redirect]);
        expect(reasons(bench.run("pod_egress", syn()))).toEqual([220]);
        bench.policy(1, [{ ...redirect, direction: "egress" }]);
        bench.policy(2, [watch]);
        expect(reasons(bench.run("pod_egress", syn()))).toEqual([220]);
      });

      test.each<[string, Partial<PolicyMapEntry>, Partial<PolicyMapEntry>, number[]]>([
        ["both sides need it: the proxy has both", {}, {}, [7, 9]],
        ["only the source watches: the rules of the destination", { watch: true }, {}, [0, 9]],
        ["only the destination watches: the rules of the source", {}, { watch: true }, [7, 0]],
        ["both watch: those of the destination", { watch: true }, { watch: true }, [0, 9]],
      ])("one connection, one plugin; %s", (_description, from, to, rules) => {
        bench.policy(1, [{ ...redirect, direction: "egress", ruleSet: 7, ...from }]);
        bench.policy(2, [{ ...redirect, ...to }]);
        bench.run("pod_egress", syn());
        expect(pods.handedOver()).toEqual([rules]);
      });

      test("never brings a proxied connection past its proxy", () => {
        bench.run("pod_egress", syn());
        pods.setFlags(CT_PROXIED);
        bench.policy(2, [watch]);
        bench.config(false);
        expect(reasons(bench.run("pod_egress", syn({ flags: FLAG.ack })))).toEqual([178]);
      });
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
      pods.setFlags(CT_PROXIED);
      const forward = bench.run("pod_egress", syn({ flags: FLAG.ack }));
      expect([forward.result, reasons(forward)]).toEqual([REDIRECT, [178]]);
      expect(parseFrame(forward.frame)).toMatchObject({ destination: a, flags: FLAG.rst });
      const backward = pods.fromB(
        reply({ flags: FLAG.fin, sequence: 9, payload: new Uint8Array(3) }),
      );
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
      pods.setFlags(CT_PROXIED);
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
      pods.setFlags(CT_PROXIED);
      bench.policy(2, []);
      bench.config(false);
      const run = bench.run("pod_egress", syn({ flags: FLAG.ack }));
      expect([run.result, reasons(run)]).toEqual([SHOT, [133]]);
    });

    test("an ICMP error about the proxy's packet goes to the stack", () => {
      bench.run("pod_egress", syn());
      pods.setFlags(CT_PROXIED);
      const quoted = { source: a, destination: b, sourcePort: 4000, destinationPort: 80 };
      const frame = buildFrame({
        source: b,
        destination: a,
        protocol: icmp,
        type: unreachable,
        payload: buildPacket(quoted),
      });
      const run = pods.fromB(frame);
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
      ["does not need a plugin", [entry({ redirect: true, ruleSet: 0 })], []],
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
      pods.setFlags(CT_PROXIED);
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
      expect(reasons(bench.run(program, toB({ protocol: PROTOCOL.ospf })))).toEqual([137]);
    });

    test("drops a redirect without proxy with 220", () => {
      bench.policy(2, [entry({ ...tcp80, redirect: true })]);
      expect(reasons(bench.run(program, toB()))).toEqual([220]);
    });
  });
});
