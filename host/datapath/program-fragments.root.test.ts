/** Single frames: the pieces of datagrams, good and bad, in and out of order. */
import { afterAll, beforeAll, beforeEach, describe, expect, test } from "vitest";
import { buildFrame, type FrameSpec, PROTOCOL } from "./testdata/frame.ts";
import { ALLOW_ALL, entry } from "./testdata/node-client.ts";
import type { ProgramBench, Run } from "./testdata/program-bench.ts";
import {
  A,
  families,
  icmpOf,
  OK,
  REDIRECT,
  reasons,
  replyOf,
  SHOT,
  synOf,
  TwoPods,
  verdicts,
} from "./testdata/two-pods.ts";

let pods: TwoPods;
let bench: ProgramBench;
beforeAll(() => {
  pods = new TwoPods();
  bench = pods.bench;
});
afterAll(() => bench.close());
beforeEach(() => pods.reset());

const egressAll = entry({ direction: "egress" });
const ID = 4711;
const FIRST = { offset: 0, more: true, id: ID };
const LATER = { offset: 1480, more: false, id: ID };

describe.each(families)("$name", (family) => {
  const { name, a, b } = family;
  const v6 = name === "IPv6";
  const { icmp, echo, echoReply } = icmpOf(name);
  const piece = (fields: Partial<FrameSpec>): Run =>
    bench.run("pod_egress", synOf(family, { protocol: PROTOCOL.udp, ...fields }));

  test.each([
    ["UDP", PROTOCOL.udp],
    ["TCP", PROTOCOL.tcp],
    ["SCTP", PROTOCOL.sctp],
  ])("%s: a later fragment goes the way of its first", (_name, protocol) => {
    bench.policy(2, [entry({ identity: A, protocol, port: 80 })]);
    const payload = new Uint8Array(16);
    const data = { protocol, payload, sourcePort: 4000 };
    expect(piece({ ...data, fragment: FIRST }).result).toBe(REDIRECT);
    // What stands where ports would be is data.
    const later = piece({ ...data, sourcePort: 1, destinationPort: 1, fragment: LATER });
    expect([later.result, verdicts(later), reasons(later)]).toEqual([REDIRECT, [], []]);
    expect(bench.ct()).toMatchObject([
      { protocol, sourcePort: 4000, destinationPort: 80, packets: [2, 0] },
    ]);
  });

  test("a later fragment of a denied datagram is denied as its first", () => {
    bench.policy(2, [entry({ protocol: PROTOCOL.udp, port: 81 })]);
    for (const fragment of [FIRST, LATER])
      expect([reasons(piece({ fragment })), bench.ct()]).toEqual([[133], []]);
    bench.policy(2, [...ALLOW_ALL, entry({ protocol: PROTOCOL.udp, port: 80, deny: true })]);
    for (const fragment of [FIRST, LATER]) expect(reasons(piece({ fragment }))).toEqual([181]);
  });

  test("answers in fragments are answers", () => {
    bench.policy(1, [egressAll]);
    piece({});
    for (const fragment of [FIRST, LATER]) {
      const frame = replyOf(family, { protocol: PROTOCOL.udp, fragment });
      expect(pods.fromB(frame).result).toBe(REDIRECT);
    }
  });

  test("echo requests and replies in fragments", () => {
    bench.policy(1, [egressAll]);
    bench.policy(2, [entry({ protocol: icmp, port: echo << 8 })]);
    const ping = { source: a, destination: b, protocol: icmp, sourcePort: 7 };
    const back = { ...ping, source: b, destination: a, type: echoReply };
    for (const fragment of [FIRST, LATER]) {
      const request = buildFrame({ ...ping, type: echo, fragment });
      expect(bench.run("pod_egress", request).result).toBe(REDIRECT);
    }
    for (const fragment of [FIRST, LATER])
      expect(pods.fromB(buildFrame({ ...back, fragment })).result).toBe(REDIRECT);
    expect(bench.ct()).toMatchObject([{ protocol: icmp, packets: [2, 2] }]);
    bench.config(false);
    bench.policy(2, []);
    for (const fragment of [FIRST, LATER])
      expect(
        reasons(bench.run("pod_egress", buildFrame({ ...ping, type: echo, fragment }))),
      ).toEqual([133]);
  });

  test.each<[string, Partial<FrameSpec>]>([
    ["of another datagram", { fragment: { ...LATER, id: ID + 1 } }],
    ["of another receiver", { fragment: LATER, destination: family.world }],
    ...(v6 ? [] : [["of another protocol", { fragment: LATER, protocol: PROTOCOL.sctp }] as never]),
  ])("a fragment %s is untracked: no entry with a port matches", (_name, fields) => {
    piece({ fragment: FIRST });
    const portOnly = { protocol: fields.protocol ?? PROTOCOL.udp, port: 80 };
    bench.policy(1, [entry({ direction: "egress", ...portOnly })]);
    bench.config(false);
    const run = piece(fields);
    expect([run.result, reasons(run), verdicts(run)]).toEqual([
      SHOT,
      [157],
      [["egress", -157, 0, 0]],
    ]);
    expect(bench.ct()).toHaveLength(1);
  });

  test.each([
    ["everything", {}, 4],
    ["the identity", { identity: A }, 1],
    ["the protocol", { protocol: PROTOCOL.udp }, 6],
    ["identity and protocol", { identity: A, protocol: PROTOCOL.udp }, 5],
  ] as const)("an untracked fragment matches an entry of %s", (_name, fields, match) => {
    bench.policy(2, [entry({ ...fields, cookie: 9 })]);
    const run = piece({ fragment: LATER });
    expect([run.result, verdicts(run)[1]]).toEqual([REDIRECT, ["ingress", 0, match, 9]]);
    expect(bench.ct()).toEqual([]);
    bench.policy(2, [entry({ ...fields, deny: true })]);
    expect(reasons(piece({ fragment: LATER }))).toEqual([181]);
  });

  test("a first fragment that came long ago counts no more", () => {
    bench.policy(2, [entry({ protocol: PROTOCOL.udp, port: 80 })]);
    piece({ fragment: FIRST });
    expect(piece({ fragment: LATER }).result).toBe(REDIRECT);
    pods.expireFragments();
    expect(reasons(piece({ fragment: LATER }))).toEqual([157]);
  });

  test("the first fragment of a forged sender leaves nothing", () => {
    bench.policy(2, [entry({ protocol: PROTOCOL.udp, port: 80 })]);
    expect(reasons(piece({ source: family.world, fragment: FIRST }))).toEqual([132]);
    expect(pods.fragments()).toBe(0);
  });

  test.each<[string, number, NonNullable<FrameSpec["fragment"]>, number, number]>([
    ["TCP without its flags", PROTOCOL.tcp, FIRST, 8, 135],
    ["TCP without its checksum", PROTOCOL.tcp, FIRST, 16, 135],
    ["UDP without its ports", PROTOCOL.udp, FIRST, 0, 135],
    ["SCTP without its checksum", PROTOCOL.sctp, FIRST, 8, 135],
    ["TCP, over its own header", PROTOCOL.tcp, { offset: 8, more: true, id: ID }, 40, 135],
    ["TCP, over its own flags", PROTOCOL.tcp, { offset: 16, more: true, id: ID }, 40, 135],
  ])("drops a tiny or overlapping fragment: %s", (_name, protocol, fragment, bytes, reason) => {
    // The rest of the frame is padding, as of an Ethernet frame of 60 bytes.
    const frame = synOf(family, { protocol, fragment, payload: new Uint8Array(40) });
    const view = new DataView(frame.buffer);
    if (v6) view.setUint16(18, 8 + bytes);
    else view.setUint16(16, 20 + bytes);
    expect(reasons(bench.run("pod_egress", frame))).toEqual([reason]);
    expect(pods.fragments()).toBe(0);
  });

  test("a lone fragment that is the whole datagram is none", () => {
    bench.policy(2, [entry({ protocol: PROTOCOL.udp, port: 80 })]);
    expect(piece({ fragment: { offset: 0, more: false, id: ID } }).result).toBe(REDIRECT);
    expect(pods.fragments()).toBe(0);
  });

  test("from outside and to the outside", () => {
    bench.policy(2, [entry({ protocol: PROTOCOL.udp, port: 80 })]);
    for (const fragment of [FIRST, LATER]) {
      const frame = synOf(family, { source: family.world, protocol: PROTOCOL.udp, fragment });
      expect(bench.run("netdev_ingress", frame).result).toBe(REDIRECT);
    }
    for (const fragment of [FIRST, LATER])
      expect(piece({ destination: family.world, fragment }).result).toBe(OK);
  });

  test("the proxy takes no fragment whose port is not known", () => {
    bench.policy(2, [entry({ protocol: PROTOCOL.tcp, redirect: true })]);
    expect(reasons(piece({ protocol: PROTOCOL.tcp, fragment: LATER }))).toEqual([178]);
    bench.policy(2, [entry({ protocol: PROTOCOL.udp, redirect: true })]);
    expect(reasons(piece({ fragment: LATER }))).toEqual([180]);
  });
});

