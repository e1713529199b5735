/** Single frames through pod_egress: what is dropped before policy, and what is exempt from it. */
import { afterAll, beforeAll, beforeEach, describe, expect, test } from "vitest";
import { buildFrame, FLAG, type FrameSpec, PROTOCOL } from "./testdata/frame.ts";
import { entry } from "./testdata/node-client.ts";
import type { ProgramBench } from "./testdata/program-bench.ts";
import {
  A,
  endpointA,
  families,
  OK,
  PROXY_MARK,
  REDIRECT,
  reasons,
  replyOf,
  SHOT,
  synOf,
  TwoPods,
} from "./testdata/two-pods.ts";

let pods: TwoPods;
let bench: ProgramBench;
beforeAll(() => {
  pods = new TwoPods();
  bench = pods.bench;
});
afterAll(() => bench.close());
beforeEach(() => pods.reset());

describe.each(families)("$name", (family) => {
  const { name, a, b, world } = family;
  const v6 = name === "IPv6";
  const syn = (fields: Partial<FrameSpec> = {}): Uint8Array => synOf(family, fields);
  const reply = (fields: Partial<FrameSpec> = {}): Uint8Array => replyOf(family, fields);

  const raw = (fields: Partial<FrameSpec>): Partial<FrameSpec> => fields;
  test.each<[string, Partial<FrameSpec>, number]>([
    ["a source that is not the pod's", raw({ source: world }), 132],
    ["a source that is another pod's", raw({ source: b, destination: world }), 132],
    ["an unknown transport protocol", raw({ protocol: PROTOCOL.ospf }), 137],
    ["a truncated transport header", raw({ length: v6 ? 60 : 40 }), 135],
    ["another network protocol", raw({ ethertype: 0x88cc }), 139],
  ])("drops %s", (_description, fields, reason) => {
    const run = bench.run("pod_egress", syn(fields));
    expect([run.result, reasons(run)]).toEqual([SHOT, [reason]]);
    expect(run.events[0]?.isReply).toBeUndefined();
  });

  test("drops everything of an endpoint without policy, in both directions", () => {
    bench.native.mapDelete(bench.map("policies"), new Uint8Array([2, 0, 0, 0]));
    expect(reasons(bench.run("pod_egress", syn()))).toEqual([203]);
    expect(reasons(pods.fromB(reply({ flags: FLAG.syn })))).toEqual([203]);
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
