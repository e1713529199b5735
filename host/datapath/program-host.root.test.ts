/** Single frames: the node as an endpoint, towards the outside and towards its own pods. */
import { afterAll, beforeAll, beforeEach, describe, expect, test } from "vitest";
import { ENDPOINT_HOST } from "./layout.ts";
import { buildFrame, buildPacket, FLAG, type FrameSpec, PROTOCOL } from "./testdata/frame.ts";
import { ALLOW_ALL, entry } from "./testdata/node-client.ts";
import type { ProgramBench, Run } from "./testdata/program-bench.ts";
import {
  A,
  families,
  HOST,
  icmpOf,
  OK,
  PROXY_MARK,
  reasons,
  SHOT,
  TRACE,
  TwoPods,
  verdicts,
} from "./testdata/two-pods.ts";
import type { PolicyMapEntry } from "./types.ts";

const PORT = 22;
const TO_HOST = 2;
const TO_NETWORK = 11;
const ESTABLISHED = FLAG.ack;

let pods: TwoPods;
let bench: ProgramBench;
beforeAll(() => {
  pods = new TwoPods();
  bench = pods.bench;
});
afterAll(() => bench.close());
beforeEach(() => {
  pods.reset();
  bench.config(false, { host: true });
});

const hostPolicy = (...entries: Partial<PolicyMapEntry>[]): void => {
  bench.policy(
    ENDPOINT_HOST,
    entries.map((one) => entry(one)),
  );
  bench.config(false, { host: true });
};

