/** Single frames: ICMP errors of every kind pass with the connection they quote, and no other. */
import { afterAll, beforeAll, beforeEach, describe, expect, test } from "vitest";
import { buildFrame, buildPacket, type FrameSpec, PROTOCOL } from "./testdata/frame.ts";
import { entry } from "./testdata/node-client.ts";
import type { ProgramBench, Run } from "./testdata/program-bench.ts";
import { families, icmpOf, REDIRECT, reasons, synOf, TwoPods } from "./testdata/two-pods.ts";

let pods: TwoPods;
let bench: ProgramBench;
beforeAll(() => {
  pods = new TwoPods();
  bench = pods.bench;
});
afterAll(() => bench.close());
beforeEach(() => {
  pods.reset();
  // What passes by itself would hide what passes with its connection.
  bench.config(false, { fragNeeded: false });
  // The answering side may say nothing of its own.
  bench.policy(1, [entry({ direction: "egress" })]);
});

describe.each(families)("$name", (family) => {
  const { name, a, b } = family;
  const { icmp, echo, echoReply } = icmpOf(name);
  const kinds: [name: string, type: number, code: number][] =
    name === "IPv4"
      ? [
          ["unreachable", 3, 1],
          ["fragmentation needed", 3, 4],
          ["time exceeded", 11, 0],
          ["parameter problem", 12, 0],
        ]
      : [
          ["unreachable", 1, 4],
          ["packet too big", 2, 0],
          ["time exceeded", 3, 0],
          ["parameter problem", 4, 0],
        ];
  const own = { source: a, destination: b, sourcePort: 4000, destinationPort: 80 };
  const errorOf = (quoted: Partial<FrameSpec>, [type, code]: readonly [number, number]): Run =>
    pods.fromB(
      buildFrame({
        ...{ source: b, destination: a, protocol: icmp, type, code },
        payload: buildPacket({ ...own, payload: new Uint8Array(16), ...quoted }),
      }),
    );
  const TOO_BIG = name === "IPv4" ? ([3, 4] as const) : ([2, 0] as const);

  test.each(kinds)("%s", (_name, type, code) => {
    bench.run("pod_egress", synOf(family, {}));
    expect(errorOf({}, [type, code]).result).toBe(REDIRECT);
    expect(reasons(errorOf({ destinationPort: 81 }, [type, code]))).toEqual([133]);
  });

  test.each([
    ["UDP", { protocol: PROTOCOL.udp }],
    ["SCTP", { protocol: PROTOCOL.sctp, payload: new Uint8Array(8) }],
    ["GRE", { protocol: PROTOCOL.gre }],
    ["ESP", { protocol: PROTOCOL.esp }],
    ["echo", { protocol: icmp, type: echo }],
  ])("about %s", (_name, fields) => {
    bench.run("pod_egress", synOf(family, fields));
    expect(errorOf(fields, TOO_BIG).result).toBe(REDIRECT);
    expect(reasons(errorOf({ ...fields, destination: family.world }, TOO_BIG))).toEqual([133]);
  });

  test("about an answer, to the side that answered", () => {
    const ping = { protocol: icmp, sourcePort: 9 };
    bench.policy(1, [entry({ protocol: icmp, port: echo << 8 })]);
    bench.policy(2, [entry({ direction: "egress" })]);
    pods.fromB(buildFrame({ source: b, destination: a, ...ping, type: echo }));
    const answer = { ...ping, type: echoReply };
    bench.run("pod_egress", buildFrame({ source: a, destination: b, ...answer }));
    expect(errorOf(answer, TOO_BIG).result).toBe(REDIRECT);
    expect(reasons(errorOf({ ...answer, sourcePort: 10 }, TOO_BIG))).toEqual([133]);
  });

  test("about a first fragment; about a later one it is nobody's", () => {
    const datagram = { protocol: PROTOCOL.udp };
    const first = { ...datagram, fragment: { offset: 0, more: true, id: 3 } };
    bench.run("pod_egress", synOf(family, first));
    expect(errorOf(first, TOO_BIG).result).toBe(REDIRECT);
    const later = { ...datagram, fragment: { offset: 1480, more: false, id: 3 } };
    expect(reasons(errorOf(later, TOO_BIG))).toEqual([133]);
  });

  test("nobody's: it opens no connection even where a rule allows it", () => {
    bench.policy(2, [entry({ direction: "egress" })]);
    bench.policy(1, [entry({})]);
    expect(errorOf({}, TOO_BIG).result).toBe(REDIRECT);
    expect(bench.ct()).toEqual([]);
  });
});
