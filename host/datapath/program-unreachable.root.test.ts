/** Single frames that a pod's own policy denies: dropped in silence, or answered by ICMP. */
import { afterAll, beforeAll, beforeEach, describe, expect, test } from "vitest";
import { buildPacket, type FrameSpec, PROTOCOL, parseIcmp } from "./testdata/frame.ts";
import { ALLOW_ALL, entry } from "./testdata/node-client.ts";
import type { ProgramBench } from "./testdata/program-bench.ts";
import {
  families,
  icmpOf,
  OK,
  PROXY_MARK,
  REDIRECT,
  reasons,
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
beforeEach(() => {
  pods.reset();
  bench.policy(1, []);
  bench.config(false, { denyByIcmp: true });
});

const deny = entry({ direction: "egress", deny: true, precedence: 0x2ff });

describe.each(families)("$name", (family) => {
  const { name, a, b, world } = family;
  const v6 = name === "IPv6";
  const { icmp, echo, unreachable } = icmpOf(name);
  const out = (fields: Partial<FrameSpec> = {}) =>
    bench.run("pod_egress", synOf(family, { destination: world, ...fields }));
  const payload = new Uint8Array(200);

  test.each<[string, Partial<FrameSpec>]>([
    ["a SYN", {}],
    ["to a pod of this node", { destination: b }],
    ["a datagram", { protocol: PROTOCOL.udp, payload }],
    ["an echo", { protocol: icmp, type: echo, payload }],
    ["a first fragment", { fragment: { offset: 0, more: true, id: 1 }, ...{ payload } }],
  ])("answers what is not allowed: %s", (_name, fields) => {
    const run = out(fields);
    if (v6 && fields.fragment) {
      expect([run.result, reasons(run)]).toEqual([SHOT, [133]]);
      return;
    }
    expect([run.result, reasons(run), run.mark]).toEqual([REDIRECT, [133], PROXY_MARK]);
    const { quoted, ...answer } = parseIcmp(run.frame);
    expect(answer).toEqual({
      ...{ destinationMac: "0200000000aa", sourceMac: "0200000000bb" },
      ...{ source: fields.destination ?? world, destination: a },
      ...{ protocol: icmp, type: unreachable, code: v6 ? 1 : 13 },
      ...{ bytes: v6 ? 110 : 70, sumsAreRight: true },
    });
    const packet = buildPacket({ source: a, destination: world, ...spec(fields) });
    expect(quoted).toEqual(packet.subarray(0, quoted.length));
  });

  const spec = (fields: Partial<FrameSpec>): Partial<FrameSpec> => ({
    ...{ sourcePort: 4000, destinationPort: 80 },
    ...fields,
  });

  test("answers what is denied in so many words", () => {
    bench.policy(1, [...ALLOW_ALL, deny]);
    bench.config(false, { denyByIcmp: true });
    expect([out().result, reasons(out())]).toEqual([REDIRECT, [181]]);
  });

  test.each<[string, Partial<FrameSpec>]>([
    [
      "an error",
      { protocol: icmp, type: unreachable, payload: buildPacket({ source: a, destination: b }) },
    ],
    ["a later fragment", { fragment: { offset: 8, more: false, id: 7 } }],
    ["what is for many", { destination: v6 ? "ff0e::1" : "239.1.1.1", protocol: PROTOCOL.udp }],
  ])("never answers %s", (_name, fields) => {
    const run = out(fields);
    expect([run.result, run.frame.length]).toEqual([SHOT, expect.any(Number)]);
  });

  test("is silent about the other side's policy, to others, and unless it is asked to speak", () => {
    bench.policy(1, ALLOW_ALL);
    bench.policy(2, []);
    bench.config(false, { denyByIcmp: true });
    expect([out({ destination: b }).result, out().result]).toEqual([SHOT, OK]);
    const into = synOf(family, { source: world, destination: b });
    expect(bench.run("netdev_ingress", into).result).toBe(SHOT);
    bench.policy(1, []);
    bench.config(false);
    expect([out().result, reasons(out())]).toEqual([SHOT, [133]]);
  });
});