describe.each(families)("$name", (family) => {
  const { name, a, host, world, worldId } = family;
  const v6 = name === "IPv6";
  const { icmp, echo, echoReply, unreachable } = icmpOf(name);
  const tcp = { sourcePort: 4000, destinationPort: PORT };
  const inward = (fields: Partial<FrameSpec> = {}): Run =>
    bench.run(
      "netdev_ingress",
      buildFrame({ source: world, destination: host, ...tcp, ...fields }),
    );
  const outward = (fields: Partial<FrameSpec> = {}, context = {}): Run =>
    bench.run(
      "netdev_egress",
      buildFrame({
        ...{ source: host, destination: world, sourcePort: PORT, destinationPort: 4000 },
        ...fields,
      }),
      context,
    );
  const toPod = (fields: Partial<FrameSpec> = {}): Run =>
    bench.run("pod_ingress", buildFrame({ source: host, destination: a, ...tcp, ...fields }));
  const fromPod = (fields: Partial<FrameSpec> = {}): Run =>
    bench.run("pod_egress", buildFrame({ source: a, destination: host, ...tcp, ...fields }));

  test("without a policy nothing is refused, and connections are known", () => {
    expect(inward().result).toBe(OK);
    expect(inward({ protocol: PROTOCOL.ospf }).result).toBe(OK);
    expect(outward({ sourcePort: 5 }).result).toBe(OK);
    expect(bench.ct()).toHaveLength(2);
    expect(toPod().result).toBe(OK);
    expect(fromPod({ sourcePort: 9 }).result).toBe(OK);
  });

  test("without being asked nothing is looked at", () => {
    hostPolicy();
    bench.config(false);
    for (const run of [inward(), outward(), inward({ protocol: PROTOCOL.ospf })])
      expect([run.result, run.events]).toEqual([OK, []]);
    expect(bench.ct()).toEqual([]);
  });

  test("from outside: what a rule allows, by identity, with its answers", () => {
    hostPolicy({ identity: worldId, protocol: PROTOCOL.tcp, port: PORT, cookie: 3 });
    const run = inward();
    expect([run.result, verdicts(run)]).toEqual([OK, [["ingress", 0, 2, 3]]]);
    expect(run.events.at(-1)).toMatchObject({
      ...{ type: TRACE, subType: TO_HOST, endpoint: ENDPOINT_HOST, direction: "ingress" },
      ...{ sourceIdentity: worldId, destinationIdentity: HOST },
    });
    const answer = outward({ flags: FLAG.syn | FLAG.ack });
    expect([answer.result, verdicts(answer)]).toEqual([OK, []]);
    expect(answer.events).toMatchObject([{ subType: TO_NETWORK, isReply: true }]);
    const denied = inward({ destinationPort: 23 });
    expect([denied.result, reasons(denied)]).toEqual([SHOT, [133]]);
    expect(denied.events[0]).toMatchObject({ endpoint: ENDPOINT_HOST });
  });

  test("to outside: what a rule allows, with its answers", () => {
    hostPolicy({ direction: "egress", protocol: PROTOCOL.udp, port: 53 });
    const query = { protocol: PROTOCOL.udp, sourcePort: 5, destinationPort: 53 };
    expect(outward(query).result).toBe(OK);
    const back = { protocol: PROTOCOL.udp, sourcePort: 53, destinationPort: 5 };
    expect(inward(back).result).toBe(OK);
    expect(reasons(outward({ ...query, destinationPort: 54 }))).toEqual([133]);
    expect(reasons(inward({ ...back, sourcePort: 54 }))).toEqual([133]);
  });

  test("a denial says so, and audit mode lets it pass", () => {
    hostPolicy({}, { identity: worldId, deny: true, cookie: 4 });
    expect(reasons(inward())).toEqual([181]);
    bench.config(false, { host: true, hostAudit: true });
    const run = inward();
    expect([run.result, verdicts(run)]).toEqual([OK, [["ingress", 0, 1, 4]]]);
    expect(run.events[0]?.audited).toBe(true);
  });

  test("a live connection is cut when its rule goes", () => {
    hostPolicy({ protocol: PROTOCOL.tcp, port: PORT }, { direction: "egress" });
    inward();
    hostPolicy({ direction: "egress" });
    expect(reasons(inward({ flags: ESTABLISHED }))).toEqual([133]);
  });

  test("ICMP: echo by its type, errors with their connection", () => {
    hostPolicy({ protocol: icmp, port: echo << 8 }, { direction: "egress" });
    expect(inward({ protocol: icmp, type: echo }).result).toBe(OK);
    expect(outward({ protocol: icmp, type: echoReply, sourcePort: 4000 }).result).toBe(OK);
    expect(reasons(inward({ protocol: icmp, type: 200 }))).toEqual([133]);
    outward({ sourcePort: 5, destinationPort: 6 });
    const about = { source: host, destination: world, sourcePort: 5 };
    const error = (destinationPort: number): Run =>
      inward({
        ...{ protocol: icmp, type: unreachable },
        payload: buildPacket({ ...about, destinationPort }),
      });
    expect(error(6).result).toBe(OK);
    expect(reasons(error(7))).toEqual([133]);
  });

  test("fragments for the node go the way of the first", () => {
    hostPolicy({ protocol: PROTOCOL.udp, port: PORT });
    const datagram = { protocol: PROTOCOL.udp, destinationPort: PORT };
    for (const [offset, more] of [
      [0, true],
      [1480, false],
    ] as const)
      expect(inward({ ...datagram, fragment: { offset, more, id: 8 } }).result).toBe(OK);
    const lone = { ...datagram, fragment: { offset: 1480, more: false, id: 9 } };
    expect(reasons(inward(lone))).toEqual([157]);
  });

  test("its own addresses and those of pods are no sender's outside", () => {
    hostPolicy({});
    for (const source of [host, a]) expect(reasons(inward({ source }))).toEqual([132]);
  });

  test("what is for others passes untouched", () => {
    hostPolicy();
    const other = v6 ? "2600::1" : "198.51.100.1";
    expect(inward({ destination: other }).result).toBe(OK);
    expect(outward({ source: other }, { ingressIfindex: 9 }).result).toBe(OK);
    expect(outward({ source: a }, { ingressIfindex: 9 }).result).toBe(OK);
    expect(outward({}, { mark: PROXY_MARK }).result).toBe(OK);
    expect(bench.ct()).toEqual([]);
  });

  test("what was sent to many is for the node as well", () => {
    hostPolicy({ protocol: PROTOCOL.vrrp });
    const many = v6 ? ["ff02::fb", "ff0e::1"] : ["224.0.0.251", "255.255.255.255"];
    for (const destination of many) {
      expect(reasons(inward({ destination, protocol: PROTOCOL.udp }))).toEqual([133]);
      expect(inward({ destination, protocol: PROTOCOL.vrrp }).result).toBe(OK);
    }
  });

  test("what the node sends to its pods needs its own leave, and favours nobody", () => {
    hostPolicy({ direction: "egress", identity: A, protocol: PROTOCOL.tcp, port: PORT });
    bench.policy(1, []);
    const run = toPod();
    expect([run.result, verdicts(run).map(([side, verdict]) => [side, verdict])]).toEqual([
      OK,
      [
        ["egress", 0],
        ["ingress", 0],
      ],
    ]);
    const denied = toPod({ destinationPort: 23 });
    expect([reasons(denied), verdicts(denied)]).toEqual([[133], [["egress", -133, 0, 0]]]);
    expect(denied.events[0]).toMatchObject({ endpoint: ENDPOINT_HOST, sourceIdentity: HOST });
    // The pod's answer is one.
    const back = { sourcePort: PORT, destinationPort: 4000, flags: FLAG.syn | FLAG.ack };
    expect(fromPod(back).result).toBe(OK);
  });

  test("what pods send to the node needs the node's leave too", () => {
    hostPolicy({ identity: A, protocol: PROTOCOL.tcp, port: PORT, cookie: 6 });
    const run = fromPod();
    expect([run.result, verdicts(run)]).toEqual([
      OK,
      [
        ["egress", 0, 4, 0],
        ["ingress", 0, 2, 6],
      ],
    ]);
    const denied = fromPod({ destinationPort: 23 });
    expect(reasons(denied)).toEqual([133]);
    expect(denied.events.at(-1)).toMatchObject({ endpoint: ENDPOINT_HOST, direction: "ingress" });
    const back = { sourcePort: PORT, destinationPort: 4000, flags: FLAG.syn | FLAG.ack };
    expect(toPod(back).result).toBe(OK);
    hostPolicy();
    expect(reasons(fromPod({ flags: ESTABLISHED }))).toEqual([133]);
  });

  test("the node has no proxy: a redirect is refused, one that only watches is not", () => {
    hostPolicy({ redirect: true });
    expect(reasons(inward())).toEqual([222]);
    hostPolicy({ redirect: true, watch: true });
    expect(inward().result).toBe(OK);
  });

  test("a pod whose traffic only crosses the node's interfaces has its own policy only", () => {
    hostPolicy();
    bench.policy(1, ALLOW_ALL);
    expect(inward({ destination: a }).result).toBe(7);
    expect(fromPod({ destination: world }).result).toBe(OK);
  });
});