describe("IPv6 only", () => {
  const base = { source: "fd00::1", destination: "fd00::2", protocol: PROTOCOL.udp };

  test("extension headers behind the fragment header do not hide the ports", () => {
    bench.policy(2, [entry({ protocol: PROTOCOL.udp, port: 80 })]);
    const fragment = new Uint8Array([0, 0, 0, 1, 0, 0, 0, 9]);
    const options = { number: 60, bytes: new Uint8Array(8) };
    const first = { extensions: [{ number: 44, bytes: fragment }, options] };
    const spec = { ...base, sourcePort: 9, destinationPort: 80 };
    expect(bench.run("pod_egress", buildFrame({ ...spec, ...first })).result).toBe(REDIRECT);
    const rest = new Uint8Array([0, 0, 0x05, 0xc8, 0, 0, 0, 9]);
    const later = { protocol: 60, extensions: [{ number: 44, bytes: rest }] };
    expect(bench.run("pod_egress", buildFrame({ ...spec, ...later })).result).toBe(REDIRECT);
    expect(bench.ct()).toMatchObject([{ destinationPort: 80, packets: [2, 0] }]);
  });

  test("drops fragments in fragments, and one whose headers do not fit into it", () => {
    const header = { number: 44, bytes: new Uint8Array([0, 0, 0, 1, 0, 0, 0, 9]) };
    const twice = buildFrame({ ...base, extensions: [header, header] });
    expect(reasons(bench.run("pod_egress", twice))).toEqual([156]);
    const options = { number: 60, bytes: new Uint8Array(16).fill(1, 1, 2) };
    const cut = buildFrame({ ...base, extensions: [header, options] });
    new DataView(cut.buffer).setUint16(18, 16);
    expect(reasons(bench.run("pod_egress", cut))).toEqual([156]);
  });
});