describe("IPv6 only", () => {
  const link = { source: "fe80::1", destination: "ff02::1", protocol: PROTOCOL.icmpv6 };
  const both = (spec: FrameSpec): Run[] =>
    (["netdev_ingress", "netdev_egress"] as const).map((program) =>
      bench.run(program, buildFrame(spec)),
    );

  test.each([133, 134, 135, 136, 137])("neighbour discovery %i is exempt on the link", (type) => {
    hostPolicy();
    for (const run of both({ ...link, type, hops: 255 })) expect(run.result).toBe(OK);
    for (const run of both({ ...link, type, hops: 254 })) expect(reasons(run)).toEqual([133]);
  });

  test.each([130, 131, 132, 143])("multicast report %i is exempt on the link", (type) => {
    hostPolicy();
    for (const run of both({ ...link, type, hops: 1 })) expect(run.result).toBe(OK);
    for (const run of both({ ...link, type, hops: 2 })) expect(reasons(run)).toEqual([133]);
  });

  test("link-local addresses are the node's", () => {
    hostPolicy();
    const spec = { source: "fe80::2", destination: "fe80::1", destinationPort: 22 };
    for (const run of both(spec)) expect(reasons(run)).toEqual([133]);
  });
});

test("ARP and what is not IP passes", () => {
  hostPolicy();
  for (const ethertype of [0x0806, 0x88cc])
    for (const program of ["netdev_ingress", "netdev_egress"] as const) {
      const frame = buildFrame({ source: "10.0.9.1", destination: "192.0.2.1", ethertype });
      expect(bench.run(program, frame).result).toBe(OK);
    }
});

test.each([
  ["IPv4 without a good header", { source: "192.0.2.1", destination: "10.0.9.1" }, 0x44],
  ["IPv4 of another version", { source: "192.0.2.1", destination: "10.0.9.1" }, 0x65],
])("drops %s", (_name, spec, first) => {
  hostPolicy({});
  const frame = buildFrame(spec);
  frame[14] = first;
  expect(reasons(bench.run("netdev_ingress", frame))).toEqual([134]);
});
